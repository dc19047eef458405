#pragma once

#include <reel/autograd/variable.hpp>
#include <reel/ops/activation.hpp>
#include <reel/ops/elementwise.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/ops/reduce.hpp>
#include <reel/ops/resample.hpp>

/// The operations on tensors that need no parameters, again for variables: same names, same shapes, with gradients.
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

/// The same values in another shape, as Tensor::reshape, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> reshape(const Variable<T, B>& x, std::initializer_list<index_t> extents) {
    return record(x.value().reshape(extents), {x},
                  [shape = x.shape()](Node<T, B>& node) { node.send(0, node.gradient.reshape(shape)); });
}

/// Axes in another order, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> permute(const Variable<T, B>& x, std::initializer_list<int> order) {
    return record(permute(x.value(), order), {x},
                  [shape = x.shape(), order = std::vector<int>(order)](Node<T, B>& node) {
                      // The inverse order sends each axis back to where it came from.
                      std::array<int, Shape::max_rank> inverse{};
                      for (std::size_t i = 0; i < order.size(); ++i) {
                          inverse[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
                      }
                      node.send(0, permute(node.gradient, std::span<const int>(inverse.data(), order.size())));
                  });
}

/// Channels [begin, end) with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> slice_channels(const Variable<T, B>& x, index_t begin, index_t end) {
    return record(slice_channels(x.value(), begin, end), {x}, [shape = x.shape(), begin, end](Node<T, B>& node) {
        node.send(0, place_channels(node.gradient, shape[-1], begin, end));
    });
}

/// The channels of x followed by those of y, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> concat_channels(const Variable<T, B>& x, const Variable<T, B>& y) {
    return record(concat_channels(x.value(), y.value()), {x, y}, [a = x.shape(-1), b = y.shape(-1)](Node<T, B>& node) {
        if (node.needs(0)) {
            node.send(0, slice_channels(node.gradient, 0, a));
        }
        if (node.needs(1)) {
            node.send(1, slice_channels(node.gradient, a, a + b));
        }
    });
}

/// [n, h, w, c] to [n, out_height, out_width, c], the nearest pixel each, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> upsample_nearest(const Variable<T, B>& x, index_t out_height, index_t out_width) {
    return record(upsample_nearest(x.value(), out_height, out_width), {x}, [shape = x.shape()](Node<T, B>& node) {
        node.send(0, upsample_nearest_gradient(node.gradient, shape));
    });
}

/// The named rows of a table, with gradients of the table.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> embedding(const Variable<T, B>& table, std::span<const std::int32_t> rows) {
    return record(
        embedding(table.value(), rows), {table},
        [shape = table.shape(), rows = std::vector<std::int32_t>(rows.begin(), rows.end())](Node<T, B>& node) {
            node.send(0, embedding_gradient(shape, std::span<const std::int32_t>(rows), node.gradient));
        });
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
