#pragma once
// The configuration of a tuning run, with the keys of Tune-A-Video's YAML files. Needs yaml-cpp (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/config/tune_config_checks.hpp>
#include <reel/io/config/yaml_reader.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// The clip to tune on: frames sample_start_idx, sample_start_idx + sample_frame_rate, ... of the video,
/// n_sample_frames of them, resized to width x height pixels.
struct TuneTrainData {
    std::string video_path;
    std::string prompt;
    int n_sample_frames = 8;
    int width = 512;
    int height = 512;
    int sample_start_idx = 0;
    int sample_frame_rate = 1; ///< a stride in frames, not frames per second

    bool operator==(const TuneTrainData&) const = default;
};

/// What is sampled during and after tuning.
struct TuneValidationData {
    std::vector<std::string> prompts;
    int video_length = 8; ///< frames; width and height in pixels
    int width = 512;
    int height = 512;
    int num_inference_steps = 50;
    double guidance_scale = 7.5; ///< no guidance at 1 and below
    std::optional<std::string> negative_prompt;
    double eta = 0; ///< 0: DDIM, 1: as noisy as DDPM
    bool use_inv_latent = false;
    int num_inv_steps = 50;

    bool operator==(const TuneValidationData&) const = default;
};

/// Names, meanings and defaults as in Tune-A-Video (showlab/Tune-A-Video at 7d4a89a, train_tuneavideo.py); see
/// docs/config.md for each key.
struct TuneAVideoConfig {
    std::string pretrained_model_path;
    std::string output_dir;
    TuneTrainData train_data;
    TuneValidationData validation_data;
    int validation_steps = 100;
    std::vector<std::string> trainable_modules{"attn1.to_q", "attn2.to_q", "attn_temp"}; ///< module name endings
    int train_batch_size = 1;
    int max_train_steps = 500;
    double learning_rate = 3e-5;
    bool scale_lr = false;
    std::string lr_scheduler = "constant";
    int lr_warmup_steps = 0;
    double adam_beta1 = 0.9;
    double adam_beta2 = 0.999;
    double adam_weight_decay = 1e-2;
    double adam_epsilon = 1e-8;
    double max_grad_norm = 1.0;
    int gradient_accumulation_steps = 1;
    bool gradient_checkpointing = true;
    int checkpointing_steps = 500;
    std::optional<std::string> resume_from_checkpoint; ///< "latest", or a checkpoint's name
    std::string mixed_precision = "fp16";
    bool use_8bit_adam = false;
    bool enable_xformers_memory_efficient_attention = true; ///< attention never stores its scores here, either way
    std::optional<std::uint64_t> seed;

    bool operator==(const TuneAVideoConfig&) const = default;

    /// Checks ranges and what must fit together. Call it again after changing a config that was read. Throws Error
    /// that starts with `locate(key path)`, the bare key path unless given, and names what was expected and found.
    void validate(const KeyLocator& locate = bare_key) const;
};

