#pragma once
// The configuration of a tuning run, with the keys of Tune-A-Video's YAML files. Files: tune_config_file.hpp.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <reel/core/option_checks.hpp>
#include <reel/pipelines/edit_options.hpp>

namespace reel {

/// The VAE makes one latent of 8 x 8 pixels.
inline constexpr OptionRange picture_side{.least = 8, .most = 16384, .multiple_of = 8, .of = "pixels"};

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

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"video_path", "the clip: mp4, gif, ...", {}, "path"}, self.video_path);
        visit(Option{"prompt", "what the clip shows"}, self.prompt);
        visit(Option{"n_sample_frames", "frames taken from the clip", at_least(1)}, self.n_sample_frames);
        visit(Option{"width", "pixels, a multiple of 8", picture_side}, self.width);
        visit(Option{"height", "pixels, a multiple of 8", picture_side}, self.height);
        visit(Option{"sample_start_idx", "first frame taken", at_least(0)}, self.sample_start_idx);
        visit(Option{"sample_frame_rate", "take every n-th frame", at_least(1)}, self.sample_frame_rate);
    }
};

/// What is sampled during and after tuning.
struct TuneValidationData : SamplingOptions {
    std::vector<std::string> prompts;
    int video_length = 8; ///< frames; width and height in pixels
    int width = 512;
    int height = 512;

    bool operator==(const TuneValidationData&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"prompts", "edits to sample"}, self.prompts);
        visit(Option{"video_length", "frames to sample", at_least(1)}, self.video_length);
        visit(Option{"width", "pixels, a multiple of 8", picture_side}, self.width);
        visit(Option{"height", "pixels, a multiple of 8", picture_side}, self.height);
        SamplingOptions::options(self, visit);
    }
};

/// Names, meanings and defaults as in Tune-A-Video (showlab/Tune-A-Video at 7d4a89a, train_tuneavideo.py); see
/// docs/config.md for each key.
struct TuneAVideoConfig : TuneOptions {
    std::string pretrained_model_path;
    std::string output_dir;
    TuneTrainData train_data;
    TuneValidationData validation_data;
    int validation_steps = 100;
    bool enable_xformers_memory_efficient_attention = true; ///< attention never stores its scores here, either way
    std::optional<std::uint64_t> seed;

    bool operator==(const TuneAVideoConfig&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"pretrained_model_path",
                     "Stable Diffusion 1.x or 2.x: a diffusers folder, or a .safetensors or .ckpt file",
                     {},
                     "path"},
              self.pretrained_model_path);
        visit(Option{"output_dir", "folder to write to", {}, "path"}, self.output_dir);
        visit(OptionGroup{"train_data"}, self.train_data);
        visit(OptionGroup{"validation_data"}, self.validation_data);
        visit(Option{"validation_steps", "sample after every so many steps", at_least(1)}, self.validation_steps);
        TuneOptions::options(self, visit);
        visit(Option{"enable_xformers_memory_efficient_attention",
                     "read, and of no effect: attention never stores its scores here"},
              self.enable_xformers_memory_efficient_attention);
        visit(Option{"seed", "of everything random"}, self.seed);
    }

    /// What must fit together, beyond ranges.
    void check(const KeyLocator& locate) const {
        TuneOptions::check(locate);
        const TuneValidationData& v = validation_data;
        const auto equal = [&](std::string_view key, int value, std::string_view other_key, int other) {
            require(!v.use_inv_latent || value == other, locate(key), ": expected ", other, " as in ", other_key,
                    ", found ", value, "; with use_inv_latent, sampling starts from the training clip's latent");
        };
        equal("validation_data.video_length", v.video_length, "train_data.n_sample_frames", train_data.n_sample_frames);
        equal("validation_data.width", v.width, "train_data.width", train_data.width);
        equal("validation_data.height", v.height, "train_data.height", train_data.height);
    }

    /// Checks ranges and what must fit together. Call it again after changing a config that was read. Throws Error
    /// that starts with `locate(key path)`, the bare key path unless given, and names what was expected and found.
    void validate(const KeyLocator& locate = bare_key) const { check_options(*this, locate); }
};

} // namespace reel
