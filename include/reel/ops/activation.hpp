#pragma once

#include <reel/backend/cpu/kernels.hpp>
#include <reel/backend/generic/elementwise.hpp>
#include <reel/ops/elementwise.hpp>

namespace reel {

using generic::Gelu;
using generic::QuickGelu;
using generic::Relu;
using generic::Silu;

/// An activation function: a value and a slope for one number.
template <class F>
concept Activation = requires(const F f, double x) {
    { f(x) } -> std::same_as<double>;
    { f.slope(x) } -> std::same_as<double>;
};

/// f(x), element by element.
template <Activation F, Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> activate(F f, const Tensor<T, B>& x) {
    Tensor<T, B> y(x.backend(), x.shape());
    if constexpr (requires { map_unary(x.backend(), f, x.data(), y.data(), x.size()); }) {
        map_unary(x.backend(), f, x.data(), y.data(), x.size());
    } else {
        generic::map_unary(x.backend(), f, x.data(), y.data(), x.size());
    }
    return y;
}

/// Gradient of activate's input.
template <Activation F, Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> activate_gradient(F f, const Tensor<T, B>& x, const Tensor<T, B>& y_gradient) {
    detail::require_same_shape("activate_gradient", x, y_gradient);
    Tensor<T, B> result(x.backend(), x.shape());
    if constexpr (requires { map_unary_backward(x.backend(), f, x.data(), x.data(), result.data(), x.size()); }) {
        map_unary_backward(x.backend(), f, x.data(), y_gradient.data(), result.data(), x.size());
    } else {
        generic::map_unary_backward(x.backend(), f, x.data(), y_gradient.data(), result.data(), x.size());
    }
    return result;
}

/// First half times gelu of the second half of the last axis: [..., 2 * width] to [..., width].
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> geglu(const Tensor<T, B>& x) {
    require(x.rank() > 0 && x.shape(-1) % 2 == 0, "geglu: the last extent of ", x.shape(), " is odd");
    const index_t width = x.shape(-1) / 2;
    const index_t rows = width == 0 ? 0 : x.size() / (2 * width);
    Tensor<T, B> y(x.backend(), x.shape().with(-1, width));
    if constexpr (requires { geglu(x.backend(), x.data(), y.data(), rows, width); }) {
        geglu(x.backend(), x.data(), y.data(), rows, width);
    } else {
        generic::geglu(x.backend(), x.data(), y.data(), rows, width);
    }
    return y;
}

/// Gradient of geglu's input, in the memory of x when x is given away and nobody shares it: it is the widest tensor of
/// a transformer.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> geglu_gradient(Tensor<T, B> x, const Tensor<T, B>& y_gradient) {
    const index_t width = x.shape(-1) / 2;
    require(y_gradient.shape() == x.shape().with(-1, width), "geglu_gradient: gradient ", y_gradient.shape(),
            " for input ", x.shape());
    const index_t rows = width == 0 ? 0 : x.size() / (2 * width);
    const Tensor<T, B> result = x.unique() && x.owns_memory() ? x : Tensor<T, B>(x.backend(), x.shape());
    if constexpr (requires { geglu_backward(x.backend(), x.data(), x.data(), result.data(), rows, width); }) {
        geglu_backward(x.backend(), x.data(), y_gradient.data(), result.data(), rows, width);
    } else {
        generic::geglu_backward(x.backend(), x.data(), y_gradient.data(), result.data(), rows, width);
    }
    return result;
}

} // namespace reel
