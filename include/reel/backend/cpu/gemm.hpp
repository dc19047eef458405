#pragma once

#include <reel/backend/cpu/gemm_serial.hpp>
#include <reel/backend/cpu/panel_product.hpp>
#include <reel/backend/cpu/widen.hpp>
#ifdef REEL_ONEDNN
#include <reel/backend/cpu/onednn/gemm.hpp>
#endif

namespace reel {

namespace cpu {

/// Whether a product is of the kind that panel_product() takes, and large enough to repay it.
template <class T>
[[nodiscard]] bool suits_panels(const GemmProblem<T>& p) {
    return p.batch == 1 && !p.transpose_a && p.alpha == T(1) &&
           (p.beta == T(0) || (p.beta == T(1) && p.bias == nullptr)) && p.m * p.n * p.k >= panel_work;
}

/// Products of a layer with its weights as panels, others split over the backend's threads along the longer side of C,
/// or over the batch.
template <class T>
void gemm_by_eigen(Cpu& backend, const GemmProblem<T>& problem) {
    if (suits_panels(problem)) {
        const PanelProblem<T> panels{.rows = problem.m,
                                     .columns = problem.n,
                                     .run_length = problem.k,
                                     .weights = problem.b,
                                     .column_stride = problem.ldb,
                                     .transposed = !problem.transpose_b,
                                     .bias = problem.bias,
                                     .add = problem.beta == T(1),
                                     .y = problem.c,
                                     .y_stride = problem.ldc};
        panel_product(backend, panels, [&](index_t first, index_t count, index_t, const T** pointers) {
            for (index_t i = 0; i < count; ++i) {
                pointers[i] = problem.a + (first + i) * problem.lda;
            }
        });
        return;
    }
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
            gemm_serial(p);
        } else if (p.m >= p.n) {
            const index_t begin = border(p.m, part);
            gemm_serial(block_of(p, begin, border(p.m, part + 1) - begin, 0, p.n));
        } else {
            const index_t begin = border(p.n, part);
            gemm_serial(block_of(p, 0, p.m, begin, border(p.n, part + 1) - begin));
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

/// A product of 16-bit matrices by way of float copies.
template <class T>
void gemm_in_float(Cpu& backend, const GemmProblem<T>& p) {
    using C = compute_t<T>;
    if (p.batch == 0 || p.m == 0 || p.n == 0) {
        return;
    }
    const auto span = [&p](index_t rows, index_t columns, index_t ld, index_t stride) {
        return rows == 0 || columns == 0 ? 0 : (p.batch - 1) * stride + (rows - 1) * ld + columns;
    };
    const Widened<T> a(backend, p.a,
                       p.transpose_a ? span(p.k, p.m, p.lda, p.stride_a) : span(p.m, p.k, p.lda, p.stride_a));
    const Widened<T> b(backend, p.b,
                       p.transpose_b ? span(p.n, p.k, p.ldb, p.stride_b) : span(p.k, p.n, p.ldb, p.stride_b));
    const Widened<T> bias(backend, p.bias, p.n);
    const Scratch<C> c(backend, p.batch * p.m * p.n);
    const auto each_row = [&](const auto& visit) {
        backend.for_each_range(
            p.batch * p.m,
            [&](index_t begin, index_t end) {
                for (index_t row = begin; row < end; ++row) {
                    visit(c.data() + row * p.n, p.c + row / p.m * p.stride_c + row % p.m * p.ldc);
                }
            },
            std::max<index_t>((1 << 14) / p.n, 1));
    };
    if (p.beta != C(0)) {
        each_row([&](C* sum, const T* stored) { widen(stored, p.n, sum); });
    }
    gemm(backend, GemmProblem<C>{.transpose_a = p.transpose_a,
                                 .transpose_b = p.transpose_b,
                                 .m = p.m,
                                 .n = p.n,
                                 .k = p.k,
                                 .alpha = p.alpha,
                                 .a = a.data(),
                                 .lda = p.lda,
                                 .b = b.data(),
                                 .ldb = p.ldb,
                                 .beta = p.beta,
                                 .c = c.data(),
                                 .ldc = p.n,
                                 .bias = bias.data(),
                                 .batch = p.batch,
                                 .stride_a = p.stride_a,
                                 .stride_b = p.stride_b,
                                 .stride_c = p.m * p.n});
    each_row([&](const C* sum, T* to) { narrow(sum, p.n, to); });
}

} // namespace cpu

/// Matrix products: large ones through oneDNN where it was found, others through Eigen. bfloat16 is multiplied as it is
/// where oneDNN and the processor can; else 16-bit matrices are multiplied as floats. Sums are floats in any case.
template <class T>
void gemm(Cpu& backend, const GemmProblem<T>& problem) {
#ifdef REEL_ONEDNN
    if constexpr (cpu::onednn::is_served<T>) {
        if (cpu::onednn::suits(problem) && cpu::onednn::multiplies<T>()) {
            cpu::onednn::gemm(backend, problem, cpu::onednn::rounds<T>(backend));
            return;
        }
    }
#endif
    if constexpr (cpu::is_narrow<T>) {
        cpu::gemm_in_float(backend, problem);
    } else {
        cpu::gemm_by_eigen(backend, problem);
    }
}

#ifdef REEL_COMPILED // 16 bits go through float, which kernels_float.cpp has
extern template void gemm(Cpu&, const GemmProblem<float>&);
#endif

} // namespace reel
