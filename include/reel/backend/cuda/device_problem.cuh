#pragma once
// What a device lacks. For .cu files.

#include <reel/backend/cuda/launch.cuh>
#include <reel/backend/cuda_problem.hpp>

namespace reel::cuda {

struct NothingProgram {
    static constexpr int threads = 32;
    __device__ void operator()() const {}
};

template <class>
std::string device_problem(int device) {
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

} // namespace reel::cuda
