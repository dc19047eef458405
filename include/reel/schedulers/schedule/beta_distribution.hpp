#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <reel/core/error.hpp>

namespace reel {

namespace detail {

/// log B(a, b).
[[nodiscard]] inline double log_beta(double a, double b) {
    return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
}

/// The continued fraction of I_x(a, b) (DLMF 8.17.22) by Lentz's method; it converges fast for x < (a + 1) / (a + b +
/// 2).
[[nodiscard]] inline double beta_fraction(double x, double a, double b) {
    constexpr double tiny = 1e-300;
    constexpr int limit = 10000;
    const auto nonzero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
    double c = 1;
    double d = 1 / nonzero(1 - (a + b) * x / (a + 1));
    double fraction = d;
    for (int k = 1; k <= limit; ++k) {
        const double m = k;
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / nonzero(1 + even * d);
        c = nonzero(1 + even / c);
        fraction *= c * d;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / nonzero(1 + odd * d);
        c = nonzero(1 + odd / c);
        fraction *= c * d;
        if (std::abs(c * d - 1) < std::numeric_limits<double>::epsilon()) {
            return fraction;
        }
    }
    fail("regularized_beta(", x, ", ", a, ", ", b, "): the continued fraction has not converged after ", limit,
         " terms; use smaller shape parameters");
}

inline void check_beta_shape(const char* name, double a, double b) {
    require(a > 0 && b > 0 && std::isfinite(a) && std::isfinite(b), name, ": the shape parameters are ", a, " and ", b,
            "; expected finite numbers above 0");
}

} // namespace detail

/// I_x(a, b), the regularised incomplete beta function: the probability that a variable of the beta distribution with
/// the shape parameters a and b is at most x. Throws Error unless 0 <= x <= 1, a > 0 and b > 0.
[[nodiscard]] inline double regularized_beta(double x, double a, double b) {
    detail::check_beta_shape("regularized_beta", a, b);
    require(x >= 0 && x <= 1, "regularized_beta: x is ", x, "; expected a number from 0 to 1");
    if (x == 0 || x == 1) {
        return x;
    }
    const double front = std::exp(a * std::log(x) + b * std::log1p(-x) - detail::log_beta(a, b));
    return x < (a + 1) / (a + b + 2) ? front * detail::beta_fraction(x, a, b) / a
                                     : 1 - front * detail::beta_fraction(1 - x, b, a) / b;
}

namespace detail {

/// The x with I_x(a, b) = p, for p at or below I at 1/2: Newton's method in log x, kept inside a shrinking bracket.
/// In log x, because a small p has an x that is smaller by powers.
[[nodiscard]] inline double lower_beta_quantile(double p, double a, double b) {
    double low = -745; // below the logarithm of every positive double
    double high = 0;
    double log_x = std::clamp((std::log(p) + std::log(a) + log_beta(a, b)) / a, low, -1e-3);
    for (int i = 0; i < 200; ++i) {
        const double x = std::exp(log_x);
        const double error = regularized_beta(x, a, b) - p;
        (error > 0 ? high : low) = log_x;
        const double slope = std::exp(a * log_x + (b - 1) * std::log1p(-x) - log_beta(a, b)); // of I, in log x
        double next = log_x - error / slope;
        if (!(next > low && next < high)) {
            next = (low + high) / 2;
        }
        if (std::abs(next - log_x) <= 4 * std::numeric_limits<double>::epsilon()) {
            return std::exp(next);
        }
        log_x = next;
    }
    return std::exp(log_x);
}

} // namespace detail

/// The inverse of regularized_beta in x: the quantile of the beta distribution (scipy.stats.beta.ppf), to about 1e-14
/// of itself below the median and of its distance to 1 above. Throws Error unless 0 <= p <= 1, a > 0 and b > 0.
[[nodiscard]] inline double beta_quantile(double p, double a, double b) {
    detail::check_beta_shape("beta_quantile", a, b);
    require(p >= 0 && p <= 1, "beta_quantile: p is ", p, "; expected a number from 0 to 1");
    if (p == 0 || p == 1) {
        return p;
    }
    return p <= regularized_beta(0.5, a, b) ? detail::lower_beta_quantile(p, a, b)
                                            : 1 - detail::lower_beta_quantile(1 - p, b, a);
}

} // namespace reel
