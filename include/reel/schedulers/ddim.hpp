#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <reel/schedulers/detail/step_functors.hpp>
#include <reel/schedulers/detail/variance_preserving.hpp>
#include <reel/schedulers/schedule/timesteps.hpp>
#include <reel/schedulers/scheduler.hpp>

namespace reel {

/// Names and defaults are diffusers' (0.11.1's, and those of recent releases for what 0.11.1 lacks).
struct DDIMConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    bool clip_sample = true;      ///< clamp the predicted clean sample; wrong for latents, see stable_diffusion_fixes()
    double clip_sample_range = 1; ///< to [-range, range]
    bool set_alpha_to_one = true; ///< the last step ends without noise; otherwise at timestep 0's level
    index_t steps_offset = 0;
    TimestepSpacing timestep_spacing = TimestepSpacing::leading;

    friend bool operator==(const DDIMConfig&, const DDIMConfig&) = default;
};

/// Choices of a run that are no part of a configuration file.
struct DDIMOptions {
    double eta = 0;                        ///< 0: deterministic; 1: as much noise as DDPM
    bool use_clipped_model_output = false; ///< derive the noise from the clipped clean sample
};

/// What Tune-A-Video's pipeline makes of any DDIM configuration that it is given: latents are not bound to [-1, 1], so
/// clip_sample is false, and steps_offset is 1, as Stable Diffusion was published with. (Its constructor rewrites
/// configurations of older files in this way; a model folder's own file is left alone.)
[[nodiscard]] inline DDIMConfig stable_diffusion_fixes(DDIMConfig config) {
    config.clip_sample = false;
    config.steps_offset = 1;
    return config;
}

/// Denoising diffusion implicit models (Song et al. 2020, arXiv:2010.02502), equations (12) and (16). From level t to
/// the level p one step below, with the clean sample x0 and the noise e that the model's output stands for:
///
///     x_p = sqrt(a_p) x0 + sqrt(1 - a_p - s^2) e + s z,    s = eta sqrt((1 - a_p) / (1 - a_t)) sqrt(1 - a_t / a_p)
///
/// As in diffusers, p = t - N / n (whole number) for every spacing.
class DDIMScheduler : public VariancePreserving {
public:
    DDIMScheduler() : DDIMScheduler(DDIMConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit DDIMScheduler(const DDIMConfig& config) : VariancePreserving(config.schedule), config_(config) {
        require(!config.clip_sample || config.clip_sample_range > 0, "DDIMScheduler: clip_sample_range is ",
                config.clip_sample_range, "; expected a number above 0");
        require(config.steps_offset >= 0, "DDIMScheduler: steps_offset is ", config.steps_offset,
                "; expected 0 or more");
    }

    DDIMOptions options{};

    [[nodiscard]] const DDIMConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        timesteps_ = spaced_timesteps(config_.timestep_spacing, schedule().size(), count, config_.steps_offset);
    }

    /// From the noisiest down; empty before set_timesteps().
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return timesteps_; }

    /// Distance between a timestep and the level its step leads to.
    [[nodiscard]] index_t stride() const {
        require(!timesteps_.empty(), "DDIMScheduler: call set_timesteps() first");
        return schedule().size() / static_cast<index_t>(timesteps_.size());
    }

    /// alpha_bar of the level that a step from `timestep` leads to.
    [[nodiscard]] double previous_alpha_bar(index_t timestep) const {
        const index_t previous = timestep - stride();
        return previous >= 0 ? schedule().alpha_bar(previous) : final_alpha_bar();
    }

    /// alpha_bar below the last step.
    [[nodiscard]] double final_alpha_bar() const { return config_.set_alpha_to_one ? 1 : schedule().alpha_bar(0); }

    /// The sample one step below `timestep`. `noise` (a tensor or a source, see NoiseFor) is used when options.eta > 0.
    /// Throws Error for unequal shapes, a timestep out of range, eta outside [0, 1], and missing noise.
    template <Real T, Backend B, class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) const {
        detail::check_step("DDIMScheduler", model_output, sample);
        require(options.eta >= 0 && options.eta <= 1, "DDIMScheduler: eta is ", options.eta, "; expected 0 to 1");
        const double now = schedule().alpha_bar(timestep);
        const double next = previous_alpha_bar(timestep);
        const NoiseLevel level = NoiseLevel::from_alpha_bar(now);
        const double variance = std::max((1 - next) / (1 - now) * (1 - now / next), 0.0);
        const double deviation = options.eta * std::sqrt(variance);
        const double direction = std::sqrt(std::max(1 - next - deviation * deviation, 0.0));
        StepWeights weights{.clean = std::sqrt(next), .noise = deviation};
        if (options.use_clipped_model_output) {
            weights.clean -= direction * level.signal / level.noise;
            weights.sample = direction / level.noise;
        } else {
            const Mixture predicted_noise = noise_mixture(config_.prediction_type, level);
            weights.sample = direction * predicted_noise.sample;
            weights.output = direction * predicted_noise.output;
        }
        const auto drawn = options.eta > 0 ? take_noise("DDIMScheduler", noise, sample, timestep) : Tensor<T, B>{};
        return blend_step(sample, model_output, clean_mixture(config_.prediction_type, level), clip(), weights, drawn);
    }

    /// The clean sample that the model's output stands for, clipped as the configuration says: a preview of the result.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> predict_clean(const Tensor<T, B>& model_output, index_t timestep,
                                             const Tensor<T, B>& sample) const {
        detail::check_step("DDIMScheduler", model_output, sample);
        return blend_step(sample, model_output, clean_mixture(config_.prediction_type, schedule().level(timestep)),
                          clip(), {.clean = 1}, Tensor<T, B>{});
    }

private:
    [[nodiscard]] std::optional<double> clip() const {
        return config_.clip_sample ? std::optional(config_.clip_sample_range) : std::nullopt;
    }

    DDIMConfig config_;
    std::vector<index_t> timesteps_;
};

} // namespace reel
