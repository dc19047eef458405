#pragma once
// The CUDA runtime as reel uses it: checked calls, and what needs a compiler for the device, declared. A .cpp file has
// the declarations alone, and links the instances that reel::compiled_cuda has.

#if defined(__CUDACC__) || defined(REEL_CUDA_STAND_IN)
#define REEL_CUDA_BODIES
#elif !defined(REEL_CUDA_COMPILED)
#error "reel/backend/cuda is for .cu files, which nvcc compiles, and for .cpp files that link reel::compiled_cuda"
#endif

#include <string>
#include <string_view>

#include <cuda_runtime.h>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel::cuda {

/// What to do about an error, beginning with "; ", or nothing where its text says all.
[[nodiscard]] inline std::string_view advice(cudaError_t status) {
    switch (status) {
    case cudaErrorMemoryAllocation:
        return "; use fewer frames, a smaller size or gradient checkpointing";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
        return "; build for this GPU: configure with -DCMAKE_CUDA_ARCHITECTURES=native on this machine";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
    case cudaErrorAssert:
        return "; an operation before this one failed on the device: compute-sanitizer, or the environment variable "
               "CUDA_LAUNCH_BLOCKING=1, shows which";
    default:
        return "";
    }
}

/// Throws Error naming the call, CUDA's reason and what to do, unless the call succeeded.
inline void check(cudaError_t status, std::string_view call) {
    if (status != cudaSuccess) [[unlikely]] {
        // Errors that are not the device's own are reported once; the next call shall not repeat them.
        static_cast<void>(cudaGetLastError());
        fail("CUDA: ", call, " failed: ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")",
             advice(status));
    }
}

/// Why device number `device` cannot be used, in one sentence; empty when it can. Drivers are judged as doctor does.
template <class = void>
[[nodiscard]] std::string device_problem(int device = 0);

/// Runs `blocks` blocks of a program on a stream, each with `shared_bytes` of shared memory. Throws Error where the
/// device does not have as much.
template <class Program>
void launch(cudaStream_t stream, const Program& program, index_t blocks, std::size_t shared_bytes = 0);

/// Runs a functor for count > 0 indices on a stream, one thread each.
template <class Functor>
void for_each_index(cudaStream_t stream, index_t count, const Functor& functor);

} // namespace reel::cuda
