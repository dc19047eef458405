#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include <reel/schedulers/detail/flow_sigmas.hpp>
#include <reel/schedulers/schedule/noise_schedule.hpp>
#include <reel/schedulers/schedule/sigmas.hpp>
#include <reel/schedulers/schedule/timesteps.hpp>

namespace reel {

/// Which levels a run of DPM-Solver, DEIS or UniPC visits.
struct SolverRunOptions {
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    FinalSigma final_sigmas_type = FinalSigma::zero;
    double lambda_min_clipped = -std::numeric_limits<double>::infinity(); ///< leaves out levels below this lambda
    std::optional<double> sigma_min{};                                    ///< ends of spread sigmas
    std::optional<double> sigma_max{};
    SigmaTimesteps sigma_timesteps = SigmaTimesteps::diffusers; ///< of spread sigmas
    bool use_lu_lambdas = false;                                ///< exponential sigmas, with other timesteps
    bool fractions_cut_off = false; ///< Karras' and Lu's timesteps are rounded down, not to the nearest
    bool repeat_last_sigma = false; ///< spread sigmas: sigma_min is the last of them, so that the last step is void
    bool use_flow_sigmas = false;   ///< and no others: sigmas are those of level_of_flow_sigma()
    double flow_shift = 1;
    detail::FlowStart flow_start = detail::FlowStart::last_timestep;
    bool draws_noise = false; ///< so that no step can lead to a noisier level
};

/// Timesteps of a run and its sigmas, of which there is one more: the level that the last step leads to.
struct SolverRun {
    std::vector<index_t> timesteps;
    std::vector<double> sigmas;
};

/// Timesteps below `end`, from the noisiest down, as diffusers spaces them for these samplers: linspace and leading
/// spacing have `count` + 1 points, of which the last, timestep 0, is no step. With trailing spacing, an `end` below
/// `training_steps` leaves fewer steps.
[[nodiscard]] inline std::vector<index_t> solver_timesteps(TimestepSpacing spacing, index_t training_steps, index_t end,
                                                           index_t count, index_t steps_offset) {
    std::vector<index_t> timesteps;
    if (spacing == TimestepSpacing::trailing) {
        const auto start = static_cast<double>(end); // the increment as in spaced_timesteps()
        const double second = start - static_cast<double>(training_steps) / static_cast<double>(count);
        for (index_t i = 0; i < count; ++i) {
            const auto timestep =
                static_cast<index_t>(std::nearbyint(start + static_cast<double>(i) * (second - start))) - 1;
            if (timestep >= 0) {
                timesteps.push_back(timestep);
            }
        }
        return timesteps;
    }
    for (index_t i = count; i > 0; --i) {
        if (spacing == TimestepSpacing::leading) {
            timesteps.push_back(i * (end / (count + 1)) + steps_offset);
        } else {
            const double step = static_cast<double>(end - 1) / static_cast<double>(count);
            timesteps.push_back(i == count ? end - 1
                                           : static_cast<index_t>(std::nearbyint(static_cast<double>(i) * step)));
        }
    }
    return timesteps;
}

namespace detail {

/// The steps of a run of flow sigmas, without the level that the last of them leads to.
[[nodiscard]] inline SolverRun flow_run(const SolverRunOptions& options, index_t training_steps, index_t count) {
    SolverRun run{{}, flow_sigmas(training_steps, count, options.flow_shift, options.flow_start)};
    for (const double s : run.sigmas) {
        run.timesteps.push_back(static_cast<index_t>(s * static_cast<double>(training_steps)));
    }
    round_to_float(run.sigmas);
    return run;
}

} // namespace detail

/// A run of `count` steps. Throws Error, starting with the scheduler's name, when the schedule has no room for them.
[[nodiscard]] inline SolverRun make_solver_run(std::string_view scheduler, const NoiseSchedule& schedule,
                                               const SolverRunOptions& options, index_t count) {
    require(count >= 1 && count < schedule.size(), scheduler, ": ", count, " steps asked for; expected 1 to ",
            schedule.size() - 1, " (fewer than num_train_timesteps)");
    const std::vector<double> table = training_sigmas(schedule);
    if (options.use_flow_sigmas) {
        SolverRun run = detail::flow_run(options, schedule.size(), count);
        const double lowest = options.repeat_last_sigma ? run.sigmas.back() : table.front();
        require(options.final_sigmas_type == FinalSigma::zero || !options.draws_noise || lowest <= run.sigmas.back(),
                scheduler, ": ", count, " steps of flow sigmas go below sigma_min, from where one that draws noise ",
                "cannot lead up to it; use fewer, or set final_sigmas_type to zero");
        run.sigmas.push_back(options.final_sigmas_type == FinalSigma::zero ? 0 : lowest);
        return run;
    }
    const index_t end = std::count_if(table.begin(), table.end(),
                                      [&](double sigma) { return -std::log(sigma) >= options.lambda_min_clipped; });
    require(end >= 1, scheduler, ": lambda_min_clipped is ", options.lambda_min_clipped,
            ", which leaves out every training timestep");
    SolverRun run{solver_timesteps(options.timestep_spacing, schedule.size(), end, count, options.steps_offset), {}};
    require(!run.timesteps.empty() && run.timesteps.front() < schedule.size(), scheduler, ": ", count,
            " steps with steps_offset ", options.steps_offset, " do not fit into ", end,
            " training timesteps; use fewer steps or a smaller steps_offset");
    if (options.sigma_spacing == SigmaSpacing::timesteps && !options.use_lu_lambdas) {
        for (const index_t timestep : run.timesteps) {
            run.sigmas.push_back(table[static_cast<std::size_t>(timestep)]);
        }
    } else {
        const SigmaRange range{options.sigma_max.value_or(table.back()), options.sigma_min.value_or(table.front())};
        const SigmaSpacing spacing = options.use_lu_lambdas ? SigmaSpacing::exponential : options.sigma_spacing;
        run.sigmas = spread_sigmas(spacing, range, count);
        const bool exact = options.sigma_timesteps == SigmaTimesteps::exact;
        const std::vector<double> unrounded = run.sigmas;
        round_to_float(run.sigmas);
        const bool nearest = (options.use_lu_lambdas || spacing == SigmaSpacing::karras) && !options.fractions_cut_off;
        run.timesteps.clear();
        for (std::size_t i = 0; i < run.sigmas.size(); ++i) {
            const double timestep =
                exact ? timestep_of_sigma(table, run.sigmas[i]) : rounded_timestep_of_sigma(table, unrounded[i]);
            run.timesteps.push_back(static_cast<index_t>(nearest ? std::nearbyint(timestep) : timestep));
        }
    }
    require(std::adjacent_find(run.sigmas.begin(), run.sigmas.end(), std::less_equal<>()) == run.sigmas.end(),
            scheduler, ": ", count, " steps of this spacing do not all lead to another noise level; use fewer");
    const bool repeats = options.repeat_last_sigma && options.sigma_spacing != SigmaSpacing::timesteps;
    const double lowest = repeats ? run.sigmas.back() : std::min(table.front(), run.sigmas.back());
    run.sigmas.push_back(options.final_sigmas_type == FinalSigma::zero ? 0 : lowest);
    return run;
}

} // namespace reel
