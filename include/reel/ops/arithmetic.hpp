#pragma once

#include <concepts>

#include <reel/ops/elementwise.hpp>

/// Arithmetic as it is written. Two tensors have equal shapes, or an Error names them; a scalar is any number of C++,
/// and taken as compute_t<T>. Results are rounded once.
namespace reel {

/// A number of C++, as operators take it beside a tensor.
template <class N>
concept Number = std::integral<N> || std::floating_point<N>;

namespace functors {

/// alpha * x + beta
template <class T>
struct Affine {
    using C = compute_t<T>;
    C alpha;
    C beta;
    const T* x;
    T* z;
    constexpr void operator()(index_t i) const { z[i] = static_cast<T>(alpha * static_cast<C>(x[i]) + beta); }
};

/// x / y, where a null pointer stands for one number.
template <class T>
struct Divide {
    using C = compute_t<T>;
    const T* x;
    C of_x;
    const T* y;
    C of_y;
    T* z;
    constexpr void operator()(index_t i) const {
        z[i] =
            static_cast<T>((x != nullptr ? static_cast<C>(x[i]) : of_x) / (y != nullptr ? static_cast<C>(y[i]) : of_y));
    }
};

/// x[p, c] * mask[p]
template <class T>
struct Masked {
    using C = compute_t<T>;
    const T* x;
    const T* mask;
    T* z;
    index_t channels;
    constexpr void operator()(index_t i) const {
        z[i] = static_cast<T>(static_cast<C>(x[i]) * static_cast<C>(mask[i / channels]));
    }
};

} // namespace functors

/// alpha * x + beta, element by element.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> affine(const Tensor<T, B>& x, compute_t<T> alpha, compute_t<T> beta) {
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Affine<T>{alpha, beta, x.data(), z.data()});
    return z;
}

/// x / y, element by element.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> divide(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    detail::require_same_shape("divide", x, y);
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Divide<T>{x.data(), 0, y.data(), 0, z.data()});
    return z;
}
/// x / y of a number y.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> divide(const Tensor<T, B>& x, compute_t<T> y) {
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Divide<T>{x.data(), 0, nullptr, y, z.data()});
    return z;
}
/// x / y of a number x.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> divide(compute_t<T> x, const Tensor<T, B>& y) {
    Tensor<T, B> z(y.backend(), y.shape());
    y.backend().for_each_index(y.size(), functors::Divide<T>{nullptr, x, y.data(), 0, z.data()});
    return z;
}

/// x [..., channels] times a mask [..., 1]: one number for all channels of a pixel. Throws Error for another mask.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> masked(const Tensor<T, B>& x, const Tensor<T, B>& mask) {
    require(x.rank() > 0 && mask.shape() == x.shape().with(-1, 1), "masked: ", x.shape(), " by a mask ", mask.shape(),
            "; expected the same shape with one channel");
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Masked<T>{x.data(), mask.data(), z.data(), x.shape(-1)});
    return z;
}

template <Scalar T, Backend B> /// x + y, element by element.
[[nodiscard]] Tensor<T, B> operator+(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    return add(x, y);
}
template <Scalar T, Backend B> /// x - y, element by element.
[[nodiscard]] Tensor<T, B> operator-(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    return subtract(x, y);
}
template <Scalar T, Backend B> /// x * y, element by element.
[[nodiscard]] Tensor<T, B> operator*(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    return multiply(x, y);
}
template <Scalar T, Backend B> /// x / y, element by element.
[[nodiscard]] Tensor<T, B> operator/(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    return divide(x, y);
}
template <Scalar T, Backend B> /// -x, element by element.
[[nodiscard]] Tensor<T, B> operator-(const Tensor<T, B>& x) {
    return scale(x, compute_t<T>(-1));
}

template <Scalar T, Backend B, Number N> /// x + number, element by element.
[[nodiscard]] Tensor<T, B> operator+(const Tensor<T, B>& x, N number) {
    return affine(x, 1, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number + x, element by element.
[[nodiscard]] Tensor<T, B> operator+(N number, const Tensor<T, B>& x) {
    return x + number;
}
template <Scalar T, Backend B, Number N> /// x - number, element by element.
[[nodiscard]] Tensor<T, B> operator-(const Tensor<T, B>& x, N number) {
    return affine(x, 1, -static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number - x, element by element.
[[nodiscard]] Tensor<T, B> operator-(N number, const Tensor<T, B>& x) {
    return affine(x, -1, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// x * number, element by element.
[[nodiscard]] Tensor<T, B> operator*(const Tensor<T, B>& x, N number) {
    return scale(x, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number * x, element by element.
[[nodiscard]] Tensor<T, B> operator*(N number, const Tensor<T, B>& x) {
    return x * number;
}
template <Scalar T, Backend B, Number N> /// x / number, element by element.
[[nodiscard]] Tensor<T, B> operator/(const Tensor<T, B>& x, N number) {
    return divide(x, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number / x, element by element.
[[nodiscard]] Tensor<T, B> operator/(N number, const Tensor<T, B>& x) {
    return divide(static_cast<compute_t<T>>(number), x);
}

} // namespace reel
