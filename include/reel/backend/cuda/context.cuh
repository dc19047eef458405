#pragma once

#include <reel/backend/cuda/runtime.cuh>

#include <reel/backend/backend.hpp>
#include <reel/backend/cpu/cpu.hpp>
#include <reel/backend/cuda/blas.cuh>
#include <reel/backend/cuda/memory.cuh>
#ifdef REEL_CUDA_BODIES
#include <reel/backend/cuda/device_problem.cuh>
#include <reel/backend/cuda/each_index.cuh>
#endif

namespace reel {

namespace cuda {

/// A stream of its own, which waits for no other.
class Stream {
public:
    Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
    [[nodiscard]] cudaStream_t get() const { return stream_; }

private:
    cudaStream_t stream_ = nullptr;
};

} // namespace cuda

/// One NVIDIA GPU: a stream, the memory that is handed out in its order, and cuBLAS on it. Operations return before
/// they have run; copy_to_host and synchronize wait. Must outlive the tensors made with it. One object may be used from
/// one thread at a time.
class Cuda {
public:
    /// Throws Error saying in a sentence what is missing: a driver, a device, a newer driver, code for this device.
    explicit Cuda(int device = 0)
        : device_(usable(device)), memory_(device, stream_.get()), blas_(stream_.get(), memory_) {
        cuda::check(cudaDeviceGetAttribute(&capability_, cudaDevAttrComputeCapabilityMajor, device),
                    "cudaDeviceGetAttribute");
    }
    Cuda(const Cuda&) = delete;
    Cuda& operator=(const Cuda&) = delete;

    /// `high` multiplies in TF32. `medium` does, too, and rounds what convolutions and attention multiply to bfloat16,
    /// where the device has that. Sums are float32, and `highest`, the default, is float32 throughout.
    Float32MatmulPrecision float32_matmul_precision = Float32MatmulPrecision::highest;

    /// As Cpu's; a GPU wants larger pieces.
    std::size_t piece_bytes = std::size_t{256} << 20;

    [[nodiscard]] int device() const { return device_; }
    /// Whether the device's matrix units take bfloat16: compute capability 8.0 or newer.
    [[nodiscard]] bool multiplies_bfloat16() const { return capability_ >= 8; }
    [[nodiscard]] cudaStream_t stream() const { return stream_.get(); }
    [[nodiscard]] cuda::Blas& blas() { return blas_; }
    [[nodiscard]] cuda::StreamPool& memory() { return memory_; }

    [[nodiscard]] void* allocate(std::size_t bytes) {
        activate();
        return memory_.allocate(bytes);
    }
    void deallocate(void* block, std::size_t bytes) noexcept { memory_.deallocate(block, bytes); }

    /// Copies within the device's memory.
    void copy(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes, cudaMemcpyDeviceToDevice); }

    /// Afterwards the host may overwrite `from`, whatever kind of memory it is.
    void copy_from_host(void* to, const void* from, std::size_t bytes) {
        copy(to, from, bytes, cudaMemcpyHostToDevice);
        // Ordinary memory has been read when the call returns; page-locked memory only when the stream got there.
        cudaPointerAttributes attributes{};
        if (bytes != 0 && (cudaPointerGetAttributes(&attributes, from) != cudaSuccess ||
                           attributes.type != cudaMemoryTypeUnregistered)) {
            synchronize();
        }
    }

    /// Waits until the bytes are there.
    void copy_to_host(void* to, const void* from, std::size_t bytes) {
        copy(to, from, bytes, cudaMemcpyDeviceToHost);
        synchronize();
    }

    /// Calls `functor(i)` for every i in [0, count). The hint is for processors and means nothing here.
    template <class Functor>
    void for_each_index(index_t count, const Functor& functor, index_t /*grain*/ = 1) {
        if (count <= 0) {
            return;
        }
        activate();
        cuda::for_each_index(stream(), count, functor);
    }

    /// Runs `blocks` blocks of a program (see cuda::run_program).
    template <class Program>
    void launch(const Program& program, index_t blocks, std::size_t shared_bytes = 0) {
        activate();
        cuda::launch(stream(), program, blocks, shared_bytes);
    }

    /// Waits for everything asked for so far. Throws Error when an operation failed on the device.
    void synchronize() { cuda::check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

    /// Makes this device the calling thread's, as CUDA's calls expect.
    void activate() const { cuda::check(cudaSetDevice(device_), "cudaSetDevice"); }

private:
    static int usable(int device) {
        const std::string problem = cuda::device_problem(device);
        require(problem.empty(), "backend cuda: ", problem);
        cuda::check(cudaSetDevice(device), "cudaSetDevice");
        return device;
    }

    void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
        if (bytes != 0) {
            activate();
            cuda::check(cudaMemcpyAsync(to, from, bytes, kind, stream()), "cudaMemcpyAsync");
        }
    }

    int device_; // first: nothing can be made without it
    int capability_ = 0;
    cuda::Stream stream_;
    cuda::StreamPool memory_;
    cuda::Blas blas_;
};

static_assert(Backend<Cuda>);

} // namespace reel
