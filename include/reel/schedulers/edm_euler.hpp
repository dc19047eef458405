#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/euler_discrete.hpp>

namespace reel {

/// How EDMEulerScheduler spreads its sigmas. The names are diffusers'.
inline constexpr std::array edm_sigma_schedule_names{
    NamedValue{"karras", SigmaSpacing::karras},
    NamedValue{"exponential", SigmaSpacing::exponential},
};

/// Names and defaults are diffusers'.
struct EDMEulerConfig {
    double sigma_min = 0.002;
    double sigma_max = 80;
    double sigma_data = 0.5;                                  ///< standard deviation of the data
    SigmaSpacing sigma_schedule = SigmaSpacing::karras;       ///< or exponential
    index_t num_train_timesteps = 1000;                       ///< means nothing here; kept for the file
    PredictionType prediction_type = PredictionType::epsilon; ///< or v_prediction: the sign of the output
    double rho = 7;                                           ///< of karras
    FinalSigma final_sigmas_type = FinalSigma::zero;

    friend bool operator==(const EDMEulerConfig&, const EDMEulerConfig&) = default;
};

/// Euler's method for models with the preconditioning of EDM (Karras et al. 2022, arXiv:2206.00364, table 1 and
/// algorithm 2): x = clean + sigma noise; with d = sigma_data, the model is given x / sqrt(sigma^2 + d^2) and
/// log(sigma) / 4, and its output stands for
///
///     clean = d^2 / (sigma^2 + d^2) x +- sigma d / sqrt(sigma^2 + d^2) output        (+ epsilon, - v_prediction)
class EDMEulerScheduler {
public:
    EDMEulerScheduler() : EDMEulerScheduler(EDMEulerConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit EDMEulerScheduler(const EDMEulerConfig& config) : config_(config) {
        require(config.sigma_min > 0 && config.sigma_min <= config.sigma_max && config.sigma_data > 0 && config.rho > 0,
                "EDMEulerScheduler: sigma_min is ", config.sigma_min, ", sigma_max ", config.sigma_max, ", sigma_data ",
                config.sigma_data, ", rho ", config.rho, "; expected numbers above 0, sigma_min not above sigma_max");
        require(
            config.prediction_type != PredictionType::sample,
            "EDMEulerScheduler: prediction_type is sample; expected epsilon or v_prediction, which name the sign of "
            "the output in EDM's preconditioning");
        static_cast<void>(name_in(edm_sigma_schedule_names, config.sigma_schedule));
    }

    ChurnOptions options{};

    [[nodiscard]] const EDMEulerConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error unless count is 1 or more.
    void set_timesteps(index_t count) {
        const SigmaRange range{config_.sigma_max, config_.sigma_min};
        std::vector<double> sigmas = config_.sigma_schedule == SigmaSpacing::karras
                                         ? karras_sigmas(range, count, config_.rho)
                                         : exponential_sigmas(range, count);
        sigmas.push_back(config_.final_sigmas_type == FinalSigma::zero ? 0 : sigmas.back());
        set_sigmas(std::move(sigmas));
    }

    /// Prepares a run over sigmas of one's own, descending, with the one that the last step leads to (0, mostly).
    /// Throws Error unless there are two or more, which descend, the last alone 0.
    void set_sigmas(std::vector<double> sigmas) {
        require(sigmas.size() >= 2, "EDMEulerScheduler: ", sigmas.size(),
                " sigmas; expected two or more: one step and its end");
        for (std::size_t k = 0; k + 1 < sigmas.size(); ++k) {
            require(std::isfinite(sigmas[k]) && sigmas[k] > 0 && sigmas[k] >= sigmas[k + 1] && sigmas[k + 1] >= 0,
                    "EDMEulerScheduler: sigmas ", sigmas[k], " and ", sigmas[k + 1],
                    "; expected finite descending numbers above 0, the last alone may be 0");
        }
        sigmas_ = std::move(sigmas);
        round_to_float(sigmas_);
        timesteps_.clear();
        std::transform(sigmas_.begin(), sigmas_.end() - 1, std::back_inserter(timesteps_),
                       [](double sigma) { return 0.25 * std::log(sigma); });
        round_to_float(timesteps_);
        position_.reset();
    }

    /// log(sigma) / 4 of every step, from the noisiest down; empty before set_timesteps().
    [[nodiscard]] const std::vector<double>& timesteps() const { return timesteps_; }

    /// The noise level before every step, and the one after the last.
    [[nodiscard]] const std::vector<double>& sigmas() const { return sigmas_; }

    [[nodiscard]] double init_noise_sigma() const { return std::sqrt(config_.sigma_max * config_.sigma_max + 1); }

    /// sample / sqrt(sigma^2 + sigma_data^2). Throws Error unless timestep is one of timesteps().
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> scale_model_input(const Tensor<T, B>& sample, double timestep) const {
        const double sigma = sigmas_[static_cast<std::size_t>(find(timestep))];
        return scale(sample, static_cast<T>(1 / std::hypot(sigma, config_.sigma_data)));
    }

    /// clean + sigma_t noise; the leading axis is shared out among the timesteps in order. Throws Error unless they are
    /// timesteps(), when the shapes differ, or when their number does not divide the rows.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                         std::span<const double> timesteps) const {
        return detail::blend_noise("add_noise", clean, noise, timesteps, [&](double timestep) {
            return std::pair(1.0, sigmas_[static_cast<std::size_t>(find(timestep))]);
        });
    }

    /// The same with one timestep for everything.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise, double timestep) const {
        return add_noise(clean, noise, std::span<const double>(&timestep, 1));
    }

    /// The sample at the next level. `noise` (a tensor or a source, see NoiseFor) is used by steps that churn. Throws
    /// Error for unequal shapes, a timestep that is not of this run, negative options, and missing noise.
    template <Real T, Backend B, class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) {
        constexpr std::string_view name = "EDMEulerScheduler";
        detail::check_step(name, model_output, sample);
        const auto k = static_cast<std::size_t>(find(timestep));
        const double churned = detail::churned_sigma(name, options, sigmas_[k], timesteps_.size());
        const auto drawn = churned > sigmas_[k] ? take_noise(name, noise, sample, timestep) : Tensor<T, B>{};
        const auto result = detail::euler_step(sample, model_output, clean_mixture_at(churned),
                                               {sigmas_[k], churned, sigmas_[k + 1], options.s_noise}, drawn);
        position_.done(static_cast<index_t>(k));
        return result;
    }

    /// The clean sample that the model's output stands for: a preview of the result. To be called before the step.
    /// Throws Error as step() does.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> predict_clean(const Tensor<T, B>& model_output, double timestep,
                                             const Tensor<T, B>& sample) const {
        detail::check_step("EDMEulerScheduler", model_output, sample);
        return mix(clean_mixture_at(sigmas_[static_cast<std::size_t>(find(timestep))]), sample, model_output);
    }

private:
    [[nodiscard]] Mixture clean_mixture_at(double sigma) const {
        const double data = config_.sigma_data;
        const double length = std::hypot(sigma, data);
        const double sign = config_.prediction_type == PredictionType::epsilon ? 1 : -1;
        return {data * data / (length * length), sign * sigma * data / length};
    }

    [[nodiscard]] index_t find(double timestep) const {
        return position_.find("EDMEulerScheduler", timesteps_, timestep);
    }

    EDMEulerConfig config_;
    std::vector<double> sigmas_;
    std::vector<double> timesteps_;
    CallPosition position_{1, false};
};

} // namespace reel
