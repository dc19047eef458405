#pragma once

#include <reel/autograd/variable.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/ops/resample.hpp>

/// Operations that move elements, for variables: same names and shapes as of tensors, with gradients.
namespace reel {

/// The same values in another shape, as Tensor::reshape, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> reshape(const Variable<T, B>& x, std::initializer_list<index_t> extents) {
    return x.reshape(extents);
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

/// Rows [begin, end) of the leading axis, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> slice(const Variable<T, B>& x, index_t begin, index_t end) {
    return x.slice(begin, end);
}

/// Variables joined along the leading axis, with gradients.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> concat_rows(std::span<const Variable<T, B>> parts) {
    std::vector<Tensor<T, B>> values;
    for (const auto& part : parts) {
        values.push_back(part.value());
    }
    std::vector<index_t> ends;
    for (const auto& value : values) {
        ends.push_back((ends.empty() ? 0 : ends.back()) + (value.rank() > 0 ? value.shape(0) : 0));
    }
    return record(concat_rows(std::span<const Tensor<T, B>>(values)), parts, [ends](Node<T, B>& node) {
        for (std::size_t i = 0; i < ends.size(); ++i) {
            if (node.needs(i)) { // a copy: what looks at a part of a gradient must not stay with a leaf
                node.send(i, node.gradient.slice(i == 0 ? 0 : ends[i - 1], ends[i]).clone());
            }
        }
    });
}
/// The same with the parts written in place.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> concat_rows(std::initializer_list<Variable<T, B>> parts) {
    return concat_rows(std::span<const Variable<T, B>>(parts.begin(), parts.size()));
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

/// The named rows of the leading axis, with gradients: torch.index_select(x, 0, rows).
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> index_select(const Variable<T, B>& x, std::span<const std::int32_t> rows) {
    return record(index_select(x.value(), rows), {x},
                  [shape = x.shape(), rows = std::vector<std::int32_t>(rows.begin(), rows.end())](Node<T, B>& node) {
                      const index_t width = shape.size() / std::max<index_t>(shape[0], 1);
                      const auto count = static_cast<index_t>(rows.size());
                      node.send(0, embedding_gradient({shape[0], width}, std::span<const std::int32_t>(rows),
                                                      node.gradient.reshape({count, width}))
                                       .reshape(shape));
                  });
}

} // namespace reel
