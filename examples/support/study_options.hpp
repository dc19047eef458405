#pragma once
// The options that decide how a cell of a study is made, by name, and which stage of the work each of them matters to.

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/core/nearest_name.hpp>
#include <reel/pipelines/tune_config_file.hpp>

#include "tuning_identity.hpp"

namespace study {

/// How the place of an edit is found; see insert_object's options of these names.
struct MaskChoice {
    std::string method = "none"; ///< the whole clip may change; or "difference", or "delta"
    double threshold = 0.5;
    double quantile = 1;
    bool per_frame = false;
    int smooth = 1;
    int dilate = 0;
    int regions = 0;
    std::string noise = "draws";
    std::vector<double> strengths{0.5};
    int draws = 10;
};

/// How mask: delta drafts the edit; see insert_object's options of these names.
struct DraftChoice {
    int steps = 120;
    double step_size = 0.05;
    double weakest = 0.6;
    double strongest = 0.75;
    double guidance_scale = 6;
    double shrinkage = 0.008;
    double fill_below = 0.5;
    double strength = 0.7;
};

/// Everything that may be set for all cells, for an object, a clip or a sampler, or varied. Names and defaults are
/// insert_object's.
struct Options {
    Options() {
        config.checkpointing_steps = 100;
        config.mixed_precision = reel::MixedPrecision::no; // the model's: one for the whole study
    }

    reel::TuneAVideoConfig config; ///< its paths, prompts and seed are not used: they are the cell's
    std::optional<std::uint64_t> tuning_seed;
    bool reference_checkpointing = false;
    bool reference_inversion = false;
    std::string inverted_latents = "sample";
    std::string inversion_prompt = "empty";
    std::string guidance_prompt = "negative";
    std::string start = "inversion"; ///< of sampling: the inverted clip, or noise
    MaskChoice mask;
    DraftChoice draft;

