#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/schedule/beta_distribution.hpp>
#include <reel/schedulers/schedule/noise_schedule.hpp>
#include <reel/schedulers/schedule/timesteps.hpp>

/// Noise levels as sigma, the ratio of noise to signal: x = clean + sigma noise is the variance-preserving sample
/// divided by its signal (Karras et al. 2022, arXiv:2206.00364, appendix C.3.1). diffusers keeps the sigmas of a run in
/// float32; so does this (in doubles that hold float32 values), which is what makes trajectories comparable.
namespace reel {

/// How the sigmas of a run are spread between the highest and the lowest.
enum class SigmaSpacing {
    timesteps,   ///< those of the run's timesteps
    karras,      ///< equal distances in sigma^(1/7) (Karras et al. 2022, arXiv:2206.00364, equation 5)
    exponential, ///< equal distances in log sigma
    beta         ///< quantiles of a beta distribution (Lee et al. 2024, arXiv:2407.12173)
};

inline constexpr std::array sigma_spacing_names{
    NamedValue{"timesteps", SigmaSpacing::timesteps},
    NamedValue{"karras", SigmaSpacing::karras},
    NamedValue{"exponential", SigmaSpacing::exponential},
    NamedValue{"beta", SigmaSpacing::beta},
};

/// The level that the last step of a run leads to.
enum class FinalSigma {
    zero,     ///< no noise
    sigma_min ///< the lowest of the training levels
};

inline constexpr std::array final_sigma_names{
    NamedValue{"zero", FinalSigma::zero},
    NamedValue{"sigma_min", FinalSigma::sigma_min},
};

/// The two ends of a run's sigmas.
struct SigmaRange {
    double max;
    double min;
};

/// Signal and noise of the variance-preserving sample at a sigma: 1 / sqrt(1 + sigma^2) and sigma / sqrt(1 + sigma^2).
[[nodiscard]] inline NoiseLevel level_of_sigma(double sigma) {
    const double length = std::sqrt(1 + sigma * sigma);
    return {1 / length, sigma / length};
}

/// noise / signal; infinite without signal.
[[nodiscard]] inline double sigma_of_level(NoiseLevel level) {
    return level.noise / level.signal;
}

/// sqrt((1 - alpha_bar) / alpha_bar) of every training timestep, ascending, in float32 as diffusers computes it. A
/// level without signal (zero terminal SNR) counts as alpha_bar = 2^-24, sigma = 4096, as in diffusers: near enough to
/// none.
[[nodiscard]] inline std::vector<double> training_sigmas(const NoiseSchedule& schedule) {
    std::vector<double> sigmas;
    sigmas.reserve(static_cast<std::size_t>(schedule.size()));
    for (const float alpha_bar : schedule.alphas_cumprod()) {
        const float signal = alpha_bar > 0 ? alpha_bar : 0x1p-24F;
        sigmas.push_back(static_cast<double>(std::sqrt((1.0F - signal) / signal)));
    }
    return sigmas;
}

/// Rounds every value to float32, as diffusers stores sigmas and timesteps.
inline void round_to_float(std::vector<double>& values) {
    for (double& value : values) {
        value = static_cast<double>(static_cast<float>(value));
    }
}

/// The value at a fractional index of a table, linear between neighbours, the ends' values beyond them (numpy.interp).
[[nodiscard]] inline double interpolate(std::span<const double> table, double index) {
    require(!table.empty(), "interpolate: the table is empty");
    const double last = static_cast<double>(table.size() - 1);
    const double inside = std::clamp(index, 0.0, last);
    const auto below = static_cast<std::size_t>(inside);
    const std::size_t above = std::min(below + 1, table.size() - 1);
    return table[below] + (table[above] - table[below]) * (inside - static_cast<double>(below));
}

/// The fractional training timestep with this sigma, linear in log sigma between neighbours; 0 or the last one when
/// sigma is outside `table`, the ascending training_sigmas().
[[nodiscard]] inline double timestep_of_sigma(std::span<const double> table, double sigma) {
    require(!table.empty(), "timestep_of_sigma: the table is empty");
    if (sigma <= table.front() || table.size() == 1) {
        return 0;
    }
    const auto found = std::upper_bound(table.begin(), table.end(), sigma);
    if (found == table.end()) {
        return static_cast<double>(table.size() - 1);
    }
    const auto above = static_cast<std::size_t>(found - table.begin());
    const double low = std::log(table[above - 1]);
    return static_cast<double>(above - 1) + (std::log(sigma) - low) / (std::log(table[above]) - low);
}

/// Which training timestep a spread sigma is asked at by the samplers that take whole ones (DPM-Solver, DEIS, UniPC).
enum class SigmaTimesteps {
    diffusers, ///< as diffusers under NumPy 2: it looks a logarithm in float64 up among some in float32, and the
               ///< highest sigma, if its own was rounded up there, falls between the last two and is cut to the last
               ///< but one
    exact ///< the highest sigma's is the last; as diffusers under NumPy 1, which compares in float32
};

inline constexpr std::array sigma_timesteps_names{
    NamedValue{"diffusers", SigmaTimesteps::diffusers},
    NamedValue{"exact", SigmaTimesteps::exact},
};

/// timestep_of_sigma() with the table's logarithms in float32 (SigmaTimesteps::diffusers).
[[nodiscard]] inline double rounded_timestep_of_sigma(std::span<const double> table, double sigma) {
    require(!table.empty(), "rounded_timestep_of_sigma: the table is empty");
    if (table.size() == 1) {
        return 0;
    }
    const auto rounded_log = [&](std::size_t i) { return static_cast<float>(std::log(table[i])); };
    const double wanted = std::log(sigma);
    const auto first_above = std::partition_point(table.begin(), table.end(), [&](const double& entry) {
        return static_cast<double>(rounded_log(static_cast<std::size_t>(&entry - table.data()))) <= wanted;
    });
    const auto reached = static_cast<std::size_t>(std::max<std::ptrdiff_t>(first_above - table.begin() - 1, 0));
    const std::size_t below = std::min(reached, table.size() - 2);
    const float low = rounded_log(below);
    const float high = rounded_log(below + 1);
    const double weight = std::clamp((static_cast<double>(low) - wanted) / static_cast<double>(low - high), 0.0, 1.0);
    return (1 - weight) * static_cast<double>(below) + weight * static_cast<double>(below + 1);
}

namespace detail {

inline void check_sigma_range(const char* name, SigmaRange range, index_t count) {
    require(count >= 1, name, ": ", count, " sigmas asked for; expected 1 or more");
    require(range.min > 0 && range.min <= range.max && std::isfinite(range.max), name, ": sigmas from ", range.max,
            " to ", range.min, "; expected the first to be finite and not below the second, which is above 0");
}

/// From 0 to 1; 0 for one step.
[[nodiscard]] inline double ramp(index_t i, index_t count) {
    return count == 1 ? 0 : i + 1 == count ? 1 : static_cast<double>(i) * (1 / static_cast<double>(count - 1));
}

} // namespace detail

/// `count` sigmas from range.max down to range.min, evenly in sigma^(1 / rho): equation (5) of arXiv:2206.00364.
[[nodiscard]] inline std::vector<double> karras_sigmas(SigmaRange range, index_t count, double rho = 7) {
    detail::check_sigma_range("karras_sigmas", range, count);
    require(rho > 0, "karras_sigmas: rho is ", rho, "; expected a number above 0");
    const double top = std::pow(range.max, 1 / rho);
    const double bottom = std::pow(range.min, 1 / rho);
    std::vector<double> sigmas;
    for (index_t i = 0; i < count; ++i) {
        sigmas.push_back(std::pow(top + detail::ramp(i, count) * (bottom - top), rho));
    }
    return sigmas;
}

/// `count` sigmas from range.max down to range.min, evenly in log sigma.
[[nodiscard]] inline std::vector<double> exponential_sigmas(SigmaRange range, index_t count) {
    detail::check_sigma_range("exponential_sigmas", range, count);
    const double top = std::log(range.max);
    const double bottom = std::log(range.min);
    std::vector<double> sigmas;
    for (index_t i = 0; i < count; ++i) {
        sigmas.push_back(std::exp(top + detail::ramp(i, count) * (bottom - top)));
    }
    return sigmas;
}

/// `count` sigmas from range.max down to range.min at evenly spread quantiles of the beta distribution with the shape
/// parameters alpha and beta: many near both ends (arXiv:2407.12173).
[[nodiscard]] inline std::vector<double> beta_sigmas(SigmaRange range, index_t count, double alpha = 0.6,
                                                     double beta = 0.6) {
    detail::check_sigma_range("beta_sigmas", range, count);
    std::vector<double> sigmas;
    for (index_t i = 0; i < count; ++i) {
        const double quantile = beta_quantile(1 - detail::ramp(i, count), alpha, beta);
        sigmas.push_back(range.min + quantile * (range.max - range.min));
    }
    return sigmas;
}

/// One of the three above. Throws Error for SigmaSpacing::timesteps, whose sigmas depend on the timesteps.
[[nodiscard]] inline std::vector<double> spread_sigmas(SigmaSpacing spacing, SigmaRange range, index_t count) {
    switch (spacing) {
    case SigmaSpacing::karras:
        return karras_sigmas(range, count);
    case SigmaSpacing::exponential:
        return exponential_sigmas(range, count);
    case SigmaSpacing::beta:
        return beta_sigmas(range, count);
    case SigmaSpacing::timesteps:
        break;
    }
    fail("spread_sigmas: the sigmas of timesteps come from interpolate(training_sigmas(schedule), timestep)");
}

/// Timesteps and sigmas of a run. `sigmas` has one more: the level that the last step leads to.
struct SigmaRun {
    std::vector<double> timesteps;
    std::vector<double> sigmas;
};

/// A run over timesteps of one's own, descending: their sigmas, then no noise. Both are rounded to float32. Throws
/// Error for a timestep outside the training timesteps.
[[nodiscard]] inline SigmaRun sigma_run_at(const NoiseSchedule& schedule, std::vector<double> timesteps) {
    const std::vector<double> table = training_sigmas(schedule);
    SigmaRun run{std::move(timesteps), {}};
    round_to_float(run.timesteps);
    for (const double timestep : run.timesteps) {
        require(timestep >= 0 && timestep <= static_cast<double>(schedule.size() - 1), "sigma_run_at: timestep ",
                timestep, " is outside the training timesteps 0 to ", schedule.size() - 1);
        run.sigmas.push_back(interpolate(table, timestep));
    }
    run.sigmas.push_back(0);
    round_to_float(run.sigmas);
    return run;
}

/// A run over sigmas of one's own, descending, with the one that the last step leads to (0, mostly). Both are rounded
/// to float32. Throws Error unless there are two or more.
[[nodiscard]] inline SigmaRun sigma_run_through(const NoiseSchedule& schedule, std::vector<double> sigmas) {
    require(sigmas.size() >= 2, "sigma_run_through: ", sigmas.size(),
            " sigmas; expected two or more: one step and its end");
    const std::vector<double> table = training_sigmas(schedule);
    SigmaRun run{{}, std::move(sigmas)};
    round_to_float(run.sigmas);
    for (std::size_t k = 0; k + 1 < run.sigmas.size(); ++k) {
        run.timesteps.push_back(timestep_of_sigma(table, run.sigmas[k]));
    }
    round_to_float(run.timesteps);
    return run;
}

/// What sigmas between the levels of the training schedule are.
enum class SigmaInterpolation {
    linear,    ///< those of the run's timesteps, linear in sigma between training timesteps
    log_linear ///< not those of the timesteps: all over the training schedule, evenly in log sigma, ending at its
               ///< lowest
};

inline constexpr std::array sigma_interpolation_names{
    NamedValue{"linear", SigmaInterpolation::linear},
    NamedValue{"log_linear", SigmaInterpolation::log_linear},
};

/// What SigmaRun is made from.
struct SigmaRunOptions {
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    SigmaInterpolation interpolation = SigmaInterpolation::linear;
    std::optional<double> sigma_max{}; ///< in place of the run's own highest, where sigma_spacing spreads
    std::optional<double> sigma_min{}; ///< the same for the lowest
    FinalSigma final_sigma = FinalSigma::zero;
};

/// `count` steps from the noisiest down, timesteps and sigmas rounded to float32: the sigmas of the spaced timesteps,
/// or, with another sigma_spacing, sigmas spread between the first and the last of those, with their timesteps. Throws
/// Error as fractional_timesteps() and spread_sigmas() do.
[[nodiscard]] inline SigmaRun make_sigma_run(const NoiseSchedule& schedule, const SigmaRunOptions& options,
                                             index_t count) {
    const std::vector<double> table = training_sigmas(schedule);
    SigmaRun run{fractional_timesteps(options.timestep_spacing, schedule.size(), count, options.steps_offset), {}};
    if (options.interpolation == SigmaInterpolation::log_linear) {
        run.sigmas = exponential_sigmas({table.back(), table.front()}, count + 1);
    } else {
        for (const double timestep : run.timesteps) {
            run.sigmas.push_back(interpolate(table, timestep));
        }
    }
    if (options.sigma_spacing != SigmaSpacing::timesteps) {
        const SigmaRange range{options.sigma_max.value_or(run.sigmas.front()),
                               options.sigma_min.value_or(run.sigmas.back())};
        run.sigmas = spread_sigmas(options.sigma_spacing, range, count);
        std::transform(run.sigmas.begin(), run.sigmas.end(), run.timesteps.begin(),
                       [&](double sigma) { return timestep_of_sigma(table, sigma); });
    }
    if (static_cast<index_t>(run.sigmas.size()) == count) {
        run.sigmas.push_back(options.final_sigma == FinalSigma::zero ? 0 : table.front());
    }
    round_to_float(run.timesteps);
    round_to_float(run.sigmas);
    return run;
}

} // namespace reel
