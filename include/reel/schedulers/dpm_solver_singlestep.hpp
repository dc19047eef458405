#pragma once

#include <limits>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/exponential_solver.hpp>

namespace reel {

/// Names and defaults are diffusers'. sigma_spacing stands for its use_karras_sigmas, use_exponential_sigmas and
/// use_beta_sigmas.
struct DPMSolverSinglestepConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    index_t solver_order = 2; ///< 1 to 3
    SolverAlgorithm algorithm_type = SolverAlgorithm::dpmsolver_pp;
    SolverType solver_type = SolverType::midpoint; ///< of the last part of a step
    bool lower_order_final = false;                ///< the last step is of order 1
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    SigmaTimesteps sigma_timesteps = SigmaTimesteps::diffusers; ///< of spread sigmas
    bool use_flow_sigmas = false; ///< levels of flow matching: 1 - s signal and s noise, s in equal steps
    double flow_shift = 1;        ///< of these: above 1, more of them are noisy
    FinalSigma final_sigmas_type = FinalSigma::zero;
    double lambda_min_clipped = -std::numeric_limits<double>::infinity();
    Thresholding threshold{};

    friend bool operator==(const DPMSolverSinglestepConfig&, const DPMSolverSinglestepConfig&) = default;
};

/// The order of every model call's part of a run: 1, 2, 3, 1, 2, 3, ... for order 3. With `lower_order_final` the last
/// part is not one of highest order but a whole step of order 1; to a level without noise there is no other.
[[nodiscard]] inline std::vector<int> singlestep_orders(index_t solver_order, index_t count, bool lower_order_final,
                                                        FinalSigma final) {
    std::vector<int> orders;
    for (index_t i = 0; i < count; ++i) {
        orders.push_back(static_cast<int>(i % solver_order) + 1);
    }
    if (final == FinalSigma::zero || (lower_order_final && count % solver_order == 0)) {
        orders.back() = 1;
    }
    return orders;
}

/// DPM-Solver and DPM-Solver++, singlestep (Lu et al. 2022, arXiv:2206.00927, algorithms 1 and 2, and
/// arXiv:2211.01095, algorithm 1), and the latter along the reverse diffusion. A step of order k takes k model calls:
/// it goes from its start to inner levels, by lower orders, and at last, with all k outputs, from its start to its end.
/// timesteps() has one entry per model call. See ExponentialStep.
///
/// The third-order step of sde-dpmsolver++ with solver_type heun is diffusers', where the weight of the curvature does
/// not vanish with the step.
template <Real T = float, Backend B = Cpu>
class DPMSolverSinglestepScheduler : public ExponentialSolver<T, B> {
public:
    DPMSolverSinglestepScheduler() : DPMSolverSinglestepScheduler(DPMSolverSinglestepConfig{}) {}

    /// Throws Error naming a value that makes no sense, and for what the method does not have: sde-dpmsolver, and the
    /// noise as it is integrated by dpmsolver without a limit (final_sigmas_type zero).
    explicit DPMSolverSinglestepScheduler(const DPMSolverSinglestepConfig& config)
        : ExponentialSolver<T, B>("DPMSolverSinglestepScheduler", config.schedule, config.prediction_type,
                                  config.threshold, {config.solver_order, 3}),
          config_(config) {
        detail::check_flow_sigmas("DPMSolverSinglestepScheduler", config);
        require(config.algorithm_type != SolverAlgorithm::sde_dpmsolver,
                "DPMSolverSinglestepScheduler: there is no sde-dpmsolver; use sde-dpmsolver++");
        require(integrates_clean(config.algorithm_type) || config.final_sigmas_type == FinalSigma::sigma_min,
                "DPMSolverSinglestepScheduler: algorithm_type dpmsolver cannot end without noise; set "
                "final_sigmas_type to sigma_min, or use dpmsolver++ or sde-dpmsolver++");
    }

    [[nodiscard]] const DPMSolverSinglestepConfig& config() const { return config_; }

    /// Prepares a run of `count` model calls. Throws Error when the schedule has no room for them.
    void set_timesteps(index_t count) {
        this->begin({.sigma_spacing = config_.sigma_spacing,
                     .final_sigmas_type = config_.final_sigmas_type,
                     .lambda_min_clipped = config_.lambda_min_clipped,
                     .sigma_timesteps = config_.sigma_timesteps,
                     .use_flow_sigmas = config_.use_flow_sigmas,
                     .flow_shift = config_.flow_shift,
                     .draws_noise = draws_noise(config_.algorithm_type)},
                    count);
        orders_ = singlestep_orders(config_.solver_order, count, config_.lower_order_final, config_.final_sigmas_type);
        start_ = {};
    }

    /// The order of every model call's part; empty before set_timesteps().
    [[nodiscard]] const std::vector<int>& orders() const { return orders_; }

    /// The sample at the next level. Noise is drawn by sde-dpmsolver++. Throws Error for unequal shapes, for any
    /// timestep but the next one, and for missing noise.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) {
        const std::size_t at = this->find(model_output, timestep, sample);
        const int order = std::min(orders_[at], static_cast<int>(this->outputs().size()) + 1); // it may begin within
        const ExponentialStep step(config_.algorithm_type, this->level(at + 1 - static_cast<std::size_t>(order)),
                                   this->level(at + 1));
        const Tensor<T, B> drawn = this->draw(step, noise, sample, timestep);
        this->remember(this->convert(integrates_clean(config_.algorithm_type), model_output, sample, at));
        if (order == 1) {
            start_ = sample;
        }
        Tensor<T, B> result = this->evaluate(step, start_, weights(step, order, at), drawn);
        this->finish(at);
        return result;
    }

private:
    /// Of the outputs, newest first, the last of which belongs to the step's start.
    [[nodiscard]] OutputWeights weights(const ExponentialStep& step, int order, std::size_t at) const {
        if (order == 1) {
            return {step.constant()};
        }
        const bool midpoint = config_.solver_type == SolverType::midpoint;
        const double start = this->lambda(at + 1 - static_cast<std::size_t>(order));
        const double newest = (this->lambda(at) - start) / step.h;
        if (order == 2) {
            const double slope = (midpoint ? step.constant() / 2 : step.linear()) / newest;
            return {slope, step.constant() - slope};
        }
        if (midpoint) {
            const double slope = step.linear() / newest;
            return {slope, 0, step.constant() - slope};
        }
        const double middle = (this->lambda(at - 1) - start) / step.h;
        const double linear = step.linear();
        const double quadratic =
            2 * (config_.algorithm_type == SolverAlgorithm::sde_dpmsolver_pp ? step.quadratic() + 1 : step.quadratic());
        const double first = (quadratic - linear * middle) / (newest - middle) / newest;
        const double second = (linear * newest - quadratic) / (newest - middle) / middle;
        return {first, second, step.constant() - first - second};
    }

    DPMSolverSinglestepConfig config_;
    std::vector<int> orders_;
    Tensor<T, B> start_;
};

} // namespace reel
