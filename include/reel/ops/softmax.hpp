#pragma once

#include <cmath>

#include <reel/ops/elementwise.hpp>

namespace reel {

namespace functors {

/// One row of y = softmax(x).
template <class T>
struct Softmax {
    using C = compute_t<T>;
    const T* x;
    T* y;
    index_t width;
    constexpr void operator()(index_t row) const {
        using std::exp;
        const T* from = x + row * width;
        C largest = static_cast<C>(from[0]);
        for (index_t c = 1; c < width; ++c) {
            largest = largest < static_cast<C>(from[c]) ? static_cast<C>(from[c]) : largest;
        }
        C sum = 0;
        for (index_t c = 0; c < width; ++c) {
            sum += exp(static_cast<C>(from[c]) - largest);
        }
        for (index_t c = 0; c < width; ++c) {
            y[row * width + c] = static_cast<T>(exp(static_cast<C>(from[c]) - largest) / sum);
        }
    }
};

/// One row of x_gradient = y * (y_gradient - <y, y_gradient>).
template <class T>
struct SoftmaxGradient {
    using C = compute_t<T>;
    const T* y;
    const T* y_gradient;
    T* x_gradient;
    index_t width;
    constexpr void operator()(index_t row) const {
        C dot = 0;
        for (index_t i = row * width; i < (row + 1) * width; ++i) {
            dot += static_cast<C>(y[i]) * static_cast<C>(y_gradient[i]);
        }
        for (index_t i = row * width; i < (row + 1) * width; ++i) {
            x_gradient[i] = static_cast<T>(static_cast<C>(y[i]) * (static_cast<C>(y_gradient[i]) - dot));
        }
    }
};

} // namespace functors

/// exp(x) / sum of exp(x) along the last axis, whose rows then sum to 1. torch.softmax(x, -1). Throws Error for an
/// empty last axis.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> softmax(const Tensor<T, B>& x) {
    require(x.rank() > 0 && x.shape(-1) > 0, "softmax: no last axis in ", x.shape());
    const index_t width = x.shape(-1);
    Tensor<T, B> y(x.backend(), x.shape());
    x.backend().for_each_index(x.size() / width, functors::Softmax<T>{x.data(), y.data(), width}, 8);
    return y;
}

/// Gradient of softmax's input, from its result y.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> softmax_gradient(const Tensor<T, B>& y, const Tensor<T, B>& y_gradient) {
    detail::require_same_shape("softmax_gradient", y, y_gradient);
    const index_t width = y.shape(-1);
    Tensor<T, B> result(y.backend(), y.shape());
    y.backend().for_each_index(y.size() / width,
                               functors::SoftmaxGradient<T>{y.data(), y_gradient.data(), result.data(), width}, 8);
    return result;
}

} // namespace reel
