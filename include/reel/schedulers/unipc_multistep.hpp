#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/exponential_solver.hpp>

namespace reel {

/// The function B(h) that UniPC's coefficients are divided and multiplied by. The names are diffusers'.
enum class UniPCSolverType {
    bh1, ///< h: for unguided samples in few steps
    bh2  ///< e^h - 1: otherwise
};

inline constexpr std::array unipc_solver_type_names{
    NamedValue{"bh1", UniPCSolverType::bh1},
    NamedValue{"bh2", UniPCSolverType::bh2},
};

/// Names and defaults are diffusers'. sigma_spacing stands for its use_karras_sigmas, use_exponential_sigmas and
/// use_beta_sigmas; its solver_p does not exist here.
struct UniPCMultistepConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    index_t solver_order = 2; ///< 1 to 6; the corrector makes it one more
    bool predict_x0 = true;   ///< integrate the clean sample, not the noise
    UniPCSolverType solver_type = UniPCSolverType::bh2;
    bool lower_order_final = true;            ///< the last steps have lower orders, the very last one order 1
    std::vector<index_t> disable_corrector{}; ///< steps (from 0) whose results are not corrected
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    SigmaTimesteps sigma_timesteps = SigmaTimesteps::diffusers; ///< of spread sigmas
    bool use_flow_sigmas = false;      ///< levels of flow matching: 1 - s signal and s noise, s in equal steps
    double flow_shift = 1;             ///< of these: above 1, more of them are noisy
    std::optional<double> sigma_min{}; ///< ends of spread sigmas, instead of the training levels'
    std::optional<double> sigma_max{};
    FinalSigma final_sigmas_type = FinalSigma::zero;
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;
    Thresholding threshold{};

    friend bool operator==(const UniPCMultistepConfig&, const UniPCMultistepConfig&) = default;
};

namespace detail {

/// Solves sum over j of ratios[j]^i rho[j] = right[i] for every i, by elimination. `ratios` are distinct, a few.
[[nodiscard]] inline std::vector<double> solve_vandermonde(std::span<const double> ratios, std::vector<double> right) {
    const std::size_t n = ratios.size();
    std::vector<std::vector<double>> rows(n, std::vector<double>(n));
    for (std::size_t i = 0; i < n; ++i) {
        std::transform(ratios.begin(), ratios.end(), rows[i].begin(),
                       [i](double ratio) { return std::pow(ratio, static_cast<double>(i)); });
    }
    for (std::size_t column = 0; column < n; ++column) {
        std::size_t pivot = column;
        for (std::size_t i = column + 1; i < n; ++i) {
            pivot = std::abs(rows[i][column]) > std::abs(rows[pivot][column]) ? i : pivot;
        }
        std::swap(rows[pivot], rows[column]);
        std::swap(right[pivot], right[column]);
        for (std::size_t i = column + 1; i < n; ++i) {
            const double factor = rows[i][column] / rows[column][column];
            for (std::size_t j = column; j < n; ++j) {
                rows[i][j] -= factor * rows[column][j];
            }
            right[i] -= factor * right[column];
        }
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t j = i + 1; j < n; ++j) {
            right[i] -= rows[i][j] * right[j];
        }
        right[i] /= rows[i][i];
    }
    return right;
}

/// UniPC's weights of m0 and of the outputs at the other levels of a step, given as their distances from m0's in units
/// of the step: constant() m0 + sum of weights times (m - m0). arXiv:2302.04867, equations (5) and (9): the rho solve
/// R rho = b; for one level, b is replaced by its limit 1/2.
[[nodiscard]] inline std::vector<double> unipc_weights(const ExponentialStep& step, UniPCSolverType type,
                                                       std::span<const double> ratios) {
    if (step.y == 0) { // a step that goes nowhere
        return std::vector<double>(ratios.size() + 1, 0.0);
    }
    const double b_of_h = type == UniPCSolverType::bh1 ? step.y : step.constant();
    std::vector<double> rho{0.5};
    if (ratios.size() != 1) {
        double phi = step.constant() / step.y - 1;
        double factorial = 1;
        rho.clear();
        for (std::size_t i = 1; i <= ratios.size(); ++i) {
            rho.push_back(phi * factorial / b_of_h);
            factorial *= static_cast<double>(i + 1);
            phi = phi / step.y - 1 / factorial;
        }
        rho = solve_vandermonde(ratios, std::move(rho));
    }
    std::vector<double> weights{step.constant()};
    for (std::size_t k = 0; k < ratios.size(); ++k) {
        weights.push_back(b_of_h * rho[k] / ratios[k]);
        weights[0] -= weights.back();
    }
    return weights;
}

} // namespace detail

