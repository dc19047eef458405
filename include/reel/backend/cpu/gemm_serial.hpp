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

} // namespace reel
