#pragma once

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

#include <reel/core/block_arena.hpp>
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
/// system cost more than most operations. Sizes are rounded up by an eighth at most, so that a block fits many
/// requests; from 64 KiB on to whole pages, since those share memory whatever their sizes. What is in use and what is
/// kept together are never more than 65/64 of the peak in use, or 64 MiB more than is in use. Thread-safe.
class MemoryPool {
public:
    explicit MemoryPool(BlockKind kind = BlockKind::memory) : kind_(kind), large_(kind == BlockKind::memory) {}
    MemoryPool(const MemoryPool&) = delete;
    MemoryPool& operator=(const MemoryPool&) = delete;
    ~MemoryPool() { release_cached(); }

    /// Throws Error when the system has no memory left.
    [[nodiscard]] void* allocate(std::size_t bytes) {
        require(bytes < std::numeric_limits<std::size_t>::max() / 2, "out of memory: ", bytes, " bytes asked for");
        const std::size_t size = rounded(bytes);
        const std::lock_guard lock(mutex_);
        void* block = size < large_size ? small_block(size) : large_.allocate(size);
        if (block == nullptr) {
            release();
            block = size < large_size ? small_block(size) : large_.allocate(size);
        }
        require(block != nullptr, "out of memory: ", size, " bytes asked for with ", statistics_.in_use,
                " in use; use fewer frames, a smaller size or gradient checkpointing");
        statistics_.in_use += size;
        note_peaks();
        return block;
    }

    void deallocate(void* block, std::size_t bytes) noexcept {
        const std::size_t size = rounded(bytes);
        const std::lock_guard lock(mutex_);
        statistics_.in_use -= size;
        // Room for gaps between blocks: without it, a tuning step gives half of its memory back, and takes it again.
        const std::size_t most = std::max(statistics_.peak + statistics_.peak / 64 - statistics_.in_use, minimum_cache);
        if (size < large_size) {
            keep_small(block, size, most);
        } else {
            large_.deallocate(block);
            large_.cool(most - std::min(most, small_cached_));
        }
        note_peaks();
    }

    void release_cached() noexcept {
        const std::lock_guard lock(mutex_);
        release();
        note_peaks();
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
        large_.forget_contents();
    }

private:
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t minimum_cache = std::size_t{64} << 20;

    static constexpr std::size_t large_size = std::size_t{64} << 10; ///< smaller blocks share pages

    // With the lock held.

    void note_peaks() noexcept {
        statistics_.cached = small_cached_ + large_.warm();
        statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
        statistics_.held_peak = std::max(statistics_.held_peak, statistics_.in_use + statistics_.cached);
    }

    /// A kept block or a new one, or null.
    [[nodiscard]] void* small_block(std::size_t size) {
        if (const auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
            void* block = found->second.back();
            found->second.pop_back();
            small_cached_ -= size;
            return block;
        }
        void* block = std::aligned_alloc(alignment, size);
        return block == nullptr || kind_ == BlockKind::memory ? block : std::memset(block, 0, size);
    }

    void keep_small(void* block, std::size_t size, std::size_t most) noexcept {
        if (small_cached_ + large_.warm() + size <= most) {
            try {
                free_[size].push_back(block);
                small_cached_ += size;
                return;
            } catch (const std::bad_alloc&) { // then it is freed
            }
        }
        std::free(block);
    }

    void release() noexcept {
        for (auto& [size, blocks] : free_) {
            for (void* block : blocks) {
                std::free(block);
            }
            small_cached_ -= size * blocks.size();
            blocks.clear();
        }
        large_.cool(0);
    }

    static std::size_t rounded(std::size_t bytes) {
        constexpr std::size_t page = 4096;
        const std::size_t width = static_cast<std::size_t>(std::bit_width(bytes));
        const std::size_t eighth = width > 9 ? std::size_t{1} << (width - 4) : alignment;
        const std::size_t step = std::min(eighth, page);
        return std::max(alignment, (bytes + step - 1) / step * step);
    }

    BlockKind kind_;
    mutable std::mutex mutex_;
    std::map<std::size_t, std::vector<void*>> free_;
    std::size_t small_cached_ = 0;
    BlockArena large_;
    MemoryStatistics statistics_;
};

} // namespace reel
