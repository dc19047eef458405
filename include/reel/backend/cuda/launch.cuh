#pragma once
// How programs run on a device. For .cu files.

#include <reel/backend/cuda/runtime.cuh>

namespace reel::cuda {

/// Every kernel of reel is a program: a copyable struct with a __device__ call operator, run by all threads of all
/// blocks, and the number of threads per block as a constant.
template <class Program>
__global__ void __launch_bounds__(Program::threads) run_program(const Program program) {
    program();
}

template <class Program>
void launch(cudaStream_t stream, const Program& program, index_t blocks, std::size_t shared_bytes) {
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
