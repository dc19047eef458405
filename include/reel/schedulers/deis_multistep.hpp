#pragma once

#include <reel/schedulers/detail/exponential_solver.hpp>

namespace reel {

/// Names and defaults are diffusers'. sigma_spacing stands for its use_karras_sigmas, use_exponential_sigmas and
/// use_beta_sigmas; its algorithm_type and solver_type have one value each.
struct DEISMultistepConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    index_t solver_order = 2;      ///< 1 to 3
    bool lower_order_final = true; ///< in runs of fewer than 15 steps, the last steps have lower orders
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    SigmaTimesteps sigma_timesteps = SigmaTimesteps::diffusers; ///< of spread sigmas
    bool use_flow_sigmas = false; ///< levels of flow matching: 1 - s signal and s noise, s in equal steps
    double flow_shift = 1;        ///< of these: above 1, more of them are noisy
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;
    Thresholding threshold{};

    friend bool operator==(const DEISMultistepConfig&, const DEISMultistepConfig&) = default;
};

/// Diffusion exponential integrator sampler (Zhang & Chen 2022, arXiv:2204.13902), log-rho multistep (equation 15 in
/// rho = noise / signal, with polynomials in log rho): the noise, as the polynomial through the last outputs,
/// integrated exactly. As log rho = -lambda, these are DPM-Solver's steps for the noise: the same up to order 2
/// (solver_type heun); at order 3, the curvature counts in full. A run ends at the lowest training level.
template <Real T = float, Backend B = Cpu>
class DEISMultistepScheduler : public ExponentialSolver<T, B> {
public:
    DEISMultistepScheduler() : DEISMultistepScheduler(DEISMultistepConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit DEISMultistepScheduler(const DEISMultistepConfig& config)
        : ExponentialSolver<T, B>("DEISMultistepScheduler", config.schedule, config.prediction_type, config.threshold,
                                  {config.solver_order, 3}),
          config_(config) {
        detail::check_flow_sigmas("DEISMultistepScheduler", config);
    }

    [[nodiscard]] const DEISMultistepConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them.
    void set_timesteps(index_t count) {
        this->begin({.timestep_spacing = config_.timestep_spacing,
                     .steps_offset = config_.steps_offset,
                     .sigma_spacing = config_.sigma_spacing,
                     .final_sigmas_type = FinalSigma::sigma_min,
                     .sigma_timesteps = config_.sigma_timesteps,
                     .repeat_last_sigma = true,
                     .use_flow_sigmas = config_.use_flow_sigmas,
                     .flow_shift = config_.flow_shift},
                    count);
    }

    /// The sample at the next level. Draws no noise. Throws Error for unequal shapes and for any timestep but the next
    /// one.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& /*noise*/ = {}) {
        const std::size_t at = this->find(model_output, timestep, sample);
        this->remember(noise_of(model_output, sample, at));
        const ExponentialStep step(SolverAlgorithm::dpmsolver, this->level(at), this->level(at + 1));
        const std::size_t left = this->steps() - at;
        const bool lower = config_.lower_order_final && this->steps() < 15;
        const int order = this->order_up_to(lower && left <= 2 ? static_cast<int>(left) : 3);
        const auto weights = this->history_weights(step, at, order, step.linear(), 2 * step.quadratic());
        Tensor<T, B> result = this->evaluate(step, sample, weights);
        this->finish(at);
        return result;
    }

private:
    /// By way of the clean sample, as diffusers: of v_prediction at a level of flow matching another noise.
    [[nodiscard]] Tensor<T, B> noise_of(const Tensor<T, B>& model_output, const Tensor<T, B>& sample,
                                        std::size_t at) const {
        return config_.use_flow_sigmas ? this->noise_beside(this->convert(true, model_output, sample, at), sample, at)
                                       : this->convert(false, model_output, sample, at);
    }

    DEISMultistepConfig config_;
};

} // namespace reel
