#pragma once

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/video/video_writer.hpp>
#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/delta_denoising.hpp>
#include <reel/pipelines/mask.hpp>
#include <reel/pipelines/overlay.hpp>
#include <reel/pipelines/tune_config_file.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

#include "backend_option.hpp"
#include "networks.hpp"
#include "program.hpp"
#include "samplers.hpp"

/// What the editing programs have in common: the stages of the job, each with its progress bar. What runs a model is
/// compiled once for all of them, in editing.cpp.
namespace editing {

/// The clip that a configuration names, chosen and resized as the reference does.
[[nodiscard]] inline reel::Frames read_clip(const reel::TuneTrainData& data) {
    return reel::read_video(data.video_path, {.start = data.sample_start_idx,
                                              .stride = data.sample_frame_rate,
                                              .max_frames = data.n_sample_frames,
                                              .width = data.width,
                                              .height = data.height});
}

/// The frames in a replay file, with `fps` of our choice.
[[nodiscard]] inline reel::Frames frames_of(const reel::HostTensor& video, double fps) {
    reel::Frames frames;
    frames.count = static_cast<int>(video.shape[0]);
    frames.height = static_cast<int>(video.shape[1]);
    frames.width = static_cast<int>(video.shape[2]);
    frames.rgb = video.to_vector<std::uint8_t>();
    frames.fps = fps;
    return frames;
}

/// load_stable_diffusion() on the source's device, with weights and activations in its mixed_precision.
[[nodiscard]] Model load_model(Cpu& cpu, const ModelSource& source);

/// A prompt for the UNet: [1, tokens, channels].
[[nodiscard]] Tensor encode_prompt(const Model& model, const std::string& prompt);

/// Moments of the clip's latents.
[[nodiscard]] Tensor encode(Cpu& cpu, const Model& model, const reel::Frames& clip);

/// Latents to a clip of bytes; `pixels`, when given, gets the values in 0..1 [frames, height, width, 3].
[[nodiscard]] reel::Frames decode(const Model& model, const Tensor& latents, double fps, Tensor* pixels = nullptr);

/// The (scaled) mean of the clip's latents.
[[nodiscard]] Tensor mean_latents(const Model& model, const Tensor& moments);

/// The clip as the autoencoder draws it: the decoded mean of its latents.
[[nodiscard]] reel::Frames reconstruct(const Model& model, const Tensor& moments, double fps);

[[nodiscard]] inline const reel::TuneOptions& tune_options(const reel::TuneAVideoConfig& config) {
    return config;
}

/// Sets what trains and how gradients are computed. `keep`: Networks::restore() undoes what tuning does to it.
inline void prepare_training(Model& model, const reel::TuneAVideoConfig& config, bool reference_checkpointing,
                             bool keep = false) {
    std::optional<reel::CheckpointMode> checkpointing;
    if (config.gradient_checkpointing || reference_checkpointing) {
        checkpointing = reference_checkpointing ? reel::CheckpointMode::inputs_only : reel::CheckpointMode::exact;
    }
    model.networks->prepare_training(config.trainable_modules, checkpointing, keep);
}

/// losses.csv: one line per update.
class LossLog {
public:
    void add(const reel::TuneReport& report, double seconds) { rows_.push_back({report, seconds}); }

    [[nodiscard]] const std::vector<std::pair<reel::TuneReport, double>>& rows() const { return rows_; }

    void write(const std::filesystem::path& path) const {
        std::string text = "step,loss,grad_norm,learning_rate,seconds\n";
        for (const auto& [report, seconds] : rows_) {
            std::array<char, 160> line{};
            std::snprintf(line.data(), line.size(), "%td,%.9g,%.9g,%.9g,%.3f\n", report.step, report.loss,
                          report.grad_norm, report.learning_rate, seconds);
            text += line.data();
        }
        reel::write_file(path, text);
    }

