#pragma once
// The CUDA runtime as reel uses it: checked calls, what a device lacks, launches. For .cu files.

#if !defined(__CUDACC__) && !defined(REEL_CUDA_STAND_IN)
#error "reel/backend/cuda is for .cu files, which nvcc compiles; a .cpp file may include everything else of reel"
#endif

#include <string>
#include <string_view>

#include <cuda_runtime.h>

#include <reel/backend/cuda_problem.hpp>
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

/// Every kernel of reel is a program: a copyable struct with a __device__ call operator, run by all threads of all
/// blocks, and the number of threads per block as a constant.
template <class Program>
__global__ void __launch_bounds__(Program::threads) run_program(const Program program) {
    program();
}

struct NothingProgram {
    static constexpr int threads = 32;
    __device__ void operator()() const {}
};

/// Why device number `device` cannot be used, in one sentence; empty when it can. Drivers are judged as doctor does.
[[nodiscard]] inline std::string device_problem(int device = 0) {
    CudaDriver driver;
    driver.library = cudaDriverGetVersion(&driver.version) == cudaSuccess && driver.version > 0;
    int count = 0;
    driver.error = static_cast<int>(cudaGetDeviceCount(&count)); // the two APIs number their errors alike
    static_cast<void>(cudaGetLastError());
    driver.devices.resize(driver.error == 0 ? static_cast<std::size_t>(count) : 0);
    if (std::string problem = cuda_driver_problem({.built = true, .runtime = CUDART_VERSION}, driver);
        !problem.empty()) {
        return problem;
    }
    if (device < 0 || device >= count) {
        return concat_text("there is no CUDA device ", device, "; expected 0 to ", count - 1);
    }
    int previous = 0;
    static_cast<void>(cudaGetDevice(&previous));
    if (const cudaError_t chosen = cudaSetDevice(device); chosen != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return concat_text("CUDA device ", device, " cannot be used: ", cudaGetErrorString(chosen), advice(chosen));
    }
    int pools = 0;
    static_cast<void>(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device));
    cudaFuncAttributes attributes{};
    const cudaError_t built = cudaFuncGetAttributes(&attributes, run_program<NothingProgram>);
    static_cast<void>(cudaGetLastError());
    static_cast<void>(cudaSetDevice(previous));
    if (pools == 0) {
        return concat_text("CUDA device ", device, " has no stream-ordered memory (cudaMallocAsync), which reel needs");
    }
    if (built != cudaSuccess) {
        return concat_text("this program has no code for CUDA device ", device, ": ", cudaGetErrorString(built),
                           advice(built));
    }
    return {};
}

/// Runs `blocks` blocks of a program on a stream, each with `shared_bytes` of shared memory. Throws Error where the
/// device does not have as much.
template <class Program>
void launch(cudaStream_t stream, const Program& program, index_t blocks, std::size_t shared_bytes = 0) {
    static_assert(Program::threads % 32 == 0 && Program::threads <= 1024);
    constexpr index_t most_blocks = 0x7fffffff;
    constexpr std::size_t usual_shared_bytes = 48 * 1024; // beyond, a kernel has to ask
    if (blocks <= 0) {
        return;
    }
    require(blocks <= most_blocks, "CUDA: ", blocks, " blocks in one launch; expected at most ", most_blocks,
            ": use fewer frames or a smaller size");
    if (shared_bytes > usual_shared_bytes) {
        check(cudaFuncSetAttribute(run_program<Program>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes)),
              "asking for shared memory (cudaFuncSetAttribute)");
    }
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(Program::threads));
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    check(cudaLaunchKernelEx(&config, run_program<Program>, program), "cudaLaunchKernelEx");
}

/// The block's dynamic shared memory, aligned for whatever reads it in pieces.
template <class T>
[[nodiscard]] __device__ inline T* shared_memory() {
    extern __shared__ __align__(128) float4 reel_shared_memory[];
    return reinterpret_cast<T*>(reel_shared_memory);
}

/// Sum over groups of `width` neighbouring lanes of a warp; all lanes get it.
template <int width, class T>
[[nodiscard]] __device__ inline T sum_over_lanes(T value) {
    for (int distance = width / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(0xffffffffU, value, distance, width);
    }
    return value;
}

/// Maximum, as sum_over_lanes.
template <int width, class T>
[[nodiscard]] __device__ inline T max_over_lanes(T value) {
    for (int distance = width / 2; distance > 0; distance /= 2) {
        const T other = __shfl_xor_sync(0xffffffffU, value, distance, width);
        value = other > value ? other : value;
    }
    return value;
}

/// Sum over all threads of a block; all threads get it. `slots` is shared memory for one value per warp.
template <int threads, class T>
[[nodiscard]] __device__ inline T sum_over_block(T value, T* slots) {
    const int thread = static_cast<int>(threadIdx.x);
    value = sum_over_lanes<32>(value);
    __syncthreads(); // the slots may still be read from the sum before
    if (thread % 32 == 0) {
        slots[thread / 32] = value;
    }
    __syncthreads();
    T sum = T(0);
    for (int warp = 0; warp < threads / 32; ++warp) {
        sum += slots[warp];
    }
    return sum;
}

} // namespace reel::cuda
