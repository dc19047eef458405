#pragma once

#include <array>

#include <reel/tensor.hpp>

namespace reel {

namespace functors {

/// Element of a permuted tensor, found by unravelling its index.
template <class T>
struct Permute {
    const T* x;
    T* y;
    int rank;
    std::array<index_t, Shape::max_rank> extents; ///< of y
    std::array<index_t, Shape::max_rank> strides; ///< in x, of y's axes

    constexpr void operator()(index_t index) const {
        index_t rest = index;
        index_t from = 0;
        for (int axis = rank - 1; axis >= 0; --axis) {
            from += rest % extents[static_cast<std::size_t>(axis)] * strides[static_cast<std::size_t>(axis)];
            rest /= extents[static_cast<std::size_t>(axis)];
        }
        y[index] = x[from];
    }
};

/// Copies a run of columns between matrices of different widths; one call per row.
template <class T>
struct CopyColumns {
    const T* x;
    index_t x_stride;
    T* y;
    index_t y_stride;
    index_t columns;
    constexpr void operator()(index_t row) const {
        for (index_t c = 0; c < columns; ++c) {
            y[row * y_stride + c] = x[row * x_stride + c];
        }
    }
};

/// Adds a matrix to a run of another's columns; one call per row.
template <class T>
struct AddToColumns {
    using C = compute_t<T>;
    const T* x;
    index_t x_stride;
    T* y;
    index_t y_stride;
    constexpr void operator()(index_t row) const {
        for (index_t c = 0; c < x_stride; ++c) {
            T& sum = y[row * y_stride + c];
            sum = static_cast<T>(static_cast<C>(sum) + static_cast<C>(x[row * x_stride + c]));
        }
    }
};

template <class T>
struct GatherRows {
    const T* table;
    const std::int32_t* rows;
    T* y;
    index_t width;
    constexpr void operator()(index_t i) const {
        y[i] = table[static_cast<index_t>(rows[i / width]) * width + i % width];
    }
};

/// One column of the table's gradient, over all looked-up rows: rows may repeat.
template <class T>
struct ScatterAddColumn {
    const T* y_gradient;
    const std::int32_t* rows;
    T* table_gradient;
    index_t count;
    index_t width;
    constexpr void operator()(index_t column) const {
        for (index_t i = 0; i < count; ++i) {
            using C = compute_t<T>;
            T& sum = table_gradient[static_cast<index_t>(rows[i]) * width + column];
            sum = static_cast<T>(static_cast<C>(sum) + static_cast<C>(y_gradient[i * width + column]));
        }
    }
};

} // namespace functors

/// The same elements under another shape; one extent may be -1.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> reshape(const Tensor<T, B>& x, std::initializer_list<index_t> extents) {
    return x.reshape(extents);
}

/// A copy whose axis i is x's axis order[i]. torch.permute(...).contiguous().
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> permute(const Tensor<T, B>& x, std::span<const int> order) {
    require(static_cast<int>(order.size()) == x.rank(), "permute: ", order.size(), " axes for ", x.shape());
    std::array<index_t, Shape::max_rank> x_strides{};
    index_t stride = 1;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
        x_strides[static_cast<std::size_t>(axis)] = stride;
        stride *= x.shape(axis);
    }
    Shape shape;
    functors::Permute<T> functor{x.data(), nullptr, x.rank(), {}, {}};
    unsigned seen = 0;
    for (const int axis : order) {
        require(axis >= 0 && axis < x.rank() && (seen >> axis & 1U) == 0, "permute: axis ", axis,
                " is repeated or out of range for ", x.shape());
        seen |= 1U << axis;
        functor.extents[static_cast<std::size_t>(shape.rank())] = x.shape(axis);
        functor.strides[static_cast<std::size_t>(shape.rank())] = x_strides[static_cast<std::size_t>(axis)];
        shape.append(x.shape(axis));
    }
    Tensor<T, B> y(x.backend(), shape);
    functor.y = y.data();
    x.backend().for_each_index(y.size(), functor);
    return y;
}

/// The same with the order written in place: permute(x, {0, 2, 1}).
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> permute(const Tensor<T, B>& x, std::initializer_list<int> order) {
    return permute(x, std::span<const int>(order.begin(), order.size()));
}

/// Columns [begin, end) of the last axis: a copy.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> slice_channels(const Tensor<T, B>& x, index_t begin, index_t end) {
    require(x.rank() > 0 && begin >= 0 && begin <= end && end <= x.shape(-1), "slice_channels: ", begin, " to ", end,
            " of ", x.shape());
    Tensor<T, B> y(x.backend(), x.shape().with(-1, end - begin));
    const index_t rows = x.size() / std::max<index_t>(x.shape(-1), 1);
    x.backend().for_each_index(
        rows, functors::CopyColumns<T>{x.data() + begin, x.shape(-1), y.data(), end - begin, end - begin}, 16);
    return y;
}

/// Adds x [..., n] in place to columns [begin, begin + n) of y.
template <Scalar T, Backend B>
void accumulate_channels_(const Tensor<T, B>& y, const Tensor<T, B>& x, index_t begin) {
    require(y.rank() > 0 && begin >= 0 && begin + x.shape(-1) <= y.shape(-1) &&
                x.shape() == y.shape().with(-1, x.shape(-1)),
            "accumulate_channels_: ", x.shape(), " to columns from ", begin, " of ", y.shape());
    const index_t rows = x.size() / std::max<index_t>(x.shape(-1), 1);
    x.backend().for_each_index(rows, functors::AddToColumns<T>{x.data(), x.shape(-1), y.data() + begin, y.shape(-1)},
                               1);
}

