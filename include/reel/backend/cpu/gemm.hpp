#pragma once

#include <reel/backend/cpu/gemm_serial.hpp>
#include <reel/backend/cpu/panel_product.hpp>
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

} // namespace cpu

/// Matrix products through Eigen: those of a layer with its weights as panels, others split over the backend's threads
/// along the longer side of C, or over the batch.
template <class T>
void gemm(Cpu& backend, const GemmProblem<T>& problem) {
#ifdef REEL_ONEDNN
    if constexpr (std::same_as<T, float>) {
        if (cpu::onednn::suits(problem)) {
            cpu::onednn::gemm(backend, problem, cpu::onednn::rounds(backend));
            return;
        }
    }
#endif
    if (cpu::suits_panels(problem)) {
        const cpu::PanelProblem<T> panels{.rows = problem.m,
                                          .columns = problem.n,
                                          .run_length = problem.k,
                                          .weights = problem.b,
                                          .column_stride = problem.ldb,
                                          .transposed = !problem.transpose_b,
                                          .bias = problem.bias,
                                          .add = problem.beta == T(1),
                                          .y = problem.c,
                                          .y_stride = problem.ldc};
        cpu::panel_product(backend, panels, [&](index_t first, index_t count, index_t, const T** pointers) {
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
