#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <mutex>

#include <reel/backend/cuda/runtime.cuh>
#include <reel/core/memory_pool.hpp>
#include <reel/core/stage_timer.hpp>

namespace reel::cuda {

/// Device memory in the order of a stream (cudaMallocAsync): uninitialised, kept after release and handed out again
/// without waiting for the device. Thread-safe.
class StreamPool {
public:
    StreamPool(int device, cudaStream_t stream) : device_(device), stream_(stream) {
        cudaMemPoolProps properties{};
        properties.allocType = cudaMemAllocationTypePinned; // what CUDA calls device memory here
        properties.location.type = cudaMemLocationTypeDevice;
        properties.location.id = device;
        check(cudaMemPoolCreate(&pool_, &properties), "cudaMemPoolCreate");
        std::uint64_t keep_all = std::numeric_limits<std::uint64_t>::max();
        check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all), "cudaMemPoolSetAttribute");
    }
    StreamPool(const StreamPool&) = delete;
    StreamPool& operator=(const StreamPool&) = delete;
    ~StreamPool() {
        static_cast<void>(cudaStreamSynchronize(stream_));
        static_cast<void>(cudaMemPoolDestroy(pool_));
    }

    /// Throws Error when the device has no memory left.
    [[nodiscard]] void* allocate(std::size_t bytes) {
        require(bytes < std::numeric_limits<std::size_t>::max() / 2, "out of GPU memory: ", bytes, " bytes asked for");
        const std::size_t size = rounded(bytes);
        void* block = nullptr;
        cudaError_t status = cudaMallocFromPoolAsync(&block, size, pool_, stream_);
        if (status == cudaErrorMemoryAllocation) {
            static_cast<void>(cudaGetLastError());
            release_cached();
            status = cudaMallocFromPoolAsync(&block, size, pool_, stream_);
        }
        if (status == cudaErrorMemoryAllocation) {
            static_cast<void>(cudaGetLastError());
            std::size_t free_bytes = 0;
            std::size_t all_bytes = 0;
            static_cast<void>(cudaMemGetInfo(&free_bytes, &all_bytes));
            fail("out of GPU memory: ", size, " bytes asked for with ", statistics().in_use, " in use; device ",
                 device_, " has ", free_bytes, " of ", all_bytes, " bytes free", advice(cudaErrorMemoryAllocation));
        }
        check(status, "cudaMallocFromPoolAsync");
        const std::lock_guard lock(mutex_);
        statistics_.in_use += size;
        statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
        return block;
    }

    void deallocate(void* block, std::size_t bytes) noexcept {
        // An error that is not CUDA's own end shows itself again at the next call that may throw.
        static_cast<void>(cudaFreeAsync(block, stream_));
        const std::lock_guard lock(mutex_);
        statistics_.in_use -= rounded(bytes);
    }

    /// Waits for the stream and gives freed memory back to the device.
    void release_cached() {
        check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
        check(cudaMemPoolTrimTo(pool_, 0), "cudaMemPoolTrimTo");
    }

    [[nodiscard]] MemoryStatistics statistics() const {
        std::uint64_t reserved = 0;
        std::uint64_t used = 0;
        check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved), "cudaMemPoolGetAttribute");
        check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used), "cudaMemPoolGetAttribute");
        const std::lock_guard lock(mutex_);
        MemoryStatistics result = statistics_;
        result.cached = reserved > used ? static_cast<std::size_t>(reserved - used) : 0;
        return result;
    }

    /// Starts a new measurement: the peak becomes what is in use now.
    void reset_peak() {
        const std::lock_guard lock(mutex_);
        statistics_.peak = statistics_.in_use;
    }

private:
    /// The pool's granularity, so that what is counted is what is taken; also, nothing has an address of its own.
    static std::size_t rounded(std::size_t bytes) {
        constexpr std::size_t step = 512;
        return std::max(step, (bytes + step - 1) / step * step);
    }

    int device_;
    cudaStream_t stream_;
    cudaMemPool_t pool_ = nullptr;
    mutable std::mutex mutex_;
    MemoryStatistics statistics_;
};

/// The probe of a device's memory pool, which must outlive it.
[[nodiscard]] inline MemoryProbe probe_of(StreamPool& pool) {
    return {[&pool] { return pool.statistics().peak; }, [&pool] { pool.reset_peak(); }};
}

} // namespace reel::cuda
