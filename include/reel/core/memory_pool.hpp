#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
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
    std::size_t cached = 0;    ///< freed, kept for reuse
    std::size_t held_peak = 0; ///< at most, of both together
};

/// What the blocks of a pool are.
enum class BlockKind {
    memory,
    /// Addresses that get memory, of zeros, page by page as they are written: a run that writes little counts what it
    /// would take, and takes little.
    addresses,
};

/// Host memory in 64-byte aligned blocks, kept after release and handed out again: fresh pages from the operating
/// system cost more than most operations. Sizes are rounded up by an eighth at most, from 2 MiB on by a sixty-fourth,
/// so a block fits many requests. Kept blocks never exceed a quarter of the peak, or 64 MiB. Thread-safe.
class MemoryPool {
public:
    explicit MemoryPool(BlockKind kind = BlockKind::memory) : kind_(kind) {}
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
                note_peaks();
                return block;
            }
        }
        void* block = obtain(size);
        if (block == nullptr) {
            release_cached();
            block = obtain(size);
        }
        const std::lock_guard lock(mutex_);
        if (block == nullptr) {
            statistics_.in_use -= size;
            fail("out of memory: ", size, " bytes asked for with ", statistics_.in_use,
                 " in use; use fewer frames, a smaller size or gradient checkpointing");
        }
        note_peaks();
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
                    note_peaks();
                    return;
                } catch (const std::bad_alloc&) { // then it is freed
                }
            }
            if (kind_ == BlockKind::addresses) {
                give_back(block, size);
                return;
            }
        }
        give_back(block, size);
    }

    void release_cached() noexcept {
        const std::lock_guard lock(mutex_);
        for (auto& [size, blocks] : free_) {
            for (void* block : blocks) {
                give_back(block, size);
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
        statistics_.held_peak = statistics_.in_use + statistics_.cached;
    }

    /// Of addresses: gives the memory back that writing to them has taken; they hold zeros again. Small blocks keep
    /// what they hold.
    void forget_contents() noexcept {
        const std::lock_guard lock(mutex_);
        for (const auto& [block, size] : mapped_) {
            ::madvise(block, size, MADV_DONTNEED);
        }
    }

private:
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t minimum_cache = std::size_t{64} << 20;

    static constexpr std::size_t mapped_size = std::size_t{64} << 10; ///< smaller blocks share pages

    void note_peaks() {
        statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
        statistics_.held_peak = std::max(statistics_.held_peak, statistics_.in_use + statistics_.cached);
    }

    /// A new block, or null.
    [[nodiscard]] void* obtain(std::size_t size) {
        if (kind_ == BlockKind::memory) {
            return std::aligned_alloc(alignment, size);
        }
        if (size < mapped_size) {
            void* block = std::aligned_alloc(alignment, size);
            return block == nullptr ? nullptr : std::memset(block, 0, size);
        }
        constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* block = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (block == MAP_FAILED) {
            return nullptr;
        }
        const std::lock_guard lock(mutex_);
        mapped_.emplace(block, size);
        return block;
    }

    /// Gives a block back to the system; of addresses the lock is held.
    void give_back(void* block, std::size_t size) noexcept {
        if (kind_ == BlockKind::memory || size < mapped_size) {
            std::free(block);
            return;
        }
        mapped_.erase(block);
        ::munmap(block, size);
    }

    static std::size_t rounded(std::size_t bytes) {
        const std::size_t width = static_cast<std::size_t>(std::bit_width(bytes));
        // Large blocks are mostly weights, which nothing else will fit.
        const std::size_t parts = width > 21 ? 7 : 4;
        const std::size_t step = width > 9 ? std::size_t{1} << (width - parts) : alignment;
        return std::max(alignment, (bytes + step - 1) / step * step);
    }

    BlockKind kind_;
    mutable std::mutex mutex_;
    std::map<std::size_t, std::vector<void*>> free_;
    std::map<void*, std::size_t> mapped_; ///< blocks that are addresses
    MemoryStatistics statistics_;
};

} // namespace reel
