#pragma once

#include <vector>

#include <reel/backend/cpu/gemm_serial.hpp>
#include <reel/backend/cpu/scratch.hpp>

namespace reel::cpu {

/// y [rows, columns] = rows of x times weights (+ bias or what y holds), where a row of x need not be contiguous: it is
/// `runs` runs of `run_length` elements, found through pointers. That is a patch of a picture, a run per kernel tap, or
/// with one run an ordinary matrix row. The weight of column o, run r and element c is
/// weights[r * run_stride + o * column_stride + c], or, when transposed, weights[r * run_stride + c * column_stride +
/// o].
template <class T>
struct PanelProblem {
    index_t rows = 0;
    index_t columns = 0;
    index_t runs = 1;
    index_t run_length = 0;
    const T* weights = nullptr;
    index_t run_stride = 0; ///< may be negative
    index_t column_stride = 0;
    bool transposed = false;
    const T* bias = nullptr; ///< [columns] or null
    bool add = false;        ///< to what y holds
    T* y = nullptr;
    index_t y_stride = 0;
};

namespace panels {

// Eigen's own building blocks of a matrix product: with them the weights are packed once for all rows and threads,
// and patches are packed straight from the picture. Eigen sees y as column-major, so the weights are its left side.
// No version of Eigen promises them; tests/backend compares them, and has with 3.4.0 and 5.0.1. What a packed
// block looks like differs between versions and processors; here only its size counts, columns times depth.
template <class T>
using Traits = Eigen::internal::gebp_traits<T, T>;
template <class T>
using Result = Eigen::internal::blas_data_mapper<T, index_t, Eigen::ColMajor, Eigen::Unaligned, 1>;
template <class T, int order>
using Weights = Eigen::internal::const_blas_data_mapper<T, index_t, order>;
template <class T, int order>
using PackWeights = Eigen::internal::gemm_pack_lhs<T, index_t, Weights<T, order>, Traits<T>::mr, Traits<T>::LhsProgress,
                                                   typename Traits<T>::LhsPacket4Packing, order, false, true>;
template <class T>
using Kernel = Eigen::internal::gebp_kernel<T, T, index_t, Result<T>, Traits<T>::mr, Traits<T>::nr, false, false>;

/// Columns of Eigen's right side given by pointers.
template <class T>
struct Rows {
    struct LinearMapper {
        const T* data;
        T operator()(index_t i) const { return data[i]; }
        template <class Packet>
        Packet loadPacket(index_t i) const {
            return Eigen::internal::ploadu<Packet>(data + i);
        }
    };
    const T* const* pointers;
    index_t offset;
    [[nodiscard]] LinearMapper getLinearMapper(index_t, index_t j) const { return {pointers[j] + offset}; }
};
template <class T>
using PackRows = Eigen::internal::gemm_pack_rhs<T, index_t, Rows<T>, Traits<T>::nr, Eigen::ColMajor, false, true>;

/// A part of the inner dimension that is multiplied at once: whole runs, or a part of one.
struct Block {
    index_t first_run;
    index_t runs;
    index_t offset; ///< into each run
    index_t length; ///< of each run
    index_t packed; ///< where its packed weights begin, in elements

