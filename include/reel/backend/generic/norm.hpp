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
        const index_t set = index / p.groups;
        const index_t width = p.channels / p.groups;
        const index_t first = index % p.groups * width;
        const index_t count = p.rows * width;
        const T* x = p.x + set * p.rows * p.channels + first;
        T* y = p.y + set * p.rows * p.channels + first;
        T mean = T(0);
        for (index_t i = 0; i < count; ++i) {
            mean += x[i / width * p.channels + i % width];
        }
        mean /= T(count);
        T variance = T(0);
        for (index_t i = 0; i < count; ++i) {
            const T d = x[i / width * p.channels + i % width] - mean;
            variance += d * d;
        }
        const T inverse = T(1) / sqrt(variance / T(count) + p.epsilon);
        if (p.mean != nullptr) {
            p.mean[index] = mean;
            p.inverse_std[index] = inverse;
        }
        for (index_t i = 0; i < count; ++i) {
            const index_t at = i / width * p.channels + i % width;
            const index_t channel = first + i % width;
            T value = (x[at] - mean) * inverse;
            value = p.gamma != nullptr ? value * p.gamma[channel] : value;
            value = p.beta != nullptr ? value + p.beta[channel] : value;
            y[at] = p.silu ? value * sigmoid(value) : value;
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
    NormProblem<T> p;

    /// Gradient with respect to the affine output, at one element whose normalised value is `normal`.
    [[nodiscard]] constexpr T affine_gradient(T gradient, T normal, index_t channel) const {
        if (!p.silu) {
            return gradient;
        }
        const T affine =
            normal * (p.gamma != nullptr ? p.gamma[channel] : T(1)) + (p.beta != nullptr ? p.beta[channel] : T(0));
        return gradient * silu_slope(affine);
    }

    constexpr void operator()(index_t index) const {
        const index_t set = index / p.groups;
        const index_t width = p.channels / p.groups;
        const index_t first = index % p.groups * width;
        const index_t count = p.rows * width;
        const index_t offset = set * p.rows * p.channels + first;
        const T mean = p.mean[index];
        const T inverse = p.inverse_std[index];
        T sum = T(0);
        T sum_normal = T(0);
        for (int pass = 0; pass < 2; ++pass) {
            for (index_t i = 0; i < count; ++i) {
                const index_t at = offset + i / width * p.channels + i % width;
                const index_t channel = first + i % width;
                const T normal = (p.x[at] - mean) * inverse;
                const T scaled =
                    affine_gradient(p.y_gradient[at], normal, channel) * (p.gamma != nullptr ? p.gamma[channel] : T(1));
                if (pass == 0) {
                    sum += scaled;
                    sum_normal += scaled * normal;
                } else {
                    p.x_gradient[at] = inverse * (scaled - (sum + normal * sum_normal) / T(count));
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
            const T normal = (p.x[at] - p.mean[group]) * p.inverse_std[group];
            const T gradient = NormBackwardGroup<T>{p}.affine_gradient(p.y_gradient[at], normal, channel);
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
