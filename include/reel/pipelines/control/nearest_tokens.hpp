#pragma once

#include <cmath>
#include <cstdint>

#include <reel/nn/pieces.hpp>
#include <reel/ops/elementwise.hpp>
#include <reel/ops/linear.hpp>

namespace reel {

namespace functors {

/// Each row of x [rows, columns] over its length; one of zeros stays.
template <class T>
struct UnitRow {
    const T* x;
    T* y;
    index_t columns;
    constexpr void operator()(index_t row) const {
        using std::sqrt;
        T sum = 0;
        for (index_t i = row * columns; i < (row + 1) * columns; ++i) {
            sum += x[i] * x[i];
        }
        const T factor = sum > T(0) ? T(1) / sqrt(sum) : T(0);
        for (index_t i = row * columns; i < (row + 1) * columns; ++i) {
            y[i] = x[i] * factor;
        }
    }
};

/// Which column of a row is the largest; of equal ones the first.
template <class T>
struct LargestOfRow {
    const T* x;
    std::int32_t* at;
    index_t columns;
    constexpr void operator()(index_t row) const {
        index_t largest = 0;
        for (index_t i = 1; i < columns; ++i) {
            largest = x[row * columns + i] > x[row * columns + largest] ? i : largest;
        }
        at[row] = static_cast<std::int32_t>(largest);
    }
};

/// z[p] = (1 - share) x[at_x[p]] + share y[at_y[p]], rows all of them.
template <class T>
struct MixRows {
    const T* x;
    const T* y;
    const std::int32_t* at_x;
    const std::int32_t* at_y;
    T* z;
    compute_t<T> share;
    index_t columns;
    constexpr void operator()(index_t i) const {
        using C = compute_t<T>;
        const index_t row = i / columns;
        const index_t column = i % columns;
        z[i] = static_cast<T>((C(1) - share) * static_cast<C>(x[at_x[row] * columns + column]) +
                              share * static_cast<C>(y[at_y[row] * columns + column]));
    }
};

} // namespace functors

/// For every token of x [tokens, channels] which of y [others, channels] is most like it, by the cosine of the angle
/// between them: [tokens]. A piece of the tokens at a time where not all scores fit.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<std::int32_t, B> nearest_tokens(const Tensor<T, B>& x, const Tensor<T, B>& y) {
    using C = compute_t<T>;
    require(x.rank() == 2 && y.rank() == 2 && x.shape(1) == y.shape(1) && y.shape(0) > 0, "nearest_tokens: ", x.shape(),
            " and ", y.shape(), "; expected [tokens, channels] twice");
    B& backend = x.backend();
    const index_t tokens = x.shape(0);
    const index_t others = y.shape(0);
    const Tensor<C, B> wide = cast<C>(y);
    const Tensor<C, B> unit(backend, y.shape());
    backend.for_each_index(others, functors::UnitRow<C>{wide.data(), unit.data(), y.shape(1)});
    const Tensor<std::int32_t, B> at(backend, {tokens});
    for_each_piece(
        tokens, at_once(backend, tokens, others * static_cast<index_t>(sizeof(C))), [&](index_t begin, index_t end) {
            const Tensor<C, B> scores = matmul(cast<C>(x.slice(begin, end)), unit, false, true);
            backend.for_each_index(end - begin, functors::LargestOfRow<C>{scores.data(), at.data() + begin, others});
        });
    return at;
}

} // namespace reel
