#pragma once
// A GPU for tests that have none: the calls of the CUDA runtime that reel makes, with the signatures of CUDA's own
// header, on the processor. Kernels run thread by thread, every CUDA thread as a fiber, so that barriers and warp
// shuffles do what they do on a device. What it does not show: races between threads that no barrier orders come out
// in one of a few orders, and nothing here is fast.
//
// Device memory is of its own kind here, too: outside of kernels and copies it may not be touched (the process gets
// SIGSEGV), and fresh memory is full of NaN.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#define __host__
#define __device__
#define __global__
#define __shared__
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define CUDART_VERSION 13000

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
};

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorInvalidDeviceFunction = 98,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorUnsupportedPtxVersion = 222,
    cudaErrorIllegalAddress = 700,
    cudaErrorAssert = 710,
    cudaErrorMisalignedAddress = 716,
    cudaErrorLaunchFailure = 719,
};
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrMemoryPoolsSupported = 115 };
enum cudaMemAllocationType { cudaMemAllocationTypeInvalid = 0, cudaMemAllocationTypePinned = 1 };
enum cudaMemLocationType { cudaMemLocationTypeInvalid = 0, cudaMemLocationTypeDevice = 1 };
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
enum cudaMemPoolAttr {
    cudaMemPoolAttrReleaseThreshold = 4,
    cudaMemPoolAttrReservedMemCurrent = 5,
    cudaMemPoolAttrUsedMemCurrent = 7,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaMemLocation {
    cudaMemLocationType type;
    int id;
};
struct cudaMemPoolProps {
    cudaMemAllocationType allocType;
    cudaMemLocation location;
};
struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
};
struct cudaFuncAttributes {
    int binaryVersion;
};
using cudaStream_t = struct CUstream_st*;
using cudaMemPool_t = struct CUmemPoolHandle_st*;
struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    std::size_t dynamicSmemBytes;
    cudaStream_t stream;
};
constexpr unsigned cudaStreamNonBlocking = 1;

cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t);
const char* cudaGetErrorName(cudaError_t);
cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDevice(int*);
cudaError_t cudaSetDevice(int);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int);
cudaError_t cudaMemGetInfo(std::size_t*, std::size_t*);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaMalloc(void**, std::size_t);
cudaError_t cudaFree(void*);
cudaError_t cudaMemPoolCreate(cudaMemPool_t*, const cudaMemPoolProps*);
cudaError_t cudaMemPoolDestroy(cudaMemPool_t);
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*);
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*);
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t);
cudaError_t cudaMallocFromPoolAsync(void**, std::size_t, cudaMemPool_t, cudaStream_t);
cudaError_t cudaFreeAsync(void*, cudaStream_t);
cudaError_t cudaMemcpyAsync(void*, const void*, std::size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes*, const void*);

namespace cuda_stand_in {

/// What the machine pretends to be; tests change it and put it back.
struct Machine {
    int driver_version = 13000;
    int devices = 1;
    bool memory_pools = true;
    bool has_code = true;
    int capability = 9;
    std::size_t memory_bytes = std::size_t{1} << 30;
    bool page_locked = false;   ///< whether host memory passes for page-locked
    bool has_algorithms = true; ///< whether cuBLASLt knows how to multiply
    // What happened so far.
    std::size_t launches = 0;
    std::size_t synchronizations = 0;
    std::size_t heuristics = 0;  ///< algorithms asked of cuBLASLt
    std::size_t lt_products = 0; ///< products of cuBLASLt
};
inline Machine machine;

/// While one lives, device memory may be touched.
class DeviceAccess {
public:
    DeviceAccess();
    ~DeviceAccess();
    DeviceAccess(const DeviceAccess&) = delete;
    DeviceAccess& operator=(const DeviceAccess&) = delete;
};

cudaError_t run(const cudaLaunchConfig_t& config, const void* kernel, const std::function<void()>& thread);
cudaError_t allow_shared_bytes(const void* kernel, int bytes);
[[noreturn]] void refuse(const char* what);
void block_barrier();
void warp_barrier();
/// Gives every lane's `size` bytes to all lanes of its warp: returns what lane `from` gave.
void exchange(const void* given, void* received, std::size_t size, unsigned from);

} // namespace cuda_stand_in

inline dim3 threadIdx;
inline dim3 blockIdx;

inline void __syncthreads() {
    cuda_stand_in::block_barrier();
}

inline void __syncwarp(unsigned = 0xffffffffU) {
    cuda_stand_in::warp_barrier();
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int lane_mask, int width = 32) {
    const unsigned lane = threadIdx.x % 32;
    const unsigned partner = lane ^ static_cast<unsigned>(lane_mask);
    T received;
    const bool same_group = partner / static_cast<unsigned>(width) == lane / static_cast<unsigned>(width);
    cuda_stand_in::exchange(&value, &received, sizeof(T), same_group ? partner : lane);
    return received;
}

template <class T>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, T*) {
    return cuda_stand_in::machine.has_code ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}
template <class T>
cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute, int value) {
    return cuda_stand_in::allow_shared_bytes(reinterpret_cast<const void*>(kernel), value);
}
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
    return cuda_stand_in::run(*config, reinterpret_cast<const void*>(kernel), [&] { kernel(arguments...); });
}
