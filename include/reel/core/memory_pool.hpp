#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include <reel/core/error.hpp>

namespace reel {

/// Bytes that a backend's tensors occupy now and occupied at most.
struct MemoryStatistics {
    std::size_t in_use = 0;
    std::size_t peak = 0;
    std::size_t cached = 0; ///< freed, kept for reuse
};

/// Host memory in 64-byte aligned blocks, kept after release and handed out again: fresh pages from the operating
/// system cost more than most operations. Sizes are rounded up by an eighth at most, from 2 MiB on by a sixty-fourth,
/// so a block fits many requests. Kept blocks never exceed a quarter of the peak, or 64 MiB. Thread-safe.
class MemoryPool {
public:
    MemoryPool() = default;
    MemoryPool(const MemoryPool&) = delete;
    MemoryPool& operator=(const MemoryPool&) = delete;
    ~MemoryPool() { release_cached(); }

    /// Throws Error when the system has no memory left.
    [[nodiscard]] void* allocate(std::size_t bytes) {
        require(bytes < std::numeric_limits<std::size_t>::max() / 2, "out of memory: ", bytes, " bytes asked for");
        const std::size_t size = rounded(bytes);
        {
            const std::lock_guard lock(mutex_);
            statistics_.in_use += size;
            if (const auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
                void* block = found->second.back();
                found->second.pop_back();
                statistics_.cached -= size;
                statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
                return block;
            }
        }
        void* block = std::aligned_alloc(alignment, size);
        if (block == nullptr) {
            release_cached();
            block = std::aligned_alloc(alignment, size);
        }
        const std::lock_guard lock(mutex_);
        if (block == nullptr) {
            statistics_.in_use -= size;
            fail("out of memory: ", size, " bytes asked for with ", statistics_.in_use,
                 " in use; use fewer frames, a smaller size or gradient checkpointing");
        }
        statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
        return block;
    }

    void deallocate(void* block, std::size_t bytes) noexcept {
        const std::size_t size = rounded(bytes);
        {
            const std::lock_guard lock(mutex_);
            statistics_.in_use -= size;
            if (statistics_.cached + size <= std::max(statistics_.peak / 4, minimum_cache)) {
                try {
                    free_[size].push_back(block);
                    statistics_.cached += size;
                    return;
                } catch (const std::bad_alloc&) { // then it is freed
                }
            }
        }
        std::free(block);
    }

    void release_cached() noexcept {
        const std::lock_guard lock(mutex_);
        for (auto& [size, blocks] : free_) {
            for (void* block : blocks) {
                std::free(block);
            }
            statistics_.cached -= size * blocks.size();
            blocks.clear();
        }
    }

    [[nodiscard]] MemoryStatistics statistics() const {
        const std::lock_guard lock(mutex_);
        return statistics_;
    }

    /// Starts a new measurement: the peak becomes what is in use now.
    void reset_peak() {
        const std::lock_guard lock(mutex_);
        statistics_.peak = statistics_.in_use;
    }

private:
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t minimum_cache = std::size_t{64} << 20;

    static std::size_t rounded(std::size_t bytes) {
        const std::size_t width = static_cast<std::size_t>(std::bit_width(bytes));
        // Large blocks are mostly weights, which nothing else will fit.
        const std::size_t parts = width > 21 ? 7 : 4;
        const std::size_t step = width > 9 ? std::size_t{1} << (width - parts) : alignment;
        return std::max(alignment, (bytes + step - 1) / step * step);
    }

    mutable std::mutex mutex_;
    std::map<std::size_t, std::vector<void*>> free_;
    MemoryStatistics statistics_;
};

} // namespace reel
