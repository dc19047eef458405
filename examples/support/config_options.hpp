#pragma once
// Options that carry the names of a configuration's keys and override them.

#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include <reel/pipelines/tune_config_file.hpp>

#include "program.hpp"

namespace program {

/// The value after --config, read before the other options so that they override it; "" when there is none.
[[nodiscard]] inline std::string config_argument(int argc, char** argv) {
    CLI::App first;
    first.set_help_flag();
    first.allow_extras();
    std::string path;
    first.add_option("--config", path);
    try {
        first.parse(argc, argv);
    } catch (const CLI::ParseError&) {
        return {}; // the full parser says what is wrong
    }
    return path;
}

/// read_tune_config(); but a file that does not say mixed_precision gets "no" and not the reference's fp16, which is
/// for GPUs: the slowest choice on a CPU shall be nobody's by default.
[[nodiscard]] inline reel::TuneAVideoConfig read_config(const std::string& path) {
    reel::TuneAVideoConfig config = reel::read_tune_config(path);
    const reel::YamlNode root = reel::read_yaml(path);
    const bool given =
        std::any_of(root.keys.begin(), root.keys.end(), [](const auto& key) { return key.name == "mixed_precision"; });
    if (!given) {
        config.mixed_precision = reel::MixedPrecision::no;
    }
    return config;
}

/// Says on stderr that float16 was chosen.
inline void warn_of_precision(const reel::TuneAVideoConfig& config) {
    if (config.mixed_precision == reel::MixedPrecision::fp16) {
        std::cerr << "mixed_precision: fp16 is slow on a CPU, which computes it in float32; bf16 or no is faster\n";
    }
}

/// Whether one of some options is on the command line, as "--name" or "--name=value".
[[nodiscard]] inline bool any_given(int argc, char** argv, std::initializer_list<std::string_view> names) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        for (const std::string_view name : names) {
            if (word == name || (word.starts_with(name) && word.substr(name.size()).starts_with('='))) {
                return true;
            }
        }
    }
    return false;
}

/// Options of both programs. One clip and one size serve training and validation.
class ConfigOptions {
public:
    /// `from_file`: the configuration was read from a file, so that nothing is required here.
    ConfigOptions(CLI::App& app, reel::TuneAVideoConfig& config, bool from_file) : config_(config) {
        reel::TuneTrainData& train = config.train_data;
        reel::TuneValidationData& validation = config.validation_data;
        app.add_option("--model", config.pretrained_model_path, "diffusers folder of Stable Diffusion 1.x or 2.x")
            ->required(!from_file);
        app.add_option("--video", train.video_path, "the clip: mp4, gif, ...")->required(!from_file);
        app.add_option("--prompt", train.prompt, "what the clip shows")->required(!from_file);
        app.add_option("--output", config.output_dir, "folder to write to")->required(!from_file);
        frames_ = app.add_option("--n_sample_frames", train.n_sample_frames, "frames taken from the clip");
        width_ = app.add_option("--width", train.width, "pixels, a multiple of 8");
        height_ = app.add_option("--height", train.height, "pixels, a multiple of 8");
        app.add_option("--sample_start_idx", train.sample_start_idx, "first frame taken");
        app.add_option("--sample_frame_rate", train.sample_frame_rate, "take every n-th frame");
        app.add_option("--max_train_steps", config.max_train_steps, "tuning steps");
        app.add_option("--learning_rate", config.learning_rate, "of AdamW");
        app.add_option("--trainable_modules", config.trainable_modules, "endings of the modules' names that train");
        app.add_option("--gradient_checkpointing", config.gradient_checkpointing,
                       "less memory for one more forward pass");
        app.add_option_function<std::string>(
            "--mixed_precision",
            [&config](const std::string& name) {
                config.mixed_precision = reel::choice_of<reel::MixedPrecision>(name, "--mixed_precision");
            },
            "no, bf16 or fp16: of frozen weights and activations; what trains stays float32");
        app.add_option("--num_inv_steps", validation.num_inv_steps, "inversion steps");
        app.add_option("--num_inference_steps", validation.num_inference_steps, "sampling steps");
        app.add_option("--guidance_scale", validation.guidance_scale, "of the edited prompt; 1 or less: none");
        negative_ = app.add_option("--negative_prompt", negative_prompt_, "what it shall not show");
        app.add_option("--eta", validation.eta, "0: deterministic sampling, 1: as noisy as DDPM");
    }

    /// After parsing: gives validation the clip's length and size where an option set them, or always.
    void align_validation(bool always) {
        reel::TuneValidationData& validation = config_.validation_data;
        if (always || frames_->count() > 0) {
            validation.video_length = config_.train_data.n_sample_frames;
        }
        if (always || width_->count() > 0) {
            validation.width = config_.train_data.width;
        }
        if (always || height_->count() > 0) {
            validation.height = config_.train_data.height;
        }
        if (negative_->count() > 0) {
            validation.negative_prompt = negative_prompt_;
        }
    }

private:
    reel::TuneAVideoConfig& config_;
    CLI::Option* frames_ = nullptr;
    CLI::Option* width_ = nullptr;
    CLI::Option* height_ = nullptr;
    CLI::Option* negative_ = nullptr;
    std::string negative_prompt_;
};

/// Checks a configuration that options have changed; messages name the option.
inline void validate_options(const reel::TuneAVideoConfig& config) {
    config.validate([](std::string_view key) {
        const std::string_view name = key.substr(key.find('.') + 1);
        for (const auto& [from, to] : {std::pair<std::string_view, const char*>{"pretrained_model_path", "--model"},
                                       {"output_dir", "--output"},
                                       {"video_path", "--video"},
                                       {"prompts", "--edit (validation_data.prompts)"},
                                       {"video_length", "--n_sample_frames (validation_data.video_length)"}}) {
            if (name == from) {
                return std::string(to);
            }
        }
        return "--" + std::string(name);
    });
}

} // namespace program
