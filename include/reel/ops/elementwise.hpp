#pragma once

#include <reel/tensor.hpp>

namespace reel {

namespace functors {

template <class T>
struct Axpby {
    using C = compute_t<T>;
    C alpha;
    const T* x;
    C beta;
    const T* y;
    T* z;
    constexpr void operator()(index_t i) const {
        z[i] = static_cast<T>(alpha * static_cast<C>(x[i]) + beta * static_cast<C>(y[i]));
    }
};

template <class T>
struct Scale {
    compute_t<T> alpha;
    const T* x;
    T* z;
    constexpr void operator()(index_t i) const { z[i] = static_cast<T>(alpha * static_cast<compute_t<T>>(x[i])); }
};

template <class T>
struct Multiply {
    const T* x;
    const T* y;
    T* z;
    constexpr void operator()(index_t i) const {
        z[i] = static_cast<T>(static_cast<compute_t<T>>(x[i]) * static_cast<compute_t<T>>(y[i]));
    }
};

template <class T>
struct Accumulate {
    using C = compute_t<T>;
    C alpha;
    const T* x;
    T* y;
    constexpr void operator()(index_t i) const {
        y[i] = static_cast<T>(static_cast<C>(y[i]) + alpha * static_cast<C>(x[i]));
    }
};

template <class T>
struct Clamp {
    compute_t<T> low;
    compute_t<T> high;
    const T* x;
    T* z;
    constexpr void operator()(index_t i) const {
        const auto value = static_cast<compute_t<T>>(x[i]);
        z[i] = static_cast<T>(value < low ? low : (value > high ? high : value));
    }
};

/// z[r, m, c] = x[r, m, c] + y[r / rows_per_vector, c]
template <class T>
struct AddVectors {
    const T* x;
    const T* y;
    T* z;
    index_t rows_per_vector;
    index_t channels;
    constexpr void operator()(index_t row) const {
        const T* vector = y + row / rows_per_vector * channels;
        for (index_t c = 0; c < channels; ++c) {
            using C = compute_t<T>;
            z[row * channels + c] = static_cast<T>(static_cast<C>(x[row * channels + c]) + static_cast<C>(vector[c]));
        }
    }
};

template <class To, class From>
struct Cast {
    const From* x;
    To* y;
    constexpr void operator()(index_t i) const { y[i] = static_cast<To>(static_cast<compute_t<From>>(x[i])); }
};

} // namespace functors

namespace detail {

template <class T, Backend B>
void require_same_shape(std::string_view operation, const Tensor<T, B>& x, const Tensor<T, B>& y) {
    require(x.shape() == y.shape(), operation, ": shapes ", x.shape(), " and ", y.shape(), " differ");
}

} // namespace detail

/// alpha * x + beta * y, element by element.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> axpby(compute_t<T> alpha, const Tensor<T, B>& x, compute_t<T> beta, const Tensor<T, B>& y) {
    detail::require_same_shape("axpby", x, y);
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Axpby<T>{alpha, x.data(), beta, y.data(), z.data()});
    return z;
}

/// x + y, element by element. Throws Error where the shapes differ.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> add(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    detail::require_same_shape("add", x, y);
    return axpby(1, x, 1, y);
}

/// x - y, element by element. Throws Error where the shapes differ.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> subtract(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    detail::require_same_shape("subtract", x, y);
    return axpby(1, x, -1, y);
}

/// x * y, element by element. Throws Error where the shapes differ.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> multiply(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    detail::require_same_shape("multiply", x, y);
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Multiply<T>{x.data(), y.data(), z.data()});
    return z;
}

/// alpha * x, element by element.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> scale(const Tensor<T, B>& x, compute_t<T> alpha) {
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Scale<T>{alpha, x.data(), z.data()});
    return z;
}

/// x limited to [low, high], element by element.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> clamp(const Tensor<T, B>& x, compute_t<T> low, compute_t<T> high) {
    Tensor<T, B> z(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Clamp<T>{low, high, x.data(), z.data()});
    return z;
}

/// y += alpha * x, in place.
template <Scalar T, Backend B>
void accumulate_(const Tensor<T, B>& y, const Tensor<T, B>& x, compute_t<T> alpha = 1) {
    detail::require_same_shape("accumulate_", x, y);
    x.backend().for_each_index(x.size(), functors::Accumulate<T>{alpha, x.data(), y.data()});
}

/// add_vectors() into a tensor of x's shape that exists, which may be x.
template <Scalar T, Backend B>
void add_vectors_into(const Tensor<T, B>& z, const Tensor<T, B>& x, const Tensor<T, B>& vectors) {
    detail::require_same_shape("add_vectors", x, z);
    require(vectors.rank() == 2 && x.shape(-1) == vectors.shape(1), "add_vectors: vectors ", vectors.shape(), " to ",
            x.shape());
    const index_t channels = vectors.shape(1);
    const index_t rows = x.size() / std::max<index_t>(channels, 1);
    require(vectors.shape(0) > 0 && rows % vectors.shape(0) == 0, "add_vectors: ", rows, " rows for ", vectors.shape(0),
            " vectors; expected a multiple");
    x.backend().for_each_index(
        rows, functors::AddVectors<T>{x.data(), vectors.data(), z.data(), rows / vectors.shape(0), channels}, 16);
}

/// Adds vectors [sets, channels] to x [rows..., channels], each to an equal share of the rows in order: a time
/// embedding per clip to all its frames and pixels.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> add_vectors(const Tensor<T, B>& x, const Tensor<T, B>& vectors) {
    Tensor<T, B> z(x.backend(), x.shape());
    add_vectors_into(z, x, vectors);
    return z;
}

/// The same numbers in another element type.
template <Scalar To, Scalar From, Backend B>
[[nodiscard]] Tensor<To, B> cast(const Tensor<From, B>& x) {
    Tensor<To, B> y(x.backend(), x.shape());
    x.backend().for_each_index(x.size(), functors::Cast<To, From>{x.data(), y.data()});
    return y;
}

namespace detail {

/// What was summed in compute_t<T>, as T; the tensor itself where that is the same. Undefined stays undefined.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> stored_as(Tensor<compute_t<T>, B> sums) {
    if constexpr (std::same_as<T, compute_t<T>>) {
        return sums;
    } else {
        return sums.defined() ? cast<T>(sums) : Tensor<T, B>{};
    }
}

} // namespace detail

} // namespace reel
