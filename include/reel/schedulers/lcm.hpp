#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include <reel/schedulers/detail/consistency_steps.hpp>
#include <reel/schedulers/detail/step_functors.hpp>
#include <reel/schedulers/detail/thresholding.hpp>
#include <reel/schedulers/detail/variance_preserving.hpp>
#include <reel/schedulers/scheduler.hpp>

namespace reel {

/// Names and defaults are diffusers'. Its set_alpha_to_one, steps_offset and timestep_spacing have no effect there and
/// do not exist here.
struct LCMConfig {
    NoiseScheduleConfig schedule = stable_diffusion_schedule();
    PredictionType prediction_type = PredictionType::epsilon;
    index_t original_inference_steps = 50; ///< steps of the sampler that the model was distilled from
    bool clip_sample = false;              ///< clamp the predicted clean sample; wrong for latents
    double clip_sample_range = 1;          ///< to [-range, range]
    Thresholding threshold{};              ///< takes the place of clip_sample
    double timestep_scaling = 10;

    friend bool operator==(const LCMConfig&, const LCMConfig&) = default;
};

/// Latent consistency models (Luo et al. 2023, arXiv:2310.04378): multistep consistency sampling (algorithm 3). The
/// model's clean sample x0 at t, held to the boundary condition f(x, 0) = x (equation 9, with t scaled), is noised to
/// the next timestep p:
///
///     f = c_out x0 + c_skip x_t,    c_skip = d^2 / (u^2 + d^2),  c_out = u / sqrt(u^2 + d^2),  u = scaling t,  d = 0.5
///     x_p = sqrt(a_p) f + sqrt(1 - a_p) z,    and f itself after the last
class LCMScheduler : public VariancePreserving {
public:
    LCMScheduler() : LCMScheduler(LCMConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit LCMScheduler(const LCMConfig& config) : VariancePreserving(config.schedule), config_(config) {
        require(!config.clip_sample || config.clip_sample_range > 0, "LCMScheduler: clip_sample_range is ",
                config.clip_sample_range, "; expected a number above 0");
        require(config.original_inference_steps >= 1 && config.original_inference_steps <= schedule().size(),
                "LCMScheduler: original_inference_steps is ", config.original_inference_steps, "; expected 1 to ",
                schedule().size(), " (num_train_timesteps)");
        detail::check_thresholding("LCMScheduler", config.threshold);
    }

    [[nodiscard]] const LCMConfig& config() const { return config_; }

    /// Prepares `count` steps; see distilled_timesteps().
    void set_timesteps(index_t count, double strength = 1) {
        timesteps_ =
            distilled_timesteps("LCMScheduler", schedule().size(), config_.original_inference_steps, count, strength);
    }

    /// From the noisiest down; empty before set_timesteps().
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return timesteps_; }

    /// The sample at the timestep after `timestep`. Noise is drawn by every step but the last. Throws Error for unequal
    /// shapes, a timestep that is none of timesteps(), and missing noise.
    template <Real T, Backend B, class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) const {
        detail::check_step("LCMScheduler", model_output, sample);
        const auto after = next_timestep("LCMScheduler", timesteps_, timestep);
        const NoiseLevel next = after ? schedule().level(*after) : NoiseLevel{1, 0};
        const Tensor<T, B> drawn = after ? take_noise("LCMScheduler", noise, sample, timestep) : Tensor<T, B>{};
        return advance(model_output, timestep, sample, next, drawn);
    }

    /// The clean sample that a step noises again, and the last one returns: a preview of the result.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> predict_clean(const Tensor<T, B>& model_output, index_t timestep,
                                             const Tensor<T, B>& sample) const {
        detail::check_step("LCMScheduler", model_output, sample);
        return advance(model_output, timestep, sample, {1, 0}, Tensor<T, B>{});
    }

private:
    template <class T, class B>
    [[nodiscard]] Tensor<T, B> advance(const Tensor<T, B>& output, index_t timestep, const Tensor<T, B>& sample,
                                       NoiseLevel next, const Tensor<T, B>& noise) const {
        constexpr double data_deviation = 0.5;
        const double scaled = static_cast<double>(timestep) * config_.timestep_scaling;
        const double length = std::hypot(scaled, data_deviation);
        const double skip = data_deviation / length * (data_deviation / length);
        const StepWeights weights{
            .clean = next.signal * scaled / length, .sample = next.signal * skip, .noise = next.noise};
        const Mixture clean = clean_mixture(config_.prediction_type, schedule().level(timestep));
        if (config_.threshold.thresholding) {
            const Tensor<T, B> bounded = dynamic_threshold(mix(clean, sample, output), config_.threshold);
            return blend_step(sample, bounded, {0, 1}, std::nullopt, weights, noise);
        }
        return blend_step(sample, output, clean,
                          config_.clip_sample ? std::optional(config_.clip_sample_range) : std::nullopt, weights,
                          noise);
    }

    LCMConfig config_;
    std::vector<index_t> timesteps_;
};

} // namespace reel
