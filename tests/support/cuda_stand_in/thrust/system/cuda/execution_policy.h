#pragma once
// thrust::cuda::par_nosync on the processor: Thrust's own host system, allowed to touch device memory while it runs.

#include <thrust/for_each.h>
#include <thrust/system/cpp/execution_policy.h>

#include <cuda_runtime.h>

namespace cuda_stand_in {

struct Policy : thrust::system::cpp::detail::execution_policy<Policy> {
    [[nodiscard]] Policy on(cudaStream_t) const { return *this; }
};

template <class Iterator, class Size, class Function>
Iterator for_each_n(Policy&, Iterator first, Size count, Function function) {
    const DeviceAccess access;
    ++machine.launches;
    return thrust::for_each_n(thrust::cpp::par, first, count, function);
}

} // namespace cuda_stand_in

namespace thrust::cuda {
inline const cuda_stand_in::Policy par_nosync;
}
