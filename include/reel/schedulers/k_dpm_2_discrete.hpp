#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/sigma_space.hpp>
#include <reel/schedulers/detail/two_stage_flow.hpp>

namespace reel {

/// Names and defaults are diffusers', but for sigma_spacing, which stands for three flags of theirs. DPM2 and DPM2
/// ancestral have the same.
struct KDPM2DiscreteConfig {
    NoiseScheduleConfig schedule{.beta_start = 0.00085, .beta_end = 0.012};
    PredictionType prediction_type = PredictionType::epsilon;
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;

    friend bool operator==(const KDPM2DiscreteConfig&, const KDPM2DiscreteConfig&) = default;
};

/// The midpoint method in log sigma, DPM-Solver-2 as algorithm 2 of arXiv:2206.00364 has it (Lu et al. 2022,
/// arXiv:2206.00927): a step of the flow to sqrt(sigma sigma_end), then the whole step with the derivative found there.
/// sigma_end is the next level or, for `ancestral`, the level below it from which noise leads up; see ancestral_step().
/// Two model calls per step, one for the last: n steps have 2 n - 1 timesteps, with those of the midpoints between.
///
/// Use KDPM2DiscreteScheduler or KDPM2AncestralDiscreteScheduler.
template <bool ancestral, Real T, Backend B>
class MidpointScheduler : public SigmaSpace {
public:
    static constexpr std::string_view class_name =
        ancestral ? "KDPM2AncestralDiscreteScheduler" : "KDPM2DiscreteScheduler";

    MidpointScheduler() : MidpointScheduler(KDPM2DiscreteConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit MidpointScheduler(const KDPM2DiscreteConfig& config)
        : SigmaSpace(class_name, config, 2, true), config_(config) {}

    [[nodiscard]] const KDPM2DiscreteConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        SigmaRun run = make_sigma_run(schedule(),
                                      {.timestep_spacing = config_.timestep_spacing,
                                       .steps_offset = config_.steps_offset,
                                       .sigma_spacing = config_.sigma_spacing},
                                      count);
        if (config_.sigma_spacing == SigmaSpacing::karras) { // as diffusers does, for Karras sigmas alone
            std::transform(run.timesteps.begin(), run.timesteps.end(), run.timesteps.begin(),
                           [](double timestep) { return std::nearbyint(timestep); });
        }
        set_run(std::move(run));
    }

    /// Prepares a run of one's own; see sigma_run_at() and sigma_run_through(). Throws Error unless its sigmas descend.
    void set_run(SigmaRun run) {
        check_run(run);
        std::vector<double> timesteps;
        std::vector<double> call_sigmas;
        for (std::size_t k = 0; k < run.timesteps.size(); ++k) {
            timesteps.push_back(run.timesteps[k]);
            call_sigmas.push_back(run.sigmas[k]);
            if (k + 1 < run.timesteps.size()) {
                const double middle = std::sqrt(run.sigmas[k] * end_of_flow(run.sigmas[k], run.sigmas[k + 1]).down);
                timesteps.push_back(timestep_of_sigma(table(), middle));
                call_sigmas.push_back(middle);
            }
        }
        round_to_float(timesteps);
        begin(std::move(run.sigmas), std::move(timesteps), std::move(call_sigmas));
        flow_.reset();
    }

    /// What the model is to be asked next: the sample at the midpoint, or at the next level. `noise` (a tensor or a
    /// source, see NoiseFor) is used by the ancestral kind in every second call. Throws Error for unequal shapes, for
    /// any timestep but the next one of the run, and for missing noise.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) {
        const index_t call = enter(model_output, timestep, sample);
        const index_t k = call / 2;
        const typename TwoStageFlow<T, B>::Clean clean{clean_at(call), clip()};
        Tensor<T, B> result;
        if (call % 2 == 0) {
            const bool last = call + 1 == static_cast<index_t>(timesteps().size());
            const double to = last ? sigma(k + 1) : call_sigma(call + 1);
            result = flow_.start(sample, model_output, clean, (to - sigma(k)) / sigma(k), 0);
        } else {
            const auto [down, up] = end_of_flow(sigma(k), sigma(k + 1));
            const auto drawn = up > 0 ? take_noise(name(), noise, sample, timestep) : Tensor<T, B>{};
            const double distance = (down - sigma(k)) / call_sigma(call);
            result = flow_.finish(sample, model_output, clean, distance, up, drawn);
        }
        leave(call);
        return result;
    }

private:
    [[nodiscard]] static AncestralStep end_of_flow(double from, double to) {
        return ancestral ? ancestral_step(from, to) : AncestralStep{to, 0};
    }

    KDPM2DiscreteConfig config_;
    TwoStageFlow<T, B> flow_;
};

/// Midpoint steps without noise: KDPM2DiscreteScheduler of diffusers.
template <Real T = float, Backend B = Cpu>
using KDPM2DiscreteScheduler = MidpointScheduler<false, T, B>;

} // namespace reel
