#pragma once

#include <array>

#include <reel/autograd/variable.hpp>
#include <reel/ops/arithmetic.hpp>
#include <reel/ops/reduce.hpp>

/// Arithmetic on variables, by name and as it is written: between variables, with tensors (constants) and with numbers.
namespace reel {

/// alpha * x + beta * y with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> axpby(compute_t<T> alpha, const Variable<T, B>& x, compute_t<T> beta,
                                   const Variable<T, B>& y) {
    return record(axpby(alpha, x.value(), beta, y.value()), {x, y}, [alpha, beta](Node<T, B>& node) {
        const auto factors = std::array{alpha, beta};
        for (std::size_t i = 0; i < 2; ++i) {
            if (node.needs(i)) {
                node.send(i, factors[i] == compute_t<T>(1) ? node.gradient : scale(node.gradient, factors[i]));
            }
        }
    });
}

/// x + y with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> add(const Variable<T, B>& x, const Variable<T, B>& y) {
    return axpby(1, x, 1, y);
}

/// x - y with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> subtract(const Variable<T, B>& x, const Variable<T, B>& y) {
    return axpby(1, x, -1, y);
}

/// alpha * x with gradients; alpha is a constant.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> scale(const Variable<T, B>& x, compute_t<T> alpha) {
    return record(scale(x.value(), alpha), {x},
                  [alpha](Node<T, B>& node) { node.send(0, scale(node.gradient, alpha)); });
}

/// alpha * x + beta with gradients; alpha and beta are constants.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> affine(const Variable<T, B>& x, compute_t<T> alpha, compute_t<T> beta) {
    return record(affine(x.value(), alpha, beta), {x}, [alpha](Node<T, B>& node) {
        node.send(0, alpha == compute_t<T>(1) ? node.gradient : scale(node.gradient, alpha));
    });
}

/// x * y, element by element, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> multiply(const Variable<T, B>& x, const Variable<T, B>& y) {
    const auto for_x = x.requires_grad() ? y.value() : Tensor<T, B>{};
    const auto for_y = y.requires_grad() ? x.value() : Tensor<T, B>{};
    return record(multiply(x.value(), y.value()), {x, y}, [for_x, for_y](Node<T, B>& node) {
        if (node.needs(0)) {
            node.send(0, multiply(node.gradient, for_x));
        }
        if (node.needs(1)) {
            node.send(1, multiply(node.gradient, for_y));
        }
    });
}

/// x / y, element by element, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> divide(const Variable<T, B>& x, const Variable<T, B>& y) {
    const Tensor<T, B> quotient = divide(x.value(), y.value());
    const auto for_y = y.requires_grad() ? quotient : Tensor<T, B>{};
    return record(quotient, {x, y}, [y = y.value(), for_y](Node<T, B>& node) {
        const Tensor<T, B> share = divide(node.gradient, y);
        if (node.needs(0)) {
            node.send(0, share);
        }
        if (node.needs(1)) {
            node.send(1, scale(multiply(share, for_y), compute_t<T>(-1)));
        }
    });
}
/// x / y of a number y, with gradients of x.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> divide(const Variable<T, B>& x, compute_t<T> y) {
    return record(divide(x.value(), y), {x}, [y](Node<T, B>& node) { node.send(0, divide(node.gradient, y)); });
}
/// x / y of a number x, with gradients of y.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> divide(compute_t<T> x, const Variable<T, B>& y) {
    const Tensor<T, B> quotient = divide(x, y.value());
    return record(quotient, {y}, [y = y.value(), quotient](Node<T, B>& node) {
        node.send(0, scale(multiply(divide(node.gradient, y), quotient), compute_t<T>(-1)));
    });
}

/// x [..., channels] times a mask [..., 1], with gradients of both.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> masked(const Variable<T, B>& x, const Variable<T, B>& mask) {
    const auto for_x = x.requires_grad() ? mask.value() : Tensor<T, B>{};
    const auto for_mask = mask.requires_grad() ? x.value() : Tensor<T, B>{};
    return record(masked(x.value(), mask.value()), {x, mask}, [for_x, for_mask](Node<T, B>& node) {
        if (node.needs(0)) {
            node.send(0, masked(node.gradient, for_x));
        }
        if (node.needs(1)) {
            const Tensor<T, B> of_pixels = sum(multiply(node.gradient, for_mask), -1);
            node.send(1, of_pixels.reshape(for_mask.shape().with(-1, 1)));
        }
    });
}
/// The same with a constant mask.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> masked(const Variable<T, B>& x, const Tensor<T, B>& mask) {
    return masked(x, Variable<T, B>(mask));
}