    [[nodiscard]] bool masked() const { return mask.method != "none"; }
    [[nodiscard]] bool drafted() const { return mask.method == "delta"; }
    [[nodiscard]] bool inverted() const { return start == "inversion"; }
};

/// What a model's weights and activations may be.
inline constexpr std::array<std::string_view, 3> precision_names{"no", "bf16", "fp16"};

namespace detail {

/// Reads a text that must be one of some names.
template <std::size_t N>
void read_choice(reel::YamlReader& reader, const char* key, std::string& value,
                 const std::array<std::string_view, N>& names) {
    value = reader.get(key, value);
    std::string listed;
    for (const std::string_view name : names) {
        if (name == value) {
            return;
        }
        listed += (listed.empty() ? "" : ", ") + std::string(name);
    }
    reel::fail(reader.location(key), ": expected one of ", listed, ", found \"", value, "\"",
               reel::did_you_mean(value, names));
}

inline void read_mask(reel::YamlReader& reader, MaskChoice& mask) {
    read_choice(reader, "mask", mask.method, std::array<std::string_view, 3>{"none", "difference", "delta"});
    mask.threshold = reader.get("mask_threshold", mask.threshold);
    mask.quantile = reader.get("mask_quantile", mask.quantile);
    mask.per_frame = reader.get("mask_per_frame", mask.per_frame);
    mask.smooth = reader.get("mask_smooth", mask.smooth);
    mask.dilate = reader.get("mask_dilate", mask.dilate);
    mask.regions = reader.get("mask_regions", mask.regions);
    read_choice(reader, "mask_noise", mask.noise, std::array<std::string_view, 2>{"draws", "inversion"});
    mask.strengths = reader.get("mask_strengths", mask.strengths);
    mask.draws = reader.get("mask_draws", mask.draws);
}

inline void read_draft(reel::YamlReader& reader, DraftChoice& draft) {
    draft.steps = reader.get("delta_steps", draft.steps);
    draft.step_size = reader.get("delta_step_size", draft.step_size);
    draft.weakest = reader.get("delta_weakest", draft.weakest);
    draft.strongest = reader.get("delta_strongest", draft.strongest);
    draft.guidance_scale = reader.get("delta_guidance_scale", draft.guidance_scale);
    draft.shrinkage = reader.get("delta_shrinkage", draft.shrinkage);
    draft.fill_below = reader.get("delta_fill", draft.fill_below);
    draft.strength = reader.get("delta_strength", draft.strength);
}

inline void read_tuning(reel::YamlReader& reader, Options& options) {
    reel::TuneAVideoConfig& c = options.config;
    c.trainable_modules = reader.get("trainable_modules", c.trainable_modules);
    c.max_train_steps = reader.get("max_train_steps", c.max_train_steps);
    c.learning_rate = reader.get("learning_rate", c.learning_rate);
    c.scale_lr = reader.get("scale_lr", c.scale_lr);
    reel::detail::read_option(reader, "lr_scheduler", c.lr_scheduler);
    c.lr_warmup_steps = reader.get("lr_warmup_steps", c.lr_warmup_steps);
    c.adam_beta1 = reader.get("adam_beta1", c.adam_beta1);
    c.adam_beta2 = reader.get("adam_beta2", c.adam_beta2);
    c.adam_weight_decay = reader.get("adam_weight_decay", c.adam_weight_decay);
    c.adam_epsilon = reader.get("adam_epsilon", c.adam_epsilon);
    c.max_grad_norm = reader.get("max_grad_norm", c.max_grad_norm);
    c.gradient_accumulation_steps = reader.get("gradient_accumulation_steps", c.gradient_accumulation_steps);
    c.gradient_checkpointing = reader.get("gradient_checkpointing", c.gradient_checkpointing);
    c.use_8bit_adam = reader.get("use_8bit_adam", c.use_8bit_adam);
    c.checkpointing_steps = reader.get("checkpointing_steps", c.checkpointing_steps);
    options.reference_checkpointing = reader.get("reference_checkpointing", options.reference_checkpointing);
    if (reader.has("tuning_seed")) {
        options.tuning_seed = reader.require<std::uint64_t>("tuning_seed");
    }
    static_cast<void>(reader.raw("tuning_seed")); // known, also where it is absent
}

} // namespace detail

/// Lays a group of options over others. Throws Error with file and line for an unknown key (with the nearest known
/// one) or a value of another type.
inline void read_options(reel::YamlReader reader, Options& options) {
    reel::TuneTrainData& train = options.config.train_data;
    train.n_sample_frames = reader.get("n_sample_frames", train.n_sample_frames);
    train.width = reader.get("width", train.width);
    train.height = reader.get("height", train.height);
    train.sample_start_idx = reader.get("sample_start_idx", train.sample_start_idx);
    train.sample_frame_rate = reader.get("sample_frame_rate", train.sample_frame_rate);
    detail::read_tuning(reader, options);
    reel::TuneValidationData& v = options.config.validation_data;
    detail::read_choice(reader, "start", options.start, std::array<std::string_view, 2>{"inversion", "noise"});
    v.num_inv_steps = reader.get("num_inv_steps", v.num_inv_steps);
    options.reference_inversion = reader.get("reference_inversion", options.reference_inversion);
    detail::read_choice(reader, "inverted_latents", options.inverted_latents,
                        std::array<std::string_view, 2>{"sample", "mean"});
    detail::read_choice(reader, "inversion_prompt", options.inversion_prompt,
                        std::array<std::string_view, 2>{"empty", "source"});
    v.num_inference_steps = reader.get("num_inference_steps", v.num_inference_steps);
    v.guidance_scale = reader.get("guidance_scale", v.guidance_scale);
    v.negative_prompt = reader.get("negative_prompt", v.negative_prompt.value_or(""));
    v.eta = reader.get("eta", v.eta);
    detail::read_choice(reader, "guidance_prompt", options.guidance_prompt,
                        std::array<std::string_view, 2>{"negative", "source"});
    detail::read_mask(reader, options.mask);
    detail::read_draft(reader, options.draft);
    reader.finish();
}

/// Checks ranges and what must fit together. `where` begins the messages.
inline void check_options(Options options, const std::string& where) {
    reel::TuneAVideoConfig& c = options.config;
    c.pretrained_model_path = c.output_dir = c.train_data.video_path = "given elsewhere";
    c.mixed_precision = reel::MixedPrecision::no;
    c.validation_data.video_length = c.train_data.n_sample_frames;
    c.validation_data.width = c.train_data.width;
    c.validation_data.height = c.train_data.height;
    const auto key = [&](std::string_view path) {
        return reel::concat_text(where, ": ", path.substr(path.rfind('.') + 1));
    };
    c.validate(key);
    const MaskChoice& mask = options.mask;
    reel::require(mask.threshold >= 0 && mask.threshold < 1, key("mask_threshold"), ": expected 0 or more and below 1");
    reel::require(mask.quantile > 0 && mask.quantile <= 1, key("mask_quantile"), ": expected more than 0, at most 1");
    reel::require(mask.smooth >= 0 && mask.dilate >= 0 && mask.regions >= 0 && mask.draws >= 1, where,
                  ": mask_smooth, mask_dilate and mask_regions must be 0 or more, mask_draws 1 or more");
    reel::require(!mask.strengths.empty(), key("mask_strengths"), ": expected at least one number");
    const DraftChoice& draft = options.draft;
    reel::require(draft.steps >= 1 && draft.step_size > 0 && draft.guidance_scale > 0 && draft.shrinkage >= 0, where,
                  ": delta_steps, delta_step_size and delta_guidance_scale must be above 0, delta_shrinkage 0 or more");
    reel::require(draft.fill_below >= 0 && draft.fill_below <= 1, key("delta_fill"), ": expected 0 to 1");
    reel::require(draft.weakest > 0 && draft.weakest <= draft.strongest && draft.strongest <= 1 && draft.strength > 0 &&
                      draft.strength <= 1,
                  where, ": delta_weakest, delta_strongest and delta_strength must be above 0 and at most 1, and ",
                  "delta_weakest not above delta_strongest");
    reel::require(!options.masked() || c.validation_data.num_inv_steps == c.validation_data.num_inference_steps, where,
                  ": mask is ", mask.method, ", num_inv_steps ", c.validation_data.num_inv_steps,
                  " and num_inference_steps ", c.validation_data.num_inference_steps,
                  "; they must be equal, because outside the mask each step takes the inversion's latents");
}

/// What tuning depends on, beside the clip and its prompt.
[[nodiscard]] inline nlohmann::json tuning_json(const Options& options, std::uint64_t seed) {
    const reel::TuneTrainData& train = options.config.train_data;
    nlohmann::json json = editing::tuning_options_json(options.config, options.reference_checkpointing);
    json.update({{"n_sample_frames", train.n_sample_frames},
                 {"width", train.width},
                 {"height", train.height},
                 {"sample_start_idx", train.sample_start_idx},
                 {"sample_frame_rate", train.sample_frame_rate},
                 {"max_train_steps", options.config.max_train_steps},
                 {"tuning_seed", options.tuning_seed.value_or(seed)}});
    return json;
}

/// What inversion depends on, beside the tuned model and the sampler whose steps it undoes.
[[nodiscard]] inline nlohmann::json inversion_json(const Options& options) {
    nlohmann::json json{{"start", options.start}, {"inverted_latents", options.inverted_latents}};
    if (options.inverted()) {
        json.update({{"num_inv_steps", options.config.validation_data.num_inv_steps},
                     {"inversion_prompt", options.inversion_prompt},
                     {"reference_inversion", options.reference_inversion}});
    }
    return json;
}

/// What sampling depends on, beside the inversion, the sampler, the caption and the seed.
[[nodiscard]] inline nlohmann::json sampling_json(const Options& options) {
    const reel::TuneValidationData& v = options.config.validation_data;
    nlohmann::json json{{"num_inference_steps", v.num_inference_steps},      {"guidance_scale", v.guidance_scale},
                        {"negative_prompt", v.negative_prompt.value_or("")}, {"eta", v.eta},
                        {"guidance_prompt", options.guidance_prompt},        {"mask", options.mask.method}};
    if (options.masked()) {
        const MaskChoice& mask = options.mask;
        json.update({{"mask_threshold", mask.threshold},
                     {"mask_quantile", mask.quantile},
                     {"mask_per_frame", mask.per_frame},
                     {"mask_smooth", mask.smooth},
                     {"mask_dilate", mask.dilate},
                     {"mask_regions", mask.regions},
                     {"mask_noise", mask.noise},
                     {"mask_strengths", mask.strengths},
                     {"mask_draws", mask.draws}});
    }
    if (options.drafted()) {
        const DraftChoice& draft = options.draft;
        json.update({{"delta_steps", draft.steps},
                     {"delta_step_size", draft.step_size},
                     {"delta_weakest", draft.weakest},
                     {"delta_strongest", draft.strongest},
                     {"delta_guidance_scale", draft.guidance_scale},
                     {"delta_shrinkage", draft.shrinkage},
                     {"delta_fill", draft.fill_below},
                     {"delta_strength", draft.strength}});
    }
    return json;
}

} // namespace study
