#pragma once

// A functor for every index. For .cu files.

#include <reel/backend/cuda/launch.cuh>

#ifndef __CUDACC__
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system/cuda/execution_policy.h>
#endif

namespace reel::cuda {

/// Calls functor(i) for every i in [0, count), one thread each.
template <class Functor>
struct EachIndex {
    static constexpr int threads = 256;
    index_t count;
    Functor functor;

    __device__ void operator()() const {
        const index_t i = static_cast<index_t>(blockIdx.x) * threads + static_cast<index_t>(threadIdx.x);
        if (i < count) {
            functor(i);
        }
    }
    [[nodiscard]] index_t blocks() const { return (count + threads - 1) / threads; }
};

/// thrust::for_each_n does the same through kernels for two widths of
/// indices, each under a tower of templates: with it, nvcc takes twice as long for all of reel. On the stand-in for a
/// device Thrust's host system runs the functors, a plain loop.
template <class Functor>
void for_each_index(cudaStream_t stream, index_t count, const Functor& functor) {
#ifdef __CUDACC__
    const EachIndex<Functor> program{count, functor};
    launch(stream, program, program.blocks());
#else
    thrust::for_each_n(thrust::cuda::par_nosync.on(stream), thrust::counting_iterator<index_t>(0), count, functor);
    check(cudaGetLastError(), "thrust::for_each_n");
#endif
}

} // namespace reel::cuda