    /// Reads back what write() wrote, up to and including `last_step`; a missing file is an empty log.
    void resume(const std::filesystem::path& path, index_t last_step) {
        std::ifstream file(path);
        std::string line;
        std::getline(file, line);
        while (std::getline(file, line)) {
            reel::TuneReport report;
            double seconds = 0;
            const int fields = std::sscanf(line.c_str(), "%td,%lf,%lf,%lf,%lf", &report.step, &report.loss,
                                           &report.grad_norm, &report.learning_rate, &seconds);
            reel::require(fields == 5, path.string(), ": cannot read \"", line.substr(0, 80),
                          "\"; expected step,loss,grad_norm,learning_rate,seconds");
            if (report.step <= last_step) {
                add(report, seconds);
            }
        }
    }

private:
    std::vector<std::pair<reel::TuneReport, double>> rows_;
};

/// Sees the step's number and its latents.
using Each = std::function<void(index_t, const Tensor&)>;

/// DDIM with the model's schedule, as the reference samples.
[[nodiscard]] Sampler ddim_sampler(const Model& model, double eta = 0);

/// What there is to choose a sampler by.
[[nodiscard]] inline SamplerRequest sampler_request(const Model& model, const std::string& name,
                                                    const std::string& config_file, double eta) {
    return {model.sampling, model.folder, name, config_file, eta};
}

/// The sampler, stopping at the levels that its inversion visits: DPM-Solver++ gets linspace spacing and ends at the
/// schedule's lowest level. Throws Error, with what to do, when no inversion leads to a start for this sampler.
[[nodiscard]] Sampler with_levels_of_inversion(const Sampler& sampler);

/// The timesteps of the levels that the sampler's inversion leads to, upwards. Throws Error as
/// with_levels_of_inversion() does, and where the noise schedule has no room for the steps.
[[nodiscard]] std::vector<double> levels_of_inversion(const Sampler& sampler, int steps);

/// The noise that the clip's latents invert to under a prompt, for a sampler to start from: DDIM's inversion for DDIM,
/// DPM-Solver++'s for that. `each` sees the start (step 0) and every step.
[[nodiscard]] Tensor invert(const Model& model, const Sampler& sampler, const Tensor& latents,
                            const std::string& prompt, int steps, reel::InversionFormula formula, const Each& each);

using Trajectory = reel::Trajectory<float, Cpu>;

/// The same, keeping every step's latents.
[[nodiscard]] Trajectory invert_trajectory(const Model& model, const Sampler& sampler, const Tensor& latents,
                                           const std::string& prompt, int steps, reel::InversionFormula formula,
                                           const Each& each);

/// Noise of the latents' shape, from the seed: where sampling starts without an inversion.
[[nodiscard]] Tensor noise_like(Cpu& cpu, const Tensor& latents, std::uint64_t seed);

/// The clip's latents with noise at the sampler's noise levels, in place of an inversion. `shared`: the noise of all
/// frames is that of delta_draft(), otherwise noise_like().
[[nodiscard]] Trajectory noised_trajectory(Cpu& cpu, Sampler sampler, const Tensor& latents, int steps,
                                           std::uint64_t seed, bool shared = false);

/// How the place of an edit is found.
struct MaskSettings {
    reel::MaskOptions options;
    std::string noise = "draws";        ///< "draws": fresh noise on the clip; "inversion": the inversion's own latents
    std::vector<double> strengths{0.5}; ///< noise levels at which the captions are compared
    int draws = 10;                     ///< of noise at each strength
};

/// Where the edited caption wants another picture than the source's: [frames, h, w, 1] in latents' pixels, 0 or 1.
[[nodiscard]] Tensor difference_mask(const Model& model, const Trajectory& trajectory, const std::string& source,
                                     const std::string& edited, const MaskSettings& settings, std::uint64_t seed);

/// How an edit is drafted, which also finds its place.
struct DeltaSettings {
    reel::DeltaOptions delta;
    double strength = 0.7; ///< of the noise on the draft where sampling begins
};

/// Throws Error that names an option out of range.
inline void check(const DeltaSettings& settings) {
    reel::check_options(settings.delta);
    reel::require(settings.strength > 0 && settings.strength <= 1, "--delta_strength is ", settings.strength,
                  "; expected more than 0 and at most 1");
}

/// A rough edit.
struct Draft {
    Tensor start;        ///< the draft with noise: where sampling begins
    Tensor mask;         ///< where it changed the clip: [frames, h, w, 1] in latents' pixels, 0 or 1
    index_t skipped = 0; ///< steps that this noise is later than a run's first
};

/// Drafts the edit by delta denoising. Noise is the same in all frames.
[[nodiscard]] Draft delta_draft(Cpu& cpu, const Model& model, Sampler sampler, const Tensor& latents,
                                const std::string& source, const std::string& edited, const DeltaSettings& settings,
                                const reel::MaskOptions& mask, int steps, std::uint64_t seed);

/// The clip outside of which nothing is to change.
struct Outside {
    const Trajectory& trajectory;
    const Tensor& mask;
    index_t skipped = 0; ///< steps that are left out at the beginning: the latents lie at the level after them
};

/// Sampling with an edited prompt. `each` sees every step. `outside`, when given, keeps the clip there.
[[nodiscard]] Tensor sample(Cpu& cpu, const Model& model, Sampler& sampler, const Tensor& latents,
                            const std::string& prompt, const std::string& negative_prompt,
                            const reel::TuneValidationData& options, std::uint64_t seed, const Each& each,
                            const Outside* outside = nullptr);

/// A mask of latents' pixels as marks of the picture's, [frames, height, width]: each covers its square.
[[nodiscard]] std::vector<std::uint8_t> marks_of(const Tensor& mask, int height, int width);

/// A prompt as a file name: letters, digits and a few marks kept, at most 80 bytes.
[[nodiscard]] inline std::string file_name_of(const std::string& prompt) {
    std::string name;
    for (const char c : prompt.substr(0, 80)) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        name += plain ? c : '_';
    }
    return name.empty() ? "_" : name;
}