    [[nodiscard]] index_t depth() const { return runs * length; }
};

inline constexpr index_t alignment = 64; // elements: packed blocks begin on full vectors of any type

/// Cuts the inner dimension so that a panel of weights stays in the first cache.
template <class T>
[[nodiscard]] std::vector<Block> blocks_of(const PanelProblem<T>& p) {
    constexpr index_t depth = 1536 / static_cast<index_t>(sizeof(T));
    std::vector<Block> blocks;
    index_t packed = 0;
    const auto push = [&](index_t run, index_t runs, index_t offset, index_t length) {
        blocks.push_back({run, runs, offset, length, packed});
        packed += (runs * length * p.columns + alignment - 1) / alignment * alignment;
    };
    if (p.run_length > depth) {
        const index_t parts = (p.run_length + depth - 1) / depth;
        for (index_t run = 0; run < p.runs; ++run) {
            for (index_t part = 0; part < parts; ++part) {
                const index_t begin = p.run_length * part / parts;
                push(run, 1, begin, p.run_length * (part + 1) / parts - begin);
            }
        }
    } else {
        const index_t group = std::max<index_t>(depth / std::max<index_t>(p.run_length, 1), 1);
        for (index_t run = 0; run < p.runs; run += group) {
            push(run, std::min(group, p.runs - run), 0, p.run_length);
        }
    }
    return blocks;
}

/// Packs the weights of columns [first, first + count) of a block.
template <class T>
void pack_weights(const PanelProblem<T>& p, const Block& block, index_t first, index_t count, T* packed) {
    for (index_t r = 0; r < block.runs; ++r) {
        const T* run = p.weights + (block.first_run + r) * p.run_stride;
        if (p.transposed) {
            const Weights<T, Eigen::ColMajor> source(run + block.offset * p.column_stride + first, p.column_stride);
            PackWeights<T, Eigen::ColMajor>()(packed, source, block.length, count, block.depth(), r * block.length);
        } else {
            const Weights<T, Eigen::RowMajor> source(run + first * p.column_stride + block.offset, p.column_stride);
            PackWeights<T, Eigen::RowMajor>()(packed, source, block.length, count, block.depth(), r * block.length);
        }
    }
}

} // namespace panels

/// Runs a PanelProblem. point(first, count, run, pointers) sets pointers[i] to run `run` of row first + i.
template <class T, class Point>
void panel_product(Cpu& backend, const PanelProblem<T>& p, const Point& point) {
    constexpr index_t rows_at_once = 192; // a packed block of them stays in the second cache
    const index_t threads = backend.threads();
    const index_t share = std::min(rows_at_once, (p.rows + threads - 1) / threads);
    constexpr index_t together = panels::Traits<T>::nr; // rows that the kernel takes at once
    const index_t even = std::min(p.rows, (share + together - 1) / together * together);
    // With few rows all threads take the same ones, and each a slab of the columns.
    const bool few = p.rows < p.columns && p.rows <= rows_at_once;
    const index_t chunk = few ? p.rows : even;
    constexpr index_t panel = panels::Traits<T>::mr;
    const index_t slab = few ? ((p.columns + threads - 1) / threads + panel - 1) / panel * panel : p.columns;
    const index_t chunks = (p.rows + chunk - 1) / chunk;
    const index_t slabs = (p.columns + slab - 1) / slab;

    const std::vector<panels::Block> blocks = panels::blocks_of(p);
    const index_t deepest =
        std::max_element(blocks.begin(), blocks.end(), [](auto& a, auto& b) { return a.depth() < b.depth(); })->depth();
    const Scratch<T> weights(backend, blocks.back().packed + blocks.back().depth() * p.columns);
    const auto slab_size = [&](index_t s) { return std::min(slab, p.columns - s * slab); };
    const index_t elements = p.columns * p.runs * p.run_length;
    {
        const Cpu::Described packing(backend, static_cast<double>(elements), {p.columns, p.runs, p.run_length});
        backend.for_each_task(static_cast<index_t>(blocks.size()) * slabs, [&](index_t task) {
            const panels::Block& block = blocks[static_cast<std::size_t>(task / slabs)];
            const index_t first = task % slabs * slab;
            panels::pack_weights(p, block, first, slab_size(task % slabs),
                                 weights.data() + block.packed + first * block.depth());
        });
    }
    const Cpu::Described multiplying(backend, static_cast<double>(p.rows * elements),
                                     {p.rows, p.columns, p.runs, p.run_length, p.add});
    backend.for_each_task(chunks * slabs, [&](index_t task) {
        const index_t first = task / slabs * chunk;
        const index_t rows = std::min(chunk, p.rows - first);
        const index_t column = task % slabs * slab;
        const index_t columns = slab_size(task % slabs);
        T* y = p.y + first * p.y_stride + column;
        for (index_t i = 0; i < rows && !p.add; ++i) {
            if (p.bias != nullptr) {
                std::copy_n(p.bias + column, columns, y + i * p.y_stride);
            } else {
                std::fill_n(y + i * p.y_stride, columns, T(0));
            }
        }
        const Scratch<T> packed(backend, rows * deepest);
        std::vector<const T*> pointers(static_cast<std::size_t>(rows));
        for (const panels::Block& block : blocks) {
            for (index_t r = 0; r < block.runs; ++r) {
                point(first, rows, block.first_run + r, pointers.data());
                panels::PackRows<T>()(packed.data(), panels::Rows<T>{pointers.data(), block.offset}, block.length, rows,
                                      block.depth(), r * block.length);
            }
            panels::Kernel<T>()(panels::Result<T>(y, p.y_stride),
                                weights.data() + block.packed + column * block.depth(), packed.data(), columns,
                                block.depth(), rows, T(1));
        }
    });
}

/// The least work (multiplications) that repays packing for all threads at once.
inline constexpr index_t panel_work = index_t{1} << 18;

} // namespace reel::cpu
