#pragma once

#include <Eigen/Core>

#include <reel/backend/cpu/cpu.hpp>

namespace reel {

namespace cpu {

template <class T>
using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using MatrixMap = Eigen::Map<RowMajorMatrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using ConstMatrixMap = Eigen::Map<const RowMajorMatrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using ArrayMap = Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>;
template <class T>
using ConstArrayMap = Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>;

/// One matrix product on the calling thread; `batch` and its strides are not looked at.
template <class T>
void gemm_serial(const GemmProblem<T>& p) {
    MatrixMap<T> c(p.c, p.m, p.n, Eigen::OuterStride<>(p.ldc));
    if (p.beta == T(0)) {
        c.setZero();
    } else if (p.beta != T(1)) {
        c *= p.beta;
    }
    if (p.bias != nullptr) {
        c.rowwise() += Eigen::Map<const Eigen::Matrix<T, 1, Eigen::Dynamic>>(p.bias, p.n);
    }
    if (p.m == 0 || p.n == 0 || p.k == 0) {
        return;
    }
    const ConstMatrixMap<T> a(p.a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, Eigen::OuterStride<>(p.lda));
    const ConstMatrixMap<T> b(p.b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, Eigen::OuterStride<>(p.ldb));
    if (p.transpose_a) {
        if (p.transpose_b) {
            c.noalias() += p.alpha * (a.transpose() * b.transpose());
        } else {
            c.noalias() += p.alpha * (a.transpose() * b);
        }
    } else {
        if (p.transpose_b) {
            c.noalias() += p.alpha * (a * b.transpose());
        } else {
            c.noalias() += p.alpha * (a * b);
        }
    }
}

/// The part of a problem that makes rows [row, row + rows) and columns [column, column + columns) of C.
template <class T>
[[nodiscard]] GemmProblem<T> block_of(GemmProblem<T> p, index_t row, index_t rows, index_t column, index_t columns) {
    p.a += p.transpose_a ? row : row * p.lda;
    p.b += p.transpose_b ? column * p.ldb : column;
    p.c += row * p.ldc + column;
    p.bias = p.bias != nullptr ? p.bias + column : nullptr;
    p.m = rows;
    p.n = columns;
    return p;
}

} // namespace cpu

/// Matrix products through Eigen, split over the backend's threads along the longer side of C, or over the batch.
template <class T>
void gemm(Cpu& backend, const GemmProblem<T>& problem) {
    constexpr index_t small = 32 * 32 * 32; // below this a thread costs more than it gives
    const index_t threads = backend.threads();
    const index_t work = problem.m * problem.n * problem.k;
    const bool split_batch = problem.batch >= threads || work < small;
    const index_t parts = split_batch || problem.m * problem.n < 2 * 16 * 16 ? 1 : threads;
    const auto one = [&](index_t task) {
        GemmProblem<T> p = problem;
        const index_t batch = task / parts;
        const index_t part = task % parts;
        p.a += batch * p.stride_a;
        p.b += batch * p.stride_b;
        p.c += batch * p.stride_c;
        constexpr index_t tile = 16; // part borders on full tiles
        const auto border = [&](index_t extent, index_t i) {
            return i == parts ? extent : std::min(extent, (extent * i / parts + tile - 1) / tile * tile);
        };
        if (parts == 1) {
            cpu::gemm_serial(p);
        } else if (p.m >= p.n) {
            const index_t begin = border(p.m, part);
            cpu::gemm_serial(cpu::block_of(p, begin, border(p.m, part + 1) - begin, 0, p.n));
        } else {
            const index_t begin = border(p.n, part);
            cpu::gemm_serial(cpu::block_of(p, 0, p.m, begin, border(p.n, part + 1) - begin));
        }
    };
    if (problem.batch * parts == 1) {
        one(0);
    } else if (work * problem.batch < small) {
        for (index_t task = 0; task < problem.batch; ++task) {
            one(task);
        }
    } else {
        backend.for_each_task(problem.batch * parts, one);
    }
}

} // namespace reel