inline void TuneAVideoConfig::validate(const KeyLocator& locate) const {
    const detail::TuneConfigChecks check{locate};
    check.not_empty("pretrained_model_path", pretrained_model_path);
    check.not_empty("output_dir", output_dir);
    check.not_empty("train_data.video_path", train_data.video_path);
    check.literal("pretrained_model_path", pretrained_model_path);
    check.literal("output_dir", output_dir);
    check.literal("train_data.video_path", train_data.video_path);
    check.literal("train_data.prompt", train_data.prompt);
    check.at_least("train_data.n_sample_frames", train_data.n_sample_frames, 1);
    check.picture_side("train_data.width", train_data.width);
    check.picture_side("train_data.height", train_data.height);
    check.at_least("train_data.sample_start_idx", train_data.sample_start_idx, 0);
    check.at_least("train_data.sample_frame_rate", train_data.sample_frame_rate, 1);

    const TuneValidationData& v = validation_data;
    for (const std::string& prompt : v.prompts) {
        check.literal("validation_data.prompts", prompt);
    }
    check.literal("validation_data.negative_prompt", v.negative_prompt.value_or(""));
    check.at_least("validation_data.video_length", v.video_length, 1);
    check.picture_side("validation_data.width", v.width);
    check.picture_side("validation_data.height", v.height);
    check.at_least("validation_data.num_inference_steps", v.num_inference_steps, 1);
    check.at_least("validation_data.num_inv_steps", v.num_inv_steps, 1);
    check.within("validation_data.guidance_scale", v.guidance_scale, 0, 1e4);
    check.within("validation_data.eta", v.eta, 0, 1);
    if (v.use_inv_latent) {
        // The inverted latent of the training clip is what sampling starts from.
        check.equal("validation_data.video_length", v.video_length, "train_data.n_sample_frames",
                    train_data.n_sample_frames);
        check.equal("validation_data.width", v.width, "train_data.width", train_data.width);
        check.equal("validation_data.height", v.height, "train_data.height", train_data.height);
    }

    check.at_least("validation_steps", validation_steps, 1);
    check.at_least("checkpointing_steps", checkpointing_steps, 1);
    check.that(!trainable_modules.empty(), "trainable_modules", "expected at least one module name, found none");
    for (const std::string& name : trainable_modules) {
        check.that(!name.empty(), "trainable_modules", "expected module names, found an empty one");
        check.literal("trainable_modules", name);
    }
    check.that(train_batch_size == 1, "train_batch_size", "expected 1, found ", train_batch_size,
               "; one clip is one item, use gradient_accumulation_steps for larger batches");
    check.literal("resume_from_checkpoint", resume_from_checkpoint.value_or("latest"));
    check.at_least("max_train_steps", max_train_steps, 0);
    check.at_least("gradient_accumulation_steps", gradient_accumulation_steps, 1);
    check.within("learning_rate", learning_rate, 0, 1);
    check.one_of("lr_scheduler", lr_scheduler,
                 std::array<std::string_view, 6>{"constant", "constant_with_warmup", "linear", "cosine",
                                                 "cosine_with_restarts", "polynomial"});
    check.at_least("lr_warmup_steps", lr_warmup_steps, 0);
    check.below("adam_beta1", adam_beta1, 0, 1);
    check.below("adam_beta2", adam_beta2, 0, 1);
    check.within("adam_weight_decay", adam_weight_decay, 0, 1e6);
    check.within("adam_epsilon", adam_epsilon, 0, 1);
    check.that(max_grad_norm > 0, "max_grad_norm", "expected a number above 0, found ", max_grad_norm);
    check.one_of("mixed_precision", mixed_precision, std::array<std::string_view, 3>{"no", "fp16", "bf16"});
}

namespace detail {

[[nodiscard]] inline TuneTrainData read_train_data(YamlReader data) {
    TuneTrainData train;
    train.video_path = data.require<std::string>("video_path");
    train.prompt = data.require<std::string>("prompt");
    train.n_sample_frames = data.get("n_sample_frames", train.n_sample_frames);
    train.width = data.get("width", train.width);
    train.height = data.get("height", train.height);
    train.sample_start_idx = data.get("sample_start_idx", train.sample_start_idx);
    train.sample_frame_rate = data.get("sample_frame_rate", train.sample_frame_rate);
    data.finish();
    return train;
}

/// negative_prompt may be a list in the reference, which then must have an item per prompt: one.
[[nodiscard]] inline std::optional<std::string> read_negative_prompt(YamlReader& data) {
    const YamlNode* value = data.raw("negative_prompt");
    if (value == nullptr || value->kind != YamlNode::Kind::list) {
        return data.get_optional<std::string>("negative_prompt");
    }
    const auto prompts = data.require<std::vector<std::string>>("negative_prompt");
    require(prompts.size() == 1, data.location("negative_prompt"), ": expected one text, found ", describe(*value));
    return prompts.front();
}

[[nodiscard]] inline TuneValidationData read_validation_data(YamlReader data, const TuneTrainData& train) {
    TuneValidationData v;
    v.prompts = data.get("prompts", v.prompts);
    v.video_length = data.get("video_length", train.n_sample_frames);
    v.width = data.get("width", train.width);
    v.height = data.get("height", train.height);
    v.num_inference_steps = data.get("num_inference_steps", v.num_inference_steps);
    v.guidance_scale = data.get("guidance_scale", v.guidance_scale);
    v.negative_prompt = read_negative_prompt(data);
    v.eta = data.get("eta", v.eta);
    v.use_inv_latent = data.get("use_inv_latent", v.use_inv_latent);
    v.num_inv_steps = data.get("num_inv_steps", v.num_inv_steps);
    // The reference's sampling function takes these as well; only what changes nothing is supported.
    require(data.get("num_videos_per_prompt", 1) == 1, data.location("num_videos_per_prompt"),
            ": only 1 is supported; repeat the prompt for more");
    require(data.get<std::string>("output_type", "tensor") == "tensor", data.location("output_type"),
            ": only \"tensor\" is supported");
    require(data.get("return_dict", true), data.location("return_dict"), ": only True is supported");
    require(data.get("callback_steps", 1) >= 1, data.location("callback_steps"), ": expected at least 1");
    require(!data.get_optional<std::string>("callback"), data.location("callback"),
            ": a configuration cannot name a function; only null is supported");
    data.finish();
    return v;
}

} // namespace detail

