#pragma once

#include <optional>
#include <utility>

#include <reel/schedulers/detail/sigma_space.hpp>

namespace reel {

/// Names and defaults are diffusers'.
struct EulerAncestralDiscreteConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;

    friend bool operator==(const EulerAncestralDiscreteConfig&, const EulerAncestralDiscreteConfig&) = default;
};

/// Euler's method in sigma with as much fresh noise as DDPM draws (Katherine Crowson's k-diffusion): each step follows
/// the flow below the next level and goes up to it by noise; see ancestral_step().
class EulerAncestralDiscreteScheduler : public SigmaSpace {
public:
    EulerAncestralDiscreteScheduler() : EulerAncestralDiscreteScheduler(EulerAncestralDiscreteConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit EulerAncestralDiscreteScheduler(const EulerAncestralDiscreteConfig& config)
        : SigmaSpace("EulerAncestralDiscreteScheduler", config), config_(config) {}

    [[nodiscard]] const EulerAncestralDiscreteConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        set_run(make_sigma_run(
            schedule(), {.timestep_spacing = config_.timestep_spacing, .steps_offset = config_.steps_offset}, count));
    }

    /// Prepares a run of one's own; see sigma_run_at() and sigma_run_through(). Throws Error unless its sigmas descend.
    void set_run(SigmaRun run) { begin(std::move(run)); }

    /// The sample at the next level. `noise` (a tensor or a source, see NoiseFor) is used by every step but the last.
    /// Throws Error for unequal shapes, a timestep that is not of this run, and missing noise.
    template <Real T, Backend B, class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) {
        const index_t k = enter(model_output, timestep, sample);
        const auto [down, up] = ancestral_step(sigma(k), sigma(k + 1));
        StepWeights weights = flow_weights(sigma(k), down - sigma(k));
        weights.noise = up;
        const auto drawn = up > 0 ? take_noise(name(), noise, sample, timestep) : Tensor<T, B>{};
        const auto result = blend_step(sample, model_output, clean_at(k), clip(), weights, drawn);
        leave(k);
        return result;
    }

private:
    EulerAncestralDiscreteConfig config_;
};

} // namespace reel
