#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/sigma_space.hpp>

namespace reel {

/// What a model that predicts v is told of the noise level.
enum class TimestepType {
    discrete,  ///< the training timestep
    continuous ///< log(sigma) / 4, for v_prediction; other prediction types get the training timestep all the same
};

inline constexpr std::array timestep_type_names{
    NamedValue{"discrete", TimestepType::discrete},
    NamedValue{"continuous", TimestepType::continuous},
};

/// Names and defaults are diffusers', but for sigma_spacing, which stands for three flags of theirs.
struct EulerDiscreteConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    SigmaInterpolation interpolation_type = SigmaInterpolation::linear;
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    std::optional<double> sigma_min{}; ///< lowest and highest sigma where sigma_spacing spreads them; otherwise those
    std::optional<double> sigma_max{}; ///< of the timesteps
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    TimestepType timestep_type = TimestepType::discrete;
    index_t steps_offset = 0;
    FinalSigma final_sigmas_type = FinalSigma::zero;

    friend bool operator==(const EulerDiscreteConfig&, const EulerDiscreteConfig&) = default;
};

/// Choices of a run that are no part of a configuration file: algorithm 2 of arXiv:2206.00364. A step from a sigma in
/// [s_tmin, s_tmax] of an N-step run first adds noise up to sigma (1 + min(s_churn / N, sqrt(2) - 1)).
struct ChurnOptions {
    double s_churn = 0; ///< 0: deterministic
    double s_tmin = 0;
    double s_tmax = std::numeric_limits<double>::infinity();
    double s_noise = 1; ///< factor of that noise
};

namespace detail {

/// The sigma that a step begins from after churning.
[[nodiscard]] inline double churned_sigma(std::string_view scheduler, const ChurnOptions& options, double sigma,
                                          std::size_t steps) {
    require(options.s_churn >= 0 && options.s_noise >= 0, scheduler, ": s_churn is ", options.s_churn,
            " and s_noise is ", options.s_noise, "; expected 0 or more");
    const bool within = options.s_tmin <= sigma && sigma <= options.s_tmax;
    return sigma * (1 + (within ? std::min(options.s_churn / static_cast<double>(steps), std::numbers::sqrt2 - 1) : 0));
}

/// The noise levels of a churned Euler step: from `sigma` up to `churned`, then down to `next`.
struct EulerLevels {
    double sigma;
    double churned;
    double next;
    double noise_factor; ///< of the noise that churning adds
};

/// A churned Euler step, all in one pass. `clean` is the predicted clean
/// sample as a mixture of the churned sample and the output.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> euler_step(const Tensor<T, B>& sample, const Tensor<T, B>& output, Mixture clean,
                                      const EulerLevels& at, const Tensor<T, B>& noise) {
    const Mixture flow = sigma_derivative(clean, at.churned);
    const double kept = 1 + (at.next - at.churned) * flow.sample;
    const StepWeights weights{.sample = kept,
                              .output = (at.next - at.churned) * flow.output,
                              .noise =
                                  kept * at.noise_factor * std::sqrt(at.churned * at.churned - at.sigma * at.sigma)};
    return blend_step(sample, output, {}, std::nullopt, weights, noise);
}

} // namespace detail

/// Euler's method in sigma (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without the second order):
///
///     x_next = x + (sigma_next - sigma) (x - clean) / sigma
///
/// Churned steps read the model's output as diffusers does: the model saw the sample before the churn, epsilon is taken
/// at the churned sigma, v at the sigma before.
class EulerDiscreteScheduler : public SigmaSpace {
public:
    EulerDiscreteScheduler() : EulerDiscreteScheduler(EulerDiscreteConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit EulerDiscreteScheduler(const EulerDiscreteConfig& config)
        : SigmaSpace("EulerDiscreteScheduler", config), config_(config) {
        require(config.sigma_min.value_or(1) > 0 && config.sigma_max.value_or(1) > 0,
                "EulerDiscreteScheduler: sigma_min is ", config.sigma_min.value_or(1), " and sigma_max is ",
                config.sigma_max.value_or(1), "; expected numbers above 0");
    }

    ChurnOptions options{};

    [[nodiscard]] const EulerDiscreteConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        set_run(make_sigma_run(schedule(),
                               {.timestep_spacing = config_.timestep_spacing,
                                .steps_offset = config_.steps_offset,
                                .sigma_spacing = config_.sigma_spacing,
                                .interpolation = config_.interpolation_type,
                                .sigma_max = config_.sigma_max,
                                .sigma_min = config_.sigma_min,
                                .final_sigma = config_.final_sigmas_type},
                               count));
    }

    /// Prepares a run of one's own; see sigma_run_at() and sigma_run_through(). Throws Error unless its sigmas descend.
    void set_run(SigmaRun run) {
        if (config_.timestep_type == TimestepType::continuous &&
            config_.prediction_type == PredictionType::v_prediction) {
            std::transform(run.timesteps.begin(), run.timesteps.end(), run.sigmas.begin(), run.timesteps.begin(),
                           [](double, double sigma) { return 0.25 * std::log(sigma); });
            round_to_float(run.timesteps);
        }
        begin(std::move(run));
    }

    /// The sample at the next level. `noise` (a tensor or a source, see NoiseFor) is used by steps that churn. Throws
    /// Error for unequal shapes, a timestep that is not of this run, negative options, and missing noise.
    template <Real T, Backend B, class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) {
        const index_t k = enter(model_output, timestep, sample);
        const double churned = detail::churned_sigma(name(), options, sigma(k), timesteps().size());
        const bool draws = churned > sigma(k);
        const auto drawn = draws ? take_noise(name(), noise, sample, timestep) : Tensor<T, B>{};
        const bool velocity = config_.prediction_type == PredictionType::v_prediction;
        const Mixture clean = sigma_clean_mixture(config_.prediction_type, velocity ? sigma(k) : churned);
        const auto result =
            detail::euler_step(sample, model_output, clean, {sigma(k), churned, sigma(k + 1), options.s_noise}, drawn);
        leave(k);
        return result;
    }

private:
    EulerDiscreteConfig config_;
};

} // namespace reel
