#pragma once
// Writes tuning configurations. Needs yaml-cpp (target reel::io), through tune_config.hpp.

#include <reel/core/error.hpp>
#include <reel/io/config/tune_config.hpp>
#include <reel/io/config/yaml_writer.hpp>
#include <reel/io/files/atomic_file.hpp>

#include <concepts>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

namespace detail {

/// Lines of `key: value`, two spaces deeper in each group.
class TuneConfigText {
public:
    template <class T>
    void add(std::string_view key, const T& value) {
        text_ += concat_text(indent_, key, ":");
        if constexpr (std::same_as<T, std::vector<std::string>>) {
            text_ += value.empty() ? " []\n" : "\n";
            for (const std::string& item : value) {
                text_ += concat_text(indent_, "  - ", yaml_quoted(item, key), "\n");
            }
        } else {
            text_ += concat_text(" ", scalar(key, value), "\n");
        }
    }

    void open(std::string_view key) {
        text_ += concat_text(key, ":\n");
        indent_ = "  ";
    }
    void close() { indent_.clear(); }

    [[nodiscard]] const std::string& text() const { return text_; }

private:
    template <class T>
    static std::string scalar(std::string_view key, const T& value) {
        if constexpr (std::same_as<T, bool>) {
            return value ? "true" : "false";
        } else if constexpr (std::integral<T>) {
            return std::to_string(value);
        } else if constexpr (std::floating_point<T>) {
            return yaml_float(value);
        } else if constexpr (std::same_as<T, std::string>) {
            return yaml_quoted(value, key);
        } else {
            return value ? scalar(key, *value) : "null";
        }
    }

    std::string text_;
    std::string indent_;
};

} // namespace detail

/// The configuration as YAML, every key written out: what read_tune_config and the reference read back as the same
/// values.
[[nodiscard]] inline std::string tune_config_text(const TuneAVideoConfig& c) {
    detail::TuneConfigText out;
    out.add("pretrained_model_path", c.pretrained_model_path);
    out.add("output_dir", c.output_dir);
    out.open("train_data");
    out.add("video_path", c.train_data.video_path);
    out.add("prompt", c.train_data.prompt);
    out.add("n_sample_frames", c.train_data.n_sample_frames);
    out.add("width", c.train_data.width);
    out.add("height", c.train_data.height);
    out.add("sample_start_idx", c.train_data.sample_start_idx);
    out.add("sample_frame_rate", c.train_data.sample_frame_rate);
    out.close();
    const TuneValidationData& v = c.validation_data;
    out.open("validation_data");
    out.add("prompts", v.prompts);
    out.add("video_length", v.video_length);
    out.add("width", v.width);
    out.add("height", v.height);
    out.add("num_inference_steps", v.num_inference_steps);
    out.add("guidance_scale", v.guidance_scale);
    out.add("negative_prompt", v.negative_prompt);
    out.add("eta", v.eta);
    out.add("use_inv_latent", v.use_inv_latent);
    out.add("num_inv_steps", v.num_inv_steps);
    out.close();
    out.add("validation_steps", c.validation_steps);
    out.add("trainable_modules", c.trainable_modules);
    out.add("train_batch_size", c.train_batch_size);
    out.add("max_train_steps", c.max_train_steps);
    out.add("learning_rate", c.learning_rate);
    out.add("scale_lr", c.scale_lr);
    out.add("lr_scheduler", c.lr_scheduler);
    out.add("lr_warmup_steps", c.lr_warmup_steps);
    out.add("adam_beta1", c.adam_beta1);
    out.add("adam_beta2", c.adam_beta2);
    out.add("adam_weight_decay", c.adam_weight_decay);
    out.add("adam_epsilon", c.adam_epsilon);
    out.add("max_grad_norm", c.max_grad_norm);
    out.add("gradient_accumulation_steps", c.gradient_accumulation_steps);
    out.add("gradient_checkpointing", c.gradient_checkpointing);
    out.add("checkpointing_steps", c.checkpointing_steps);
    out.add("resume_from_checkpoint", c.resume_from_checkpoint);
    out.add("mixed_precision", c.mixed_precision);
    out.add("use_8bit_adam", c.use_8bit_adam);
    out.add("enable_xformers_memory_efficient_attention", c.enable_xformers_memory_efficient_attention);
    out.add("seed", c.seed);
    return out.text();
}

/// Writes a configuration file, complete or not at all (see AtomicFile).
inline void write_tune_config(const std::filesystem::path& path, const TuneAVideoConfig& config) {
    write_file(path, tune_config_text(config));
}

} // namespace reel
