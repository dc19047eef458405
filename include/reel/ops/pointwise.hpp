#pragma once

#include <cmath>

#include <reel/ops/activation.hpp>

/// Functions of single numbers by their usual names.
namespace reel {

namespace functors {

struct Exp {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        using std::exp;
        return exp(x);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        return (*this)(x);
    }
};

struct Log {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        using std::log;
        return log(x);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        return T(1) / x;
    }
};

struct Sqrt {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        using std::sqrt;
        return sqrt(x);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        return T(0.5) / (*this)(x);
    }
};

struct Abs {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        return x < T(0) ? -x : x;
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        return x < T(0) ? T(-1) : (x > T(0) ? T(1) : T(0));
    }
};

struct Square {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        return x * x;
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        return T(2) * x;
    }
};

} // namespace functors

/// e^x, element by element.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> exp(const Tensor<T, B>& x) {
    return activate(functors::Exp{}, x);
}

/// The natural logarithm, element by element; minus infinity of 0, NaN of less.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> log(const Tensor<T, B>& x) {
    return activate(functors::Log{}, x);
}

/// The square root, element by element; NaN of less than 0. Its slope at 0 is infinite.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> sqrt(const Tensor<T, B>& x) {
    return activate(functors::Sqrt{}, x);
}

/// |x|, element by element; its slope at 0 is taken as 0.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> abs(const Tensor<T, B>& x) {
    return activate(functors::Abs{}, x);
}

/// x * x, element by element.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> square(const Tensor<T, B>& x) {
    return activate(functors::Square{}, x);
}

} // namespace reel