/// Reads a tuning configuration, as Tune-A-Video's `--config` does. Keys that are absent keep their defaults, except
/// that the validation clip's length and size are then those of the training clip. An unknown key is an error that
/// suggests the nearest. Throws Error that starts with "file:line: key path".
[[nodiscard]] inline TuneAVideoConfig parse_tune_config(YamlNode root, const std::string& where) {
    detail::check_known_tune_keys(root, where);
    const std::map<std::string, int, std::less<>> lines = detail::key_lines(root);
    YamlReader file(std::move(root), where);
    TuneAVideoConfig c;
    c.pretrained_model_path = file.require<std::string>("pretrained_model_path");
    c.output_dir = file.require<std::string>("output_dir");
    c.train_data = detail::read_train_data(file.section("train_data"));
    c.validation_data = detail::read_validation_data(file.section("validation_data"), c.train_data);
    c.validation_steps = file.get("validation_steps", c.validation_steps);
    c.trainable_modules = file.get("trainable_modules", c.trainable_modules);
    c.train_batch_size = file.get("train_batch_size", c.train_batch_size);
    c.max_train_steps = file.get("max_train_steps", c.max_train_steps);
    c.learning_rate = file.get("learning_rate", c.learning_rate);
    c.scale_lr = file.get("scale_lr", c.scale_lr);
    c.lr_scheduler = file.get("lr_scheduler", c.lr_scheduler);
    c.lr_warmup_steps = file.get("lr_warmup_steps", c.lr_warmup_steps);
    c.adam_beta1 = file.get("adam_beta1", c.adam_beta1);
    c.adam_beta2 = file.get("adam_beta2", c.adam_beta2);
    c.adam_weight_decay = file.get("adam_weight_decay", c.adam_weight_decay);
    c.adam_epsilon = file.get("adam_epsilon", c.adam_epsilon);
    c.max_grad_norm = file.get("max_grad_norm", c.max_grad_norm);
    c.gradient_accumulation_steps = file.get("gradient_accumulation_steps", c.gradient_accumulation_steps);
    c.gradient_checkpointing = file.get("gradient_checkpointing", c.gradient_checkpointing);
    c.checkpointing_steps = file.get("checkpointing_steps", c.checkpointing_steps);
    c.resume_from_checkpoint = file.get_optional<std::string>("resume_from_checkpoint");
    if (c.resume_from_checkpoint == "") {
        c.resume_from_checkpoint.reset(); // as in the reference
    }
    const bool given = file.has("mixed_precision");
    c.mixed_precision =
        file.get_optional<std::string>("mixed_precision").value_or(given ? "no" : c.mixed_precision); // null: none
    c.use_8bit_adam = file.get("use_8bit_adam", c.use_8bit_adam);
    c.enable_xformers_memory_efficient_attention =
        file.get("enable_xformers_memory_efficient_attention", c.enable_xformers_memory_efficient_attention);
    c.seed = file.get_optional<std::uint64_t>("seed");
    file.finish();
    c.validate([&](std::string_view key) {
        const auto line = lines.find(key);
        return line == lines.end() ? concat_text(where, ": ", key) : concat_text(where, ":", line->second, ": ", key);
    });
    return c;
}

/// Reads a tuning configuration from a file. See parse_tune_config.
[[nodiscard]] inline TuneAVideoConfig read_tune_config(const std::filesystem::path& path) {
    return parse_tune_config(read_yaml(path), path.string());
}

} // namespace reel
