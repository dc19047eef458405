#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <reel/schedulers/schedule/sigmas.hpp>

/// What DPM-Solver, DEIS and UniPC share. They integrate the probability flow exactly but for the model's output, which
/// they take for a polynomial in lambda = log(signal / noise), half the logarithm of the signal-to-noise ratio (Lu et
/// al. 2022, arXiv:2206.00927, equation 3.4). So every step is a weighted sum of a sample, outputs and noise.
namespace reel {

/// A noise level of a run.
struct SolverLevel {
    double signal;
    double noise;
    double lambda; ///< infinite without noise
};

/// The level that a sigma stands for; sigma 0 is without noise.
[[nodiscard]] inline SolverLevel solver_level(double sigma) {
    const NoiseLevel level = level_of_sigma(sigma);
    return {level.signal, level.noise, sigma > 0 ? -std::log(sigma) : std::numeric_limits<double>::infinity()};
}

/// The same of any signal and noise, variance-preserving or not.
[[nodiscard]] inline SolverLevel solver_level(NoiseLevel level) {
    return {level.signal, level.noise,
            level.noise > 0 ? std::log(level.signal / level.noise) : std::numeric_limits<double>::infinity()};
}

/// Which of the model's predictions is integrated, and whether noise is added on the way. The names are diffusers'.
enum class SolverAlgorithm {
    dpmsolver,       ///< the noise (arXiv:2206.00927)
    dpmsolver_pp,    ///< the clean sample (Lu et al. 2022, arXiv:2211.01095)
    sde_dpmsolver,   ///< the noise, along the reverse diffusion instead of the probability flow
    sde_dpmsolver_pp ///< the clean sample, likewise (arXiv:2211.01095, section 5)
};

inline constexpr std::array solver_algorithm_names{
    NamedValue{"dpmsolver", SolverAlgorithm::dpmsolver},
    NamedValue{"dpmsolver++", SolverAlgorithm::dpmsolver_pp},
    NamedValue{"sde-dpmsolver", SolverAlgorithm::sde_dpmsolver},
    NamedValue{"sde-dpmsolver++", SolverAlgorithm::sde_dpmsolver_pp},
};

/// Whether the algorithm is one in the clean sample, not in the noise.
[[nodiscard]] constexpr bool integrates_clean(SolverAlgorithm algorithm) {
    return algorithm == SolverAlgorithm::dpmsolver_pp || algorithm == SolverAlgorithm::sde_dpmsolver_pp;
}
/// Whether the algorithm solves the stochastic equation.
[[nodiscard]] constexpr bool draws_noise(SolverAlgorithm algorithm) {
    return algorithm == SolverAlgorithm::sde_dpmsolver || algorithm == SolverAlgorithm::sde_dpmsolver_pp;
}

/// What a second-order step makes of the output's slope. The names are diffusers'.
enum class SolverType {
    midpoint, ///< the output halfway counts for the whole step
    heun      ///< the integral of the line
};

inline constexpr std::array solver_type_names{
    NamedValue{"midpoint", SolverType::midpoint},
    NamedValue{"heun", SolverType::heun},
};

/// A step between two levels, with an output m0 + D1 u + D2 u^2 for u from 0 to 1 (D1 and D2 in units of the step):
///
///     x_to = sample x_from - scale (constant() m0 + linear() D1 + 2 quadratic() D2) + noise z
///
/// With h the difference in lambda, s and n the signal and noise of the levels, and y the argument of the exponential:
///
///                       sample               scale    y     noise
///     dpmsolver         s_to / s_from        n_to     h
///     dpmsolver++       n_to / n_from        s_to     -h
///     sde-dpmsolver     s_to / s_from        2 n_to   h     n_to sqrt(e^2h - 1)
///     sde-dpmsolver++   n_to / n_from e^-h   s_to     -2h   n_to sqrt(1 - e^-2h)
struct ExponentialStep {
    double sample;
    double scale;
    double y;
    double noise;
    double h;

    ExponentialStep(SolverAlgorithm algorithm, const SolverLevel& from, const SolverLevel& to)
        : h(to.lambda - from.lambda) {
        const bool clean = integrates_clean(algorithm);
        const bool noisy = draws_noise(algorithm);
        sample = clean ? to.noise / from.noise * (noisy ? std::exp(-h) : 1) : to.signal / from.signal;
        scale = clean ? to.signal : (noisy ? 2 : 1) * to.noise;
        y = clean ? (noisy ? -2 : -1) * h : h;
        noise = noisy ? to.noise * std::sqrt(clean ? -std::expm1(-2 * h) : std::expm1(2 * h)) : 0;
    }

    [[nodiscard]] double constant() const { return std::expm1(y); }
    [[nodiscard]] double linear() const { return y == 0 ? 0 : std::expm1(y) / y - 1; }
    [[nodiscard]] double quadratic() const { return y == 0 ? 0 : (std::expm1(y) - y) / (y * y) - 0.5; }
};

/// Weights of up to three outputs, newest first.
using OutputWeights = std::array<double, 3>;

/// The newest outputs' distances in lambda: h of the step, h0 between the newest and the one before it, h1 between that
/// and the third.
struct OutputSpacing {
    double h;
    double h0;
    double h1;
};

/// Weights of constant m0 + linear D1 + quadratic D2, where D1 and D2 are the slope and the second coefficient, in
/// units of a step h, at the newest output of the polynomial through the last two or three outputs. `order` says how
/// many outputs count.
[[nodiscard]] inline OutputWeights multistep_weights(int order, const OutputSpacing& spacing, double constant,
                                                     double linear, double quadratic) {
    const auto [h, h0, h1] = spacing;
    if (order == 1) {
        return {constant};
    }
    if (order == 2) {
        const double slope = h / h0 * linear;
        return {constant + slope, -slope};
    }
    const double newer = h / h0 * (linear * (1 + h0 / (h0 + h1)) + quadratic * h / (h0 + h1));
    const double older = h / h1 * (linear * h0 / (h0 + h1) + quadratic * h / (h0 + h1));
    return {constant + newer, -newer - older, older};
}

} // namespace reel