/// UniPC (Zhao et al. 2023, arXiv:2302.04867), multistep, algorithms 5 to 8: a predictor (UniP) of order p, and a
/// corrector (UniC) that, once the model has been asked at the predicted sample, uses its output to redo the step with
/// order p + 1, at no further model call. See ExponentialStep.
template <Real T = float, Backend B = Cpu>
class UniPCMultistepScheduler : public ExponentialSolver<T, B> {
public:
    UniPCMultistepScheduler() : UniPCMultistepScheduler(UniPCMultistepConfig{}) {}

    /// Throws Error naming a value that makes no sense, and for steps without a limit: those of an order above 1, or
    /// for the noise, to a level without noise (final_sigmas_type zero); and for thresholding without predict_x0.
    explicit UniPCMultistepScheduler(const UniPCMultistepConfig& config)
        : ExponentialSolver<T, B>("UniPCMultistepScheduler", config.schedule, config.prediction_type, config.threshold,
                                  {config.solver_order, 6, 1}),
          config_(config) {
        detail::check_flow_sigmas("UniPCMultistepScheduler", config);
        require(config.final_sigmas_type == FinalSigma::sigma_min || config.lower_order_final ||
                    config.solver_order == 1,
                "UniPCMultistepScheduler: a run can end without noise by a step of order 1 only; set lower_order_final "
                "to true or final_sigmas_type to sigma_min");
        require(config.final_sigmas_type == FinalSigma::sigma_min || config.predict_x0,
                "UniPCMultistepScheduler: with predict_x0 false a run cannot end without noise; set final_sigmas_type "
                "to sigma_min");
        require(config.predict_x0 || !config.threshold.thresholding,
                "UniPCMultistepScheduler: thresholding is of clean samples, but predict_x0 is false");
    }

    [[nodiscard]] const UniPCMultistepConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them.
    void set_timesteps(index_t count) {
        this->begin({.timestep_spacing = config_.timestep_spacing,
                     .steps_offset = config_.steps_offset,
                     .sigma_spacing = config_.sigma_spacing,
                     .final_sigmas_type = config_.final_sigmas_type,
                     .sigma_min = config_.sigma_min,
                     .sigma_max = config_.sigma_max,
                     .sigma_timesteps = config_.sigma_timesteps,
                     .repeat_last_sigma = true,
                     .use_flow_sigmas = config_.use_flow_sigmas,
                     .flow_shift = config_.flow_shift,
                     .flow_start = detail::FlowStart::noise},
                    count);
        last_sample_ = {};
    }

    /// The sample at the next level, predicted; first, the given one is corrected. Draws no noise. Throws Error for
    /// unequal shapes and for any timestep but the next one.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& /*noise*/ = {}) {
        const std::size_t at = this->find(model_output, timestep, sample);
        this->remember(this->convert(config_.predict_x0, model_output, sample, at));
        const auto& off = config_.disable_corrector;
        const bool corrects =
            last_sample_.defined() && std::find(off.begin(), off.end(), static_cast<index_t>(at) - 1) == off.end();
        const Tensor<T, B> corrected = corrects ? correct(at) : sample;
        const std::size_t left = config_.lower_order_final ? this->steps() - at : this->steps();
        order_ = std::min({static_cast<std::size_t>(config_.solver_order), left, this->outputs().size()});
        const ExponentialStep step(algorithm(), this->level(at), this->level(at + 1));
        const auto weights = detail::unipc_weights(step, config_.solver_type, ratios(at, step.h));
        Tensor<T, B> result = this->evaluate(step, corrected, weights);
        last_sample_ = corrected;
        this->finish(at);
        return result;
    }

private:
    [[nodiscard]] SolverAlgorithm algorithm() const {
        return config_.predict_x0 ? SolverAlgorithm::dpmsolver_pp : SolverAlgorithm::dpmsolver;
    }

    /// Where the outputs before the one at `from` lie, from there in units of a step h.
    [[nodiscard]] std::vector<double> ratios(std::size_t from, double h) const {
        std::vector<double> values;
        for (std::size_t k = 1; k < order_; ++k) {
            values.push_back((this->lambda(from - k) - this->lambda(from)) / h);
        }
        return values;
    }

    /// The last step once more, with the output at its end.
    [[nodiscard]] Tensor<T, B> correct(std::size_t at) const {
        const ExponentialStep step(algorithm(), this->level(at - 1), this->level(at));
        std::vector<double> places = ratios(at - 1, step.h);
        places.push_back(1);
        std::vector<double> weights = detail::unipc_weights(step, config_.solver_type, places);
        std::rotate(weights.begin(), weights.end() - 1, weights.end()); // the end's output is the newest
        return this->evaluate(step, last_sample_, weights);
    }

    UniPCMultistepConfig config_;
    std::size_t order_ = 0; ///< of the last step
    Tensor<T, B> last_sample_;
};

} // namespace reel
