#pragma once

#include <reel/backend/cpu/kernels.hpp>
#include <reel/ops/elementwise.hpp>

namespace reel {

namespace functors {

/// Sums one run of elements, or of their squares, in double, so that long sums keep their digits.
template <class T, bool squared>
struct SumRun {
    const T* x;
    double* partial;
    index_t count;
    index_t run;
    constexpr void operator()(index_t i) const {
        const index_t end = (i + 1) * run < count ? (i + 1) * run : count;
        double sum = 0;
        for (index_t j = i * run; j < end; ++j) {
            const double value = static_cast<double>(x[j]);
            sum += squared ? value * value : value;
        }
        partial[i] = sum;
    }
};

template <class T>
struct ColumnSum {
    const T* x;
    T* y;
    index_t rows;
    index_t columns;
    constexpr void operator()(index_t column) const {
        double sum = 0;
        for (index_t row = 0; row < rows; ++row) {
            sum += static_cast<double>(x[row * columns + column]);
        }
        y[column] = static_cast<T>(sum);
    }
};

/// One sum per [row, inner] of x [rows, middle, inner], divided by `divisor`.
template <class T>
struct MiddleSum {
    const T* x;
    T* y;
    index_t middle;
    index_t inner;
    double divisor;
    constexpr void operator()(index_t i) const {
        const T* from = x + i / inner * middle * inner + i % inner;
        double sum = 0;
        for (index_t j = 0; j < middle; ++j) {
            sum += static_cast<double>(from[j * inner]);
        }
        y[i] = static_cast<T>(sum / divisor);
    }
};

/// The inverse shape of MiddleSum: y [rows, middle, inner] = factor * x [rows, inner] all along the middle.
template <class T>
struct ExpandMiddle {
    const T* x;
    T* y;
    compute_t<T> factor;
    index_t middle;
    index_t inner;
    constexpr void operator()(index_t i) const {
        y[i] = static_cast<T>(factor * static_cast<compute_t<T>>(x[i / (middle * inner) * inner + i % inner]));
    }
};

} // namespace functors

namespace detail {

/// By the backend's own total(), or adds up per-run sums on the host, in order: the result does not depend on the
/// number of threads.
template <bool squared, class T, Backend B>
[[nodiscard]] double sum_runs(const Tensor<T, B>& x) {
    if constexpr (requires { total(x.backend(), x.data(), x.size(), std::bool_constant<squared>{}); }) {
        return total(x.backend(), static_cast<const T*>(x.data()), x.size(), std::bool_constant<squared>{});
    } else {
        constexpr index_t run = 4096;
        const index_t runs = (x.size() + run - 1) / run;
        if (runs == 0) {
            return 0;
        }
        Tensor<double, B> partial(x.backend(), {runs});
        x.backend().for_each_index(runs, functors::SumRun<T, squared>{x.data(), partial.data(), x.size(), run}, 8);
        double sum = 0;
        for (const double value : partial.to_host()) {
            sum += value;
        }
        return sum;
    }
}

} // namespace detail

/// Sum of all elements, accumulated in double.
template <Scalar T, Backend B>
[[nodiscard]] double sum_all(const Tensor<T, B>& x) {
    return detail::sum_runs<false>(x);
}

/// Sum of the squares of all elements, accumulated in double.
template <Scalar T, Backend B>
[[nodiscard]] double squared_norm(const Tensor<T, B>& x) {
    return detail::sum_runs<true>(x);
}

/// Mean of the squared differences, accumulated in double. torch.nn.functional.mse_loss.
template <Scalar T, Backend B>
[[nodiscard]] double mse(const Tensor<T, B>& x, const Tensor<T, B>& target) {
    require(x.size() > 0, "mse: no elements in ", x.shape());
    return squared_norm(subtract(x, target)) / static_cast<double>(x.size());
}

/// Sums over every axis but the last: [..., channels] to [channels].
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> sum_rows(const Tensor<T, B>& x) {
    const index_t columns = x.shape(-1);
    Tensor<T, B> y(x.backend(), {columns});
    const index_t rows = x.size() / std::max<index_t>(columns, 1);
    B& backend = x.backend();
    if constexpr (requires { column_sums(backend, x.data(), y.data(), rows, columns); }) {
        column_sums(backend, x.data(), y.data(), rows, columns);
    } else {
        backend.for_each_index(columns, functors::ColumnSum<T>{x.data(), y.data(), rows, columns}, 8);
    }
    return y;
}

/// Sums the middle axis of x seen as [rows, middle, inner]: the gradient of a broadcast along it. Result [rows, inner],
/// divided by `divisor` before it is rounded.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> sum_middle(const Tensor<T, B>& x, index_t rows, index_t inner, double divisor = 1) {
    require(x.size() % std::max<index_t>(rows * inner, 1) == 0, "sum_middle: ", x.shape(), " is not ", rows,
            " rows of vectors of ", inner);
    Tensor<T, B> y(x.backend(), {rows, inner});
    x.backend().for_each_index(
        rows * inner,
        functors::MiddleSum<T>{x.data(), y.data(), x.size() / std::max<index_t>(rows * inner, 1), inner, divisor}, 8);
    return y;
}

namespace detail {

/// x seen as [rows, middle, inner] around one of its axes.
struct AxisView {
    index_t rows = 1;
    index_t middle = 1;
    index_t inner = 1;
    Shape rest; ///< the shape without the axis

    AxisView(const Shape& shape, int axis) : middle(shape[axis]) {
        const int at = axis < 0 ? axis + shape.rank() : axis;
        for (int i = 0; i < shape.rank(); ++i) {
            if (i != at) {
                (i < at ? rows : inner) *= shape[i];
                rest.append(shape[i]);
            }
        }
    }
};

/// `factor` times x, whose shape is `shape` without one axis (or a scalar, for all of them), repeated along it.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> expand(const Tensor<T, B>& x, const Shape& shape, index_t middle, index_t inner,
                                  double factor) {
    Tensor<T, B> y(x.backend(), shape);
    x.backend().for_each_index(
        y.size(), functors::ExpandMiddle<T>{x.data(), y.data(), static_cast<compute_t<T>>(factor), middle, inner});
    return y;
}

} // namespace detail

/// Sum of all elements as a tensor of shape [], accumulated in double.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> sum(const Tensor<T, B>& x) {
    return Tensor<T, B>::full(x.backend(), {}, static_cast<T>(sum_all(x)));
}

/// Sums along one axis, which goes; a negative one counts from the end. Accumulated in double.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> sum(const Tensor<T, B>& x, int axis) {
    const detail::AxisView view(x.shape(), axis);
    return sum_middle(x, view.rows, view.inner).reshape(view.rest);
}

/// Mean of all elements as a tensor of shape [], accumulated in double. Throws Error where there are none.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> mean(const Tensor<T, B>& x) {
    require(x.size() > 0, "mean: no elements in ", x.shape());
    return Tensor<T, B>::full(x.backend(), {}, static_cast<T>(sum_all(x) / static_cast<double>(x.size())));
}

/// Means along one axis, which goes; a negative one counts from the end. Throws Error where the axis is empty.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> mean(const Tensor<T, B>& x, int axis) {
    const detail::AxisView view(x.shape(), axis);
    require(view.middle > 0, "mean: axis ", axis, " of ", x.shape(), " is empty");
    return sum_middle(x, view.rows, view.inner, static_cast<double>(view.middle)).reshape(view.rest);
}

} // namespace reel
