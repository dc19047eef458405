#pragma once

#include <reel/backend/cpu/reduce.hpp>
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

/// One sum per [row, inner] of x [rows, middle, inner].
template <class T>
struct MiddleSum {
    const T* x;
    T* y;
    index_t middle;
    index_t inner;
    constexpr void operator()(index_t i) const {
        const T* from = x + i / inner * middle * inner + i % inner;
        double sum = 0;
        for (index_t j = 0; j < middle; ++j) {
            sum += static_cast<double>(from[j * inner]);
        }
        y[i] = static_cast<T>(sum);
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

/// Sums the middle axis of x seen as [rows, middle, inner]: the gradient of a broadcast along it. Result [rows, inner].
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> sum_middle(const Tensor<T, B>& x, index_t rows, index_t inner) {
    require(x.size() % std::max<index_t>(rows * inner, 1) == 0, "sum_middle: ", x.shape(), " is not ", rows,
            " rows of vectors of ", inner);
    Tensor<T, B> y(x.backend(), {rows, inner});
    x.backend().for_each_index(
        rows * inner, functors::MiddleSum<T>{x.data(), y.data(), x.size() / std::max<index_t>(rows * inner, 1), inner},
        8);
    return y;
}

} // namespace reel
