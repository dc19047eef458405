#pragma once

#include <cmath>

#include <reel/backend/generic/norm.hpp>

/// Functions of one number with their slopes, as functors that every backend can run.
namespace reel::generic {

/// x * sigmoid(x). Elfwing et al. 2017, arXiv:1702.03118.
struct Silu {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        return x * sigmoid(x);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        return silu_slope(x);
    }
};

/// x * Phi(x) with the exact normal distribution. Hendrycks & Gimpel 2016, arXiv:1606.08415.
struct Gelu {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        using std::erf;
        return T(0.5) * x * (T(1) + erf(x * T(0.70710678118654752440)));
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        using std::erf;
        using std::exp;
        const T density = T(0.39894228040143267794) * exp(T(-0.5) * x * x);
        return T(0.5) * (T(1) + erf(x * T(0.70710678118654752440))) + x * density;
    }
};

/// x * sigmoid(1.702 x): CLIP's approximation of GELU.
struct QuickGelu {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        return x * sigmoid(T(1.702) * x);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        const T s = sigmoid(T(1.702) * x);
        return s * (T(1) + T(1.702) * x * (T(1) - s));
    }
};

struct Relu {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        return x > T(0) ? x : T(0);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        return x > T(0) ? T(1) : T(0);
    }
};

template <class F, class T>
struct MapUnary {
    F f;
    const T* x;
    T* y;
    constexpr void operator()(index_t i) const { y[i] = static_cast<T>(f(static_cast<compute_t<T>>(x[i]))); }
};

/// y[i] = f(x[i])
template <Backend B, class F, class T>
void map_unary(B& backend, F f, const T* x, T* y, index_t count) {
    backend.for_each_index(count, MapUnary<F, T>{f, x, y});
}

template <class F, class T>
struct MapUnaryBackward {
    F f;
    const T* x;
    const T* y_gradient;
    T* x_gradient;
    constexpr void operator()(index_t i) const {
        using C = compute_t<T>;
        x_gradient[i] = static_cast<T>(static_cast<C>(y_gradient[i]) * f.slope(static_cast<C>(x[i])));
    }
};

/// x_gradient[i] = y_gradient[i] * f'(x[i])
template <Backend B, class F, class T>
void map_unary_backward(B& backend, F f, const T* x, const T* y_gradient, T* x_gradient, index_t count) {
    backend.for_each_index(count, MapUnaryBackward<F, T>{f, x, y_gradient, x_gradient});
}

template <class T>
struct Geglu {
    const T* x;
    T* y;
    index_t width;
    constexpr void operator()(index_t i) const {
        using C = compute_t<T>;
        const T* row = x + i / width * 2 * width;
        y[i] = static_cast<T>(static_cast<C>(row[i % width]) * Gelu{}(static_cast<C>(row[width + i % width])));
    }
};

/// y = value * gelu(gate) for rows x = [value, gate] of 2 * width. Shazeer 2020, arXiv:2002.05202.
template <Backend B, class T>
void geglu(B& backend, const T* x, T* y, index_t rows, index_t width) {
    backend.for_each_index(rows * width, Geglu<T>{x, y, width});
}

template <class T>
struct GegluBackward {
    const T* x;
    const T* y_gradient;
    T* x_gradient;
    index_t width;
    constexpr void operator()(index_t i) const {
        const index_t at = i / width * 2 * width + i % width;
        const auto gradient = static_cast<compute_t<T>>(y_gradient[i]);
        const auto value = static_cast<compute_t<T>>(x[at]);
        const auto gate = static_cast<compute_t<T>>(x[at + width]);
        x_gradient[at] = static_cast<T>(gradient * Gelu{}(gate));
        x_gradient[at + width] = static_cast<T>(gradient * value * Gelu{}.slope(gate));
    }
};

template <Backend B, class T>
void geglu_backward(B& backend, const T* x, const T* y_gradient, T* x_gradient, index_t rows, index_t width) {
    backend.for_each_index(rows * width, GegluBackward<T>{x, y_gradient, x_gradient, width});
}

} // namespace reel::generic