template <Scalar T, Backend B> /// x + y, element by element.
[[nodiscard]] Variable<T, B> operator+(const Variable<T, B>& x, const Variable<T, B>& y) {
    return add(x, y);
}
template <Scalar T, Backend B> /// x + y, element by element.
[[nodiscard]] Variable<T, B> operator+(const Variable<T, B>& x, const Tensor<T, B>& y) {
    return add(x, Variable<T, B>(y));
}
template <Scalar T, Backend B> /// x + y, element by element.
[[nodiscard]] Variable<T, B> operator+(const Tensor<T, B>& x, const Variable<T, B>& y) {
    return add(Variable<T, B>(x), y);
}
template <Scalar T, Backend B, Number N> /// x + number, element by element.
[[nodiscard]] Variable<T, B> operator+(const Variable<T, B>& x, N number) {
    return affine(x, 1, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number + x, element by element.
[[nodiscard]] Variable<T, B> operator+(N number, const Variable<T, B>& x) {
    return x + number;
}

template <Scalar T, Backend B> /// x - y, element by element.
[[nodiscard]] Variable<T, B> operator-(const Variable<T, B>& x, const Variable<T, B>& y) {
    return subtract(x, y);
}
template <Scalar T, Backend B> /// x - y, element by element.
[[nodiscard]] Variable<T, B> operator-(const Variable<T, B>& x, const Tensor<T, B>& y) {
    return subtract(x, Variable<T, B>(y));
}
template <Scalar T, Backend B> /// x - y, element by element.
[[nodiscard]] Variable<T, B> operator-(const Tensor<T, B>& x, const Variable<T, B>& y) {
    return subtract(Variable<T, B>(x), y);
}
template <Scalar T, Backend B, Number N> /// x - number, element by element.
[[nodiscard]] Variable<T, B> operator-(const Variable<T, B>& x, N number) {
    return affine(x, 1, -static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number - x, element by element.
[[nodiscard]] Variable<T, B> operator-(N number, const Variable<T, B>& x) {
    return affine(x, -1, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B> /// -x, element by element.
[[nodiscard]] Variable<T, B> operator-(const Variable<T, B>& x) {
    return scale(x, -1);
}

template <Scalar T, Backend B> /// x * y, element by element.
[[nodiscard]] Variable<T, B> operator*(const Variable<T, B>& x, const Variable<T, B>& y) {
    return multiply(x, y);
}
template <Scalar T, Backend B> /// x * y, element by element.
[[nodiscard]] Variable<T, B> operator*(const Variable<T, B>& x, const Tensor<T, B>& y) {
    return multiply(x, Variable<T, B>(y));
}
template <Scalar T, Backend B> /// x * y, element by element.
[[nodiscard]] Variable<T, B> operator*(const Tensor<T, B>& x, const Variable<T, B>& y) {
    return multiply(Variable<T, B>(x), y);
}
template <Scalar T, Backend B, Number N> /// x * number, element by element.
[[nodiscard]] Variable<T, B> operator*(const Variable<T, B>& x, N number) {
    return scale(x, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number * x, element by element.
[[nodiscard]] Variable<T, B> operator*(N number, const Variable<T, B>& x) {
    return x * number;
}

template <Scalar T, Backend B> /// x / y, element by element.
[[nodiscard]] Variable<T, B> operator/(const Variable<T, B>& x, const Variable<T, B>& y) {
    return divide(x, y);
}
template <Scalar T, Backend B> /// x / y, element by element.
[[nodiscard]] Variable<T, B> operator/(const Variable<T, B>& x, const Tensor<T, B>& y) {
    return divide(x, Variable<T, B>(y));
}
template <Scalar T, Backend B> /// x / y, element by element.
[[nodiscard]] Variable<T, B> operator/(const Tensor<T, B>& x, const Variable<T, B>& y) {
    return divide(Variable<T, B>(x), y);
}
template <Scalar T, Backend B, Number N> /// x / number, element by element.
[[nodiscard]] Variable<T, B> operator/(const Variable<T, B>& x, N number) {
    return divide(x, static_cast<compute_t<T>>(number));
}
template <Scalar T, Backend B, Number N> /// number / x, element by element.
[[nodiscard]] Variable<T, B> operator/(N number, const Variable<T, B>& x) {
    return divide(static_cast<compute_t<T>>(number), x);
}

} // namespace reel
