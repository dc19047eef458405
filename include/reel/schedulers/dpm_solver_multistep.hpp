#pragma once

#include <limits>

#include <reel/schedulers/detail/exponential_solver.hpp>

namespace reel {

/// Names and defaults are diffusers'. sigma_spacing stands for its use_karras_sigmas, use_exponential_sigmas and
/// use_beta_sigmas.
struct DPMSolverMultistepConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    index_t solver_order = 2; ///< 1 to 3
    SolverAlgorithm algorithm_type = SolverAlgorithm::dpmsolver_pp;
    SolverType solver_type = SolverType::midpoint; ///< of second-order steps
    bool lower_order_final = true;                 ///< in runs of fewer than 15 steps, the last steps have lower orders
    bool euler_at_final = false;                   ///< the last step is of first order
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    SigmaTimesteps sigma_timesteps = SigmaTimesteps::diffusers; ///< of spread sigmas
    bool use_flow_sigmas = false; ///< levels of flow matching: 1 - s signal and s noise, s in equal steps
    double flow_shift = 1;        ///< of these: above 1, more of them are noisy
    bool use_lu_lambdas = false;  ///< equal steps in lambda
    FinalSigma final_sigmas_type = FinalSigma::zero;
    double lambda_min_clipped = -std::numeric_limits<double>::infinity();
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;
    Thresholding threshold{};

    friend bool operator==(const DPMSolverMultistepConfig&, const DPMSolverMultistepConfig&) = default;
};

/// DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095, algorithm 2 and its
/// third-order form), and both along the reverse diffusion (arXiv:2211.01095, section 5). See ExponentialStep.
///
/// Third-order steps are diffusers', which differ from the exact integral: the curvature counts for half of it, and
/// with sde-dpmsolver++ its weight does not vanish with the step.
template <Real T = float, Backend B = Cpu>
class DPMSolverMultistepScheduler : public ExponentialSolver<T, B> {
public:
    DPMSolverMultistepScheduler() : DPMSolverMultistepScheduler(DPMSolverMultistepConfig{}) {}

    /// Throws Error naming a value that makes no sense, and for what the method does not have: the noise as it is
    /// integrated by dpmsolver and sde-dpmsolver has no limit without noise (final_sigmas_type zero), and
    /// sde-dpmsolver no third order.
    explicit DPMSolverMultistepScheduler(const DPMSolverMultistepConfig& config)
        : ExponentialSolver<T, B>("DPMSolverMultistepScheduler", config.schedule, config.prediction_type,
                                  config.threshold, {config.solver_order, 3}),
          config_(config) {
        detail::check_flow_sigmas("DPMSolverMultistepScheduler", config);
        require(integrates_clean(config.algorithm_type) || config.final_sigmas_type == FinalSigma::sigma_min,
                "DPMSolverMultistepScheduler: algorithm_type ", name_in(solver_algorithm_names, config.algorithm_type),
                " cannot end without noise; set final_sigmas_type to sigma_min, or use dpmsolver++ or sde-dpmsolver++");
        require(config.algorithm_type != SolverAlgorithm::sde_dpmsolver || config.solver_order < 3,
                "DPMSolverMultistepScheduler: sde-dpmsolver has orders 1 and 2 only; solver_order is ",
                config.solver_order);
        require(!config.use_lu_lambdas || config.sigma_spacing == SigmaSpacing::timesteps,
                "DPMSolverMultistepScheduler: use_lu_lambdas and ", name_in(sigma_spacing_names, config.sigma_spacing),
                " sigmas exclude each other");
        require(!config.use_lu_lambdas || !config.use_flow_sigmas,
                "DPMSolverMultistepScheduler: use_lu_lambdas and use_flow_sigmas exclude each other");
    }

    [[nodiscard]] const DPMSolverMultistepConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them.
    void set_timesteps(index_t count) {
        this->begin({.timestep_spacing = config_.timestep_spacing,
                     .steps_offset = config_.steps_offset,
                     .sigma_spacing = config_.sigma_spacing,
                     .final_sigmas_type = config_.final_sigmas_type,
                     .lambda_min_clipped = config_.lambda_min_clipped,
                     .sigma_timesteps = config_.sigma_timesteps,
                     .use_lu_lambdas = config_.use_lu_lambdas,
                     .fractions_cut_off = config_.schedule.beta_schedule == BetaSchedule::squaredcos_cap_v2,
                     .use_flow_sigmas = config_.use_flow_sigmas,
                     .flow_shift = config_.flow_shift,
                     .draws_noise = draws_noise(config_.algorithm_type)},
                    count);
    }

    /// The sample at the next level. Noise is drawn by the sde algorithms. Throws Error for unequal shapes, for any
    /// timestep but the next one, and for missing noise.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) {
        const std::size_t at = this->find(model_output, timestep, sample);
        const ExponentialStep step(config_.algorithm_type, this->level(at), this->level(at + 1));
        const Tensor<T, B> drawn = this->draw(step, noise, sample, timestep);
        this->remember(this->convert(integrates_clean(config_.algorithm_type), model_output, sample, at));
        Tensor<T, B> result = this->evaluate(step, sample, weights(step, at), drawn);
        this->finish(at);
        return result;
    }

private:
    [[nodiscard]] OutputWeights weights(const ExponentialStep& step, std::size_t at) const {
        const std::size_t left = this->steps() - at;
        const bool lower = config_.lower_order_final && this->steps() < 15;
        const bool first =
            left == 1 && (lower || config_.euler_at_final || config_.final_sigmas_type == FinalSigma::zero);
        const int order = this->order_up_to(first ? 1 : lower && left == 2 ? 2 : 3);
        const bool midpoint = order == 2 && config_.solver_type == SolverType::midpoint;
        const double linear = midpoint ? step.constant() / 2 : step.linear();
        const double quadratic =
            config_.algorithm_type == SolverAlgorithm::sde_dpmsolver_pp ? step.quadratic() + 1 : step.quadratic();
        return this->history_weights(step, at, order, linear, quadratic);
    }

    DPMSolverMultistepConfig config_;
};

} // namespace reel
