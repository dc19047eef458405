#pragma once

#include <utility>
#include <vector>

#include <reel/schedulers/detail/sigma_space.hpp>
#include <reel/schedulers/detail/two_stage_flow.hpp>

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
        : SigmaSpace("HeunDiscreteScheduler", config, 2, true), config_(config) {}

    [[nodiscard]] const HeunDiscreteConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        set_run(make_sigma_run(schedule(),
                               {.timestep_spacing = config_.timestep_spacing,
                                .steps_offset = config_.steps_offset,
                                .sigma_spacing = config_.sigma_spacing},
                               count));
    }

    /// Prepares a run of one's own; see sigma_run_at() and sigma_run_through(). Throws Error unless its sigmas descend.
    void set_run(SigmaRun run) {
        check_run(run);
        std::vector<double> timesteps{run.timesteps.front()};
        std::vector<double> call_sigmas{run.sigmas.front()};
        for (std::size_t k = 1; k < run.timesteps.size(); ++k) {
            timesteps.insert(timesteps.end(), 2, run.timesteps[k]);
            call_sigmas.insert(call_sigmas.end(), 2, run.sigmas[k]);
        }
        begin(std::move(run.sigmas), std::move(timesteps), std::move(call_sigmas));
        flow_.reset();
    }

    /// What the model is to be asked next: the Euler step's result, or the sample at the next level. Draws no noise.
    /// Throws Error for unequal shapes and for any timestep but the next one of the run.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& /*noise*/ = {}) {
        const index_t call = enter(model_output, timestep, sample);
        const index_t k = call / 2;
        const double distance = sigma(k + 1) - sigma(k);
        const typename TwoStageFlow<T, B>::Clean clean{clean_at(call), clip()};
        const auto result = call % 2 == 0
                                ? flow_.start(sample, model_output, clean, distance / sigma(k), distance / 2 / sigma(k))
                                : flow_.finish(sample, model_output, clean, distance / 2 / sigma(k + 1));
        leave(call);
        return result;
    }

private:
    HeunDiscreteConfig config_;
    TwoStageFlow<T, B> flow_;
};

} // namespace reel