/// Finds out before the work whether the noise schedule has room for the steps asked for.
inline void check_steps(Sampler sampler, const reel::TuneValidationData& options) {
    for (const auto& [key, steps] : {std::pair{"num_inference_steps", options.num_inference_steps},
                                     std::pair{"num_inv_steps", options.num_inv_steps}}) {
        try {
            sampler.set_timesteps(steps);
        } catch (const reel::Error& error) {
            reel::fail(key, " ", steps, ": ", error.what());
        }
    }
}

/// Says on stderr when a prompt is longer than the text encoder can see. Errors name the key it came from.
inline void check_prompt(const Model& model, const char* key, const std::string& prompt) {
    reel::Encoding encoding;
    try {
        encoding = model.tokenizer.encode_with_details(prompt);
    } catch (const reel::Error& error) {
        reel::fail(key, ": ", error.what());
    }
    if (encoding.truncated) {
        std::string dropped = encoding.dropped_text.substr(0, 60);
        while (!dropped.empty() && (static_cast<unsigned char>(dropped.back()) & 0x80U) != 0) {
            dropped.pop_back(); // no half of a character
        }
        std::cerr << "warning: " << key << " is longer than " << model.tokenizer.max_length() << " tokens; not seen: \""
                  << dropped << (dropped.size() < encoding.dropped_text.size() ? "..." : "") << "\"\n";
    }
}

/// Checks all prompts of a run before the work begins.
inline void check_prompts(const Model& model, const reel::TuneAVideoConfig& config) {
    check_prompt(model, "prompt", config.train_data.prompt);
    for (const std::string& prompt : config.validation_data.prompts) {
        check_prompt(model, "edited prompt", prompt);
    }
    check_prompt(model, "negative_prompt", config.validation_data.negative_prompt.value_or(""));
}

} // namespace editing
