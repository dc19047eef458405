#pragma once

#include <algorithm>

#include <reel/backend/cpu/scratch.hpp>

namespace reel {

/// y [columns] = sums over the rows of x [rows, columns], accumulated in double. Rows are read as they lie, in runs of
/// a fixed length, so that the result does not depend on the number of threads.
template <class T>
void column_sums(Cpu& backend, const T* x, T* y, index_t rows, index_t columns) {
    constexpr index_t run = 512;
    const index_t runs = (rows + run - 1) / run;
    const cpu::Scratch<double> partial(backend, runs * columns);
    const Cpu::Described what(backend, static_cast<double>(rows * columns), {columns});
    backend.for_each_range(
        runs,
        [&](index_t first, index_t last) {
            for (index_t i = first; i < last; ++i) {
                double* sums = partial.data() + i * columns;
                std::fill_n(sums, columns, 0.0);
                for (index_t row = i * run; row < std::min(rows, (i + 1) * run); ++row) {
                    const T* values = x + row * columns;
                    for (index_t c = 0; c < columns; ++c) {
                        sums[c] += static_cast<double>(values[c]);
                    }
                }
            }
        },
        4);
    for (index_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (index_t i = 0; i < runs; ++i) {
            sum += partial.data()[i * columns + c];
        }
        y[c] = static_cast<T>(sum);
    }
}

} // namespace reel
