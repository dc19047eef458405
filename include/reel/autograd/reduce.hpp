#pragma once

#include <reel/autograd/variable.hpp>
#include <reel/ops/reduce.hpp>
#include <reel/ops/softmax.hpp>

/// Sums, means and softmax of variables: same names and shapes as of tensors, with gradients.
namespace reel {

/// Sum of all elements as a variable of shape [], with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> sum(const Variable<T, B>& x) {
    return record(sum(x.value()), {x}, [shape = x.shape()](Node<T, B>& node) {
        node.send(0, detail::expand(node.gradient, shape, shape.size(), 1, 1));
    });
}

/// Sums along one axis, which goes, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> sum(const Variable<T, B>& x, int axis) {
    return record(sum(x.value(), axis), {x}, [shape = x.shape(), axis](Node<T, B>& node) {
        const detail::AxisView view(shape, axis);
        node.send(0, detail::expand(node.gradient, shape, view.middle, view.inner, 1));
    });
}

/// Mean of all elements as a variable of shape [], with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> mean(const Variable<T, B>& x) {
    return record(mean(x.value()), {x}, [shape = x.shape()](Node<T, B>& node) {
        node.send(0, detail::expand(node.gradient, shape, shape.size(), 1, 1.0 / static_cast<double>(shape.size())));
    });
}

/// Means along one axis, which goes, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> mean(const Variable<T, B>& x, int axis) {
    return record(mean(x.value(), axis), {x}, [shape = x.shape(), axis](Node<T, B>& node) {
        const detail::AxisView view(shape, axis);
        node.send(
            0, detail::expand(node.gradient, shape, view.middle, view.inner, 1.0 / static_cast<double>(view.middle)));
    });
}

/// softmax() along the last axis, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> softmax(const Variable<T, B>& x) {
    const Tensor<T, B> y = softmax(x.value());
    return record(y, {x}, [y](Node<T, B>& node) { node.send(0, softmax_gradient(y, node.gradient)); });
}

} // namespace reel
