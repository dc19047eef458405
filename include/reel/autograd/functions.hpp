#pragma once

#include <reel/autograd/arithmetic.hpp>
#include <reel/autograd/rearrange.hpp>
#include <reel/autograd/reduce.hpp>
#include <reel/ops/pointwise.hpp>

/// The operations on tensors that need no parameters, again for variables: same names, same shapes, with gradients.
namespace reel {

/// x plus a vector for each of its batches, as `add_vectors` of tensors, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> add_vectors(const Variable<T, B>& x, const Variable<T, B>& vectors) {
    return record(add_vectors(x.value(), vectors.value()), {x, vectors}, [shape = vectors.shape()](Node<T, B>& node) {
        if (node.needs(0)) {
            node.send(0, node.gradient);
        }
        if (node.needs(1)) {
            node.send(1, sum_middle(node.gradient, shape[0], shape[1]));
        }
    });
}

/// f(x), element by element, with gradients; f is one of the activations of ops/activation.hpp.
template <Activation F, Scalar T, Backend B>
[[nodiscard]] Variable<T, B> activate(F f, const Variable<T, B>& x) {
    return record(activate(f, x.value()), {x},
                  [f, kept = x.value()](Node<T, B>& node) { node.send(0, activate_gradient(f, kept, node.gradient)); });
}

/// The first half of the channels times GELU of the second, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> geglu(const Variable<T, B>& x) {
    return record(geglu(x.value()), {x}, [kept = x.value()](Node<T, B>& node) mutable {
        node.send(0, geglu_gradient(std::move(kept), node.gradient));
    });
}

/// e^x, element by element, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> exp(const Variable<T, B>& x) {
    return activate(functors::Exp{}, x);
}

/// The natural logarithm, element by element, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> log(const Variable<T, B>& x) {
    return activate(functors::Log{}, x);
}

/// The square root, element by element, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> sqrt(const Variable<T, B>& x) {
    return activate(functors::Sqrt{}, x);
}

/// |x|, element by element, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> abs(const Variable<T, B>& x) {
    return activate(functors::Abs{}, x);
}

/// x * x, element by element, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> square(const Variable<T, B>& x) {
    return activate(functors::Square{}, x);
}

/// Mean of the squared differences from a constant target, as a scalar of shape [].
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> mse_loss(const Variable<T, B>& x, const Tensor<T, B>& target) {
    const Tensor<T, B> difference = subtract(x.value(), target);
    const double count = static_cast<double>(x.size());
    auto loss = Tensor<T, B>::full(x.backend(), {}, static_cast<T>(squared_norm(difference) / count));
    return record(std::move(loss), {x}, [difference, count](Node<T, B>& node) {
        const double seed = static_cast<double>(node.gradient.to_host()[0]);
        node.send(0, scale(difference, static_cast<compute_t<T>>(2.0 * seed / count)));
    });
}

/// Runs back from a scalar with gradient `seed`: 1, or 1/k when k steps are added up.
template <Scalar T, Backend B>
void backward(const Variable<T, B>& loss, double seed = 1.0) {
    require(loss.size() == 1, "backward: expected a scalar, got ", loss.shape(), "; give the output's gradient too");
    backward(loss, Tensor<T, B>::full(loss.backend(), loss.shape(), static_cast<T>(seed)));
}

} // namespace reel
