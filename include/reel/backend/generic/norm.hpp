#pragma once

#include <cmath>

#include <reel/backend/backend.hpp>

namespace reel::generic {

template <class T>
[[nodiscard]] constexpr T sigmoid(T x) {
    using std::exp;
    return T(1) / (T(1) + exp(-x));
}

/// d silu(x) / dx
template <class T>
[[nodiscard]] constexpr T silu_slope(T x) {
    const T s = sigmoid(x);
    return s * (T(1) + x * (T(1) - s));
}

template <class T>
struct NormForwardGroup {
    NormProblem<T> p;

    constexpr void operator()(index_t index) const {
        using std::sqrt;
        using C = compute_t<T>;
        const index_t set = index / p.groups;
        const index_t width = p.channels / p.groups;
        const index_t first = index % p.groups * width;
        const index_t count = p.rows * width;
        const T* x = p.x + set * p.rows * p.channels + first;
        T* y = p.y + set * p.rows * p.channels + first;
        C mean = C(0);
        for (index_t i = 0; i < count; ++i) {
            mean += static_cast<C>(x[i / width * p.channels + i % width]);
        }
        mean /= C(count);
        C variance = C(0);
        for (index_t i = 0; i < count; ++i) {
            const C d = static_cast<C>(x[i / width * p.channels + i % width]) - mean;
            variance += d * d;
        }
        const C inverse = C(1) / sqrt(variance / C(count) + p.epsilon);
        if (p.mean != nullptr) {
            p.mean[index] = mean;
            p.inverse_std[index] = inverse;
        }
        for (index_t i = 0; i < count; ++i) {
            const index_t at = i / width * p.channels + i % width;
            const index_t channel = first + i % width;
            C value = (static_cast<C>(x[at]) - mean) * inverse;
            value = p.gamma != nullptr ? value * static_cast<C>(p.gamma[channel]) : value;
            value = p.beta != nullptr ? value + static_cast<C>(p.beta[channel]) : value;
            y[at] = static_cast<T>(p.silu ? value * sigmoid(value) : value);
        }
    }
};

/// Group and layer norm, optionally followed by SiLU. Wu & He 2018, arXiv:1803.08494; Ba et al. 2016, arXiv:1607.06450.
template <Backend B, class T>
void norm_forward(B& backend, const NormProblem<T>& problem) {
    backend.for_each_index(problem.sets * problem.groups, NormForwardGroup<T>{problem}, 1);
}

template <class T>
struct NormBackwardGroup {
    using C = compute_t<T>;
    NormProblem<T> p;

    [[nodiscard]] constexpr C gamma(index_t channel) const {
        return p.gamma != nullptr ? static_cast<C>(p.gamma[channel]) : C(1);
    }

    /// Gradient with respect to the affine output, at one element whose normalised value is `normal`.
    [[nodiscard]] constexpr C affine_gradient(C gradient, C normal, index_t channel) const {
        if (!p.silu) {
            return gradient;
        }
        const C affine = normal * gamma(channel) + (p.beta != nullptr ? static_cast<C>(p.beta[channel]) : C(0));
        return gradient * silu_slope(affine);
    }

    constexpr void operator()(index_t index) const {
        const index_t set = index / p.groups;
        const index_t width = p.channels / p.groups;
        const index_t first = index % p.groups * width;
        const index_t count = p.rows * width;
        const index_t offset = set * p.rows * p.channels + first;
        const C mean = p.mean[index];
        const C inverse = p.inverse_std[index];
        C sum = C(0);
        C sum_normal = C(0);
        for (int pass = 0; pass < 2; ++pass) {
            for (index_t i = 0; i < count; ++i) {
                const index_t at = offset + i / width * p.channels + i % width;
                const index_t channel = first + i % width;
                const C normal = (static_cast<C>(p.x[at]) - mean) * inverse;
                const C scaled = affine_gradient(static_cast<C>(p.y_gradient[at]), normal, channel) * gamma(channel);
                if (pass == 0) {
                    sum += scaled;
                    sum_normal += scaled * normal;
                } else {
                    p.x_gradient[at] = static_cast<T>(inverse * (scaled - (sum + normal * sum_normal) / C(count)));
                }
            }
        }
    }
};

template <class T>
struct NormAffineGradientChannel {
    NormProblem<T> p;

    constexpr void operator()(index_t channel) const {
        const index_t width = p.channels / p.groups;
        for (index_t row = 0; row < p.sets * p.rows; ++row) {
            const index_t group = row / p.rows * p.groups + channel / width;
            const index_t at = row * p.channels + channel;
            using C = compute_t<T>;
            const C normal = (static_cast<C>(p.x[at]) - p.mean[group]) * p.inverse_std[group];
            const C gradient =
                NormBackwardGroup<T>{p}.affine_gradient(static_cast<C>(p.y_gradient[at]), normal, channel);
            if (p.gamma_gradient != nullptr) {
                p.gamma_gradient[channel] += gradient * normal;
            }
            if (p.beta_gradient != nullptr) {
                p.beta_gradient[channel] += gradient;
            }
        }
    }
};

/// Gradients of norm_forward, from its input and the saved mean and inverse standard deviation.
template <Backend B, class T>
void norm_backward(B& backend, const NormProblem<T>& problem) {
    if (problem.x_gradient != nullptr) {
        backend.for_each_index(problem.sets * problem.groups, NormBackwardGroup<T>{problem}, 1);
    }
    if (problem.gamma_gradient != nullptr || problem.beta_gradient != nullptr) {
        backend.for_each_index(problem.channels, NormAffineGradientChannel<T>{problem}, 1);
    }
}

} // namespace reel::generic
