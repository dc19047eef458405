#pragma once

// Eigen's vectorised error function lives beside its core.
#include <unsupported/Eigen/SpecialFunctions>

#include <reel/backend/cpu/gemm_serial.hpp>
#include <reel/backend/cpu/strip_functions.hpp>
#include <reel/backend/cpu/widen.hpp>

namespace reel {

namespace cpu {

/// Elements handled at once, so that the temporaries stay in the first cache.
inline constexpr index_t strip = 512;

template <class T>
using Strip = Eigen::Array<T, Eigen::Dynamic, 1, Eigen::ColMajor, strip, 1>;

template <class T>
[[nodiscard]] Strip<T> sigmoid(const Strip<T>& x) {
    return T(1) / (T(1) + (-x).exp());
}
template <class T>
[[nodiscard]] Strip<T> normal_distribution(const Strip<T>& x) {
    return T(0.5) * (T(1) + (x * T(0.70710678118654752440)).erf());
}

template <class T>
[[nodiscard]] Strip<T> value(generic::Silu, const Strip<T>& x) {
    return x * sigmoid(x);
}
template <class T>
[[nodiscard]] Strip<T> slope(generic::Silu, const Strip<T>& x) {
    const Strip<T> s = sigmoid(x);
    return s * (T(1) + x * (T(1) - s));
}
template <class T>
[[nodiscard]] Strip<T> value(generic::QuickGelu, const Strip<T>& x) {
    return x / (T(1) + (x * T(-1.702)).exp());
}
template <class T>
[[nodiscard]] Strip<T> slope(generic::QuickGelu, const Strip<T>& x) {
    const Strip<T> s = T(1) / (T(1) + (x * T(-1.702)).exp());
    return s * (T(1) + T(1.702) * x * (T(1) - s));
}
template <class T>
[[nodiscard]] Strip<T> value(generic::Gelu, const Strip<T>& x) {
    return x * normal_distribution(x);
}
template <class T>
[[nodiscard]] Strip<T> slope(generic::Gelu, const Strip<T>& x) {
    return normal_distribution(x) + x * T(0.39894228040143267794) * (T(-0.5) * x.square()).exp();
}
template <class T>
[[nodiscard]] Strip<T> value(generic::Relu, const Strip<T>& x) {
    return x.max(T(0));
}
template <class T>
[[nodiscard]] Strip<T> slope(generic::Relu, const Strip<T>& x) {
    return (x > T(0)).template cast<T>();
}

/// Calls body(begin, count) on strips of [0, count), over the backend's threads.
template <class Body>
void for_each_strip(Cpu& backend, index_t count, const Body& body) {
    backend.for_each_range(
        count,
        [&](index_t begin, index_t end) {
            for (index_t i = begin; i < end; i += strip) {
                body(i, std::min(strip, end - i));
            }
        },
        8 * strip);
}

/// `count` elements as a strip of what they are computed in.
template <class T>
[[nodiscard]] Strip<compute_t<T>> load_strip(const T* x, index_t count) {
    if constexpr (is_narrow<T>) {
        Strip<compute_t<T>> wide(count);
        widen(x, count, wide.data());
        return wide;
    } else {
        return ConstArrayMap<T>(x, count);
    }
}

/// Writes an expression of strips.
template <class T, class Expression>
void store_strip(T* y, index_t count, const Expression& values) {
    if constexpr (is_narrow<T>) {
        const Strip<compute_t<T>> wide = values;
        narrow(wide.data(), count, y);
    } else {
        ArrayMap<T>(y, count) = values;
    }
}

} // namespace cpu

/// y = f(x) on the CPU, in strips that Eigen computes with vector instructions.
template <cpu::StripFunction F, class T>
void map_unary(Cpu& backend, F f, const T* x, T* y, index_t count) {
    cpu::for_each_strip(backend, count, [&](index_t i, index_t n) {
        cpu::store_strip(y + i, n, cpu::value(f, cpu::load_strip(x + i, n)));
    });
}

/// x_gradient = y_gradient * f'(x) on the CPU.
template <cpu::StripFunction F, class T>
void map_unary_backward(Cpu& backend, F f, const T* x, const T* y_gradient, T* x_gradient, index_t count) {
    cpu::for_each_strip(backend, count, [&](index_t i, index_t n) {
        cpu::store_strip(x_gradient + i, n,
                         cpu::load_strip(y_gradient + i, n) * cpu::slope(f, cpu::load_strip(x + i, n)));
    });
}

namespace cpu {

/// Calls body(row, column, count) on strips of every row of [rows, width].
template <class Body>
void for_each_row_strip(Cpu& backend, index_t rows, index_t width, const Body& body) {
    backend.for_each_range(
        rows,
        [&](index_t begin, index_t end) {
            for (index_t row = begin; row < end; ++row) {
                for (index_t column = 0; column < width; column += strip) {
                    body(row, column, std::min(strip, width - column));
                }
            }
        },
        std::max<index_t>(4096 / std::max<index_t>(width, 1), 1));
}

} // namespace cpu

/// GEGLU on the CPU: [rows, 2 * width] to [rows, width].
template <class T>
void geglu(Cpu& backend, const T* x, T* y, index_t rows, index_t width) {
    cpu::for_each_row_strip(backend, rows, width, [&](index_t row, index_t column, index_t n) {
        const T* in = x + row * 2 * width + column;
        cpu::store_strip(y + row * width + column, n,
                         cpu::load_strip(in, n) * cpu::value(generic::Gelu{}, cpu::load_strip(in + width, n)));
    });
}

/// Gradient of GEGLU on the CPU: [rows, width] to [rows, 2 * width].
template <class T>
void geglu_backward(Cpu& backend, const T* x, const T* y_gradient, T* x_gradient, index_t rows, index_t width) {
    cpu::for_each_row_strip(backend, rows, width, [&](index_t row, index_t column, index_t n) {
        const index_t at = row * 2 * width + column;
        const auto gradient = cpu::load_strip(y_gradient + row * width + column, n);
        const auto value = cpu::load_strip(x + at, n);
        const auto gate = cpu::load_strip(x + at + width, n);
        cpu::store_strip(x_gradient + at, n, gradient * cpu::value(generic::Gelu{}, gate));
        cpu::store_strip(x_gradient + at + width, n, gradient * value * cpu::slope(generic::Gelu{}, gate));
    });
}

} // namespace reel