/// The inverse of slice_channels: x as columns [begin, end) of a tensor with `channels` columns, zero elsewhere.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> place_channels(const Tensor<T, B>& x, index_t channels, index_t begin, index_t end) {
    require(begin >= 0 && end <= channels && x.shape(-1) == end - begin, "place_channels: ", x.shape(), " as columns ",
            begin, " to ", end, " of ", channels);
    const auto y = Tensor<T, B>::zeros(x.backend(), x.shape().with(-1, channels));
    const index_t rows = x.size() / std::max<index_t>(end - begin, 1);
    x.backend().for_each_index(
        rows, functors::CopyColumns<T>{x.data(), end - begin, y.data() + begin, channels, end - begin}, 16);
    return y;
}

/// Joins x [..., a] and y [..., b] along the last axis: [..., a + b].
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> concat_channels(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    const index_t a = x.shape(-1);
    const index_t b = y.shape(-1);
    require(x.rank() == y.rank() && x.shape().with(-1, b) == y.shape(), "concat_channels: ", x.shape(), " and ",
            y.shape(), " differ before the last axis");
    Tensor<T, B> z(x.backend(), x.shape().with(-1, a + b));
    const index_t rows = z.size() / std::max<index_t>(a + b, 1);
    x.backend().for_each_index(rows, functors::CopyColumns<T>{x.data(), a, z.data(), a + b, a}, 16);
    x.backend().for_each_index(rows, functors::CopyColumns<T>{y.data(), b, z.data() + a, a + b, b}, 16);
    return z;
}

/// Rows [begin, end) of the leading axis: a view.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> slice(const Tensor<T, B>& x, index_t begin, index_t end) {
    return x.slice(begin, end);
}

/// Joins tensors along the leading axis.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> concat_rows(std::span<const Tensor<T, B>> parts) {
    require(!parts.empty(), "concat_rows: nothing to join");
    index_t rows = 0;
    for (const auto& part : parts) {
        require(part.rank() > 0 && part.shape().with(0, 0) == parts[0].shape().with(0, 0),
                "concat_rows: ", part.shape(), " and ", parts[0].shape(), " differ after the first axis");
        rows += part.shape(0);
    }
    Tensor<T, B> result(parts[0].backend(), parts[0].shape().with(0, rows));
    index_t row = 0;
    for (const auto& part : parts) {
        result.slice(row, row + part.shape(0)).copy_from(part);
        row += part.shape(0);
    }
    return result;
}

/// The same with the parts written in place.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> concat_rows(std::initializer_list<Tensor<T, B>> parts) {
    return concat_rows(std::span<const Tensor<T, B>>(parts.begin(), parts.size()));
}

namespace detail {

inline void require_rows(const Shape& table, std::span<const std::int32_t> rows) {
    for (const std::int32_t row : rows) {
        require(row >= 0 && row < table[0], "embedding: index ", row, " in a table of ", table[0], " rows");
    }
}

} // namespace detail

/// Rows of table [count, width] by index: [rows.size(), width]. Throws Error for an index out of range.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> embedding(const Tensor<T, B>& table, std::span<const std::int32_t> rows) {
    require(table.rank() == 2, "embedding: expected a table [count, width], got ", table.shape());
    detail::require_rows(table.shape(), rows);
    const auto count = static_cast<index_t>(rows.size());
    const auto indices = Tensor<std::int32_t, B>::from_host(table.backend(), {count}, rows);
    Tensor<T, B> y(table.backend(), {count, table.shape(1)});
    table.backend().for_each_index(y.size(),
                                   functors::GatherRows<T>{table.data(), indices.data(), y.data(), table.shape(1)});
    return y;
}

/// The named rows of the leading axis, in that order; a row may be named more than once. torch.index_select(x, 0,
/// rows). Throws Error for an index out of range.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> index_select(const Tensor<T, B>& x, std::span<const std::int32_t> rows) {
    require(x.rank() > 0, "index_select: no rows in ", x.shape());
    const index_t count = x.shape(0);
    const Tensor<T, B> table = x.reshape({count, count == 0 ? 0 : x.size() / count});
    return embedding(table, rows).reshape(x.shape().with(0, static_cast<index_t>(rows.size())));
}

/// Gradient of embedding's table.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> embedding_gradient(const Shape& table, std::span<const std::int32_t> rows,
                                              const Tensor<T, B>& y_gradient) {
    const auto count = static_cast<index_t>(rows.size());
    require(table.rank() == 2 && y_gradient.shape() == Shape{count, table[1]}, "embedding_gradient: gradient ",
            y_gradient.shape(), " of ", count, " rows of a table ", table);
    detail::require_rows(table, rows);
    const auto indices = Tensor<std::int32_t, B>::from_host(y_gradient.backend(), {count}, rows);
    const auto result = Tensor<T, B>::zeros(y_gradient.backend(), table);
    y_gradient.backend().for_each_index(
        table[1], functors::ScatterAddColumn<T>{y_gradient.data(), indices.data(), result.data(), count, table[1]}, 8);
    return result;
}

} // namespace reel
