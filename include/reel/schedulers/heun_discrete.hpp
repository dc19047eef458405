#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <reel/schedulers/sigma_space.hpp>

namespace reel {

/// Names and defaults are diffusers', but for sigma_spacing, which stands for three flags of theirs.
struct HeunDiscreteConfig {
    NoiseScheduleConfig schedule{.beta_start = 0.00085, .beta_end = 0.012};
    PredictionType prediction_type = PredictionType::epsilon;
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    bool clip_sample = false;     ///< clamp the predicted clean sample
    double clip_sample_range = 1; ///< to [-range, range]
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;

    friend bool operator==(const HeunDiscreteConfig&, const HeunDiscreteConfig&) = default;
};

/// Heun's method in sigma (Karras et al. 2022, arXiv:2206.00364, algorithm 1): an Euler step to the next level, then
/// the step again with the mean of the derivatives at both ends. Two model calls per step, one for the last: n steps
/// have 2 n - 1 timesteps, all but the first of them in pairs.
template <Real T = float, Backend B = Cpu>
class HeunDiscreteScheduler : public SigmaSpace {
public:
    HeunDiscreteScheduler() : HeunDiscreteScheduler(HeunDiscreteConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit HeunDiscreteScheduler(const HeunDiscreteConfig& config)
        : SigmaSpace("HeunDiscreteScheduler", config.schedule, config.timestep_spacing, config.steps_offset, 2, true),
          config_(config) {
        require(!config.clip_sample || config.clip_sample_range > 0, "HeunDiscreteScheduler: clip_sample_range is ",
                config.clip_sample_range, "; expected a number above 0");
    }

    [[nodiscard]] const HeunDiscreteConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        SigmaRun run = make_sigma_run(schedule(),
                                      {.timestep_spacing = config_.timestep_spacing,
                                       .steps_offset = config_.steps_offset,
                                       .sigma_spacing = config_.sigma_spacing},
                                      count);
        std::vector<double> timesteps{run.timesteps.front()};
        std::vector<double> call_sigmas{run.sigmas.front()};
        for (std::size_t k = 1; k < run.timesteps.size(); ++k) {
            timesteps.insert(timesteps.end(), 2, run.timesteps[k]);
            call_sigmas.insert(call_sigmas.end(), 2, run.sigmas[k]);
        }
        begin(std::move(run.sigmas), std::move(timesteps), std::move(call_sigmas));
        half_way_ = {};
    }

    /// What the model is to be asked next: the Euler step's result, or the sample at the next level. Draws no noise.
    /// Throws Error for unequal shapes and for any timestep but the next one of the run.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& /*noise*/ = {}) {
        const index_t call = enter(model_output, timestep, sample);
        const index_t k = call / 2;
        const double distance = sigma(k + 1) - sigma(k);
        const Mixture clean = sigma_clean_mixture(config_.prediction_type, call_sigma(call));
        const auto advance = [&](StepWeights weights, const Tensor<T, B>& base) {
            return blend_step(sample, model_output, clean, clip(), weights, base);
        };
        Tensor<T, B> result;
        if (call % 2 == 0) {
            // Half of the step is what remains when the second derivative is known.
            half_way_ = advance(flow_weights(sigma(k), distance / 2), {});
            result = advance(flow_weights(sigma(k), distance), {});
        } else {
            detail::require_same_shape(name(), half_way_, sample);
            StepWeights weights = flow_weights(sigma(k + 1), distance / 2);
            weights.sample -= 1;
            weights.noise = 1;
            result = advance(weights, half_way_);
            half_way_ = {};
        }
        leave(call);
        return result;
    }

private:
    [[nodiscard]] std::optional<double> clip() const {
        return config_.clip_sample ? std::optional(config_.clip_sample_range) : std::nullopt;
    }

    HeunDiscreteConfig config_;
    Tensor<T, B> half_way_;
};

} // namespace reel
