#pragma once

#include <reel/core/system/pages.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <new>
#include <set>
#include <utility>
#include <vector>

namespace reel {

/// Large blocks, cut from ranges of addresses that are reserved once: a free block is joined with its free neighbours,
/// so that blocks of any sizes follow each other in the same memory. What is free keeps its pages until it is cooled.
/// Blocks are as far apart as their sizes say, so sizes are to be multiples of the alignment. Not thread-safe.
class BlockArena {
public:
    /// `huge_pages`: asks the system for pages of 2 MiB, which processors look up faster. A page is then taken whole
    /// when a part of it is written.
    explicit BlockArena(bool huge_pages) : huge_pages_(huge_pages) {}
    BlockArena(const BlockArena&) = delete;
    BlockArena& operator=(const BlockArena&) = delete;
    ~BlockArena() {
        for (const Range& range : ranges_) {
            detail::release_addresses(range.begin, range.size);
        }
    }

    /// `size` bytes: the beginning of the first free block that is large enough, so that what stays gathers at one end
    /// and leaves wide gaps at the other; null where there is no memory for it.
    [[nodiscard]] void* allocate(std::size_t size) {
        try {
            auto fits = first_fit(size);
            if (fits == free_.end()) {
                if (!reserve(size)) {
                    return nullptr;
                }
                fits = first_fit(size);
            }
            const auto at = chunks_.find(fits->second);
            if (!make_usable(at->first + size)) {
                return nullptr;
            }
            if (at->second.size > size) {
                const std::size_t warm = at->second.warm - std::min(at->second.warm, size);
                const Chunk rest{at->second.size - size, warm, true};
                const auto made = chunks_.emplace(at->first + size, rest).first;
                try {
                    free_.emplace(rest.size, made->first);
                } catch (...) {
                    chunks_.erase(made);
                    throw;
                }
                at->second.warm -= warm;
            }
            free_.erase(fits);
            warm_ -= at->second.warm;
            at->second = {size, 0, false};
            return at->first;
        } catch (const std::bad_alloc&) {
            return nullptr;
        }
    }

    /// Takes back a block that allocate() gave.
    void deallocate(void* block) noexcept {
        auto at = chunks_.find(static_cast<std::byte*>(block));
        at->second.free = true;
        at->second.warm = at->second.size;
        warm_ += at->second.size;
        if (const auto next = std::next(at); next != chunks_.end() && joins(at, next)) {
            forget(next);
            join(at, next);
        }
        if (at != chunks_.begin() && joins(std::prev(at), at)) {
            const auto before = std::prev(at);
            forget(before);
            join(before, at);
            at = before;
        }
        try {
            free_.emplace(at->second.size, at->first);
        } catch (const std::bad_alloc&) { // then it is found when a neighbour is freed
        }
    }

    /// Bytes of free blocks that may have pages.
    [[nodiscard]] std::size_t warm() const { return warm_; }

    /// Gives pages of free blocks back to the system, the largest blocks' first, until warm() is `most` at most.
    void cool(std::size_t most) noexcept {
        for (auto found = free_.rbegin(); found != free_.rend() && warm_ > most; ++found) {
            Chunk& chunk = chunks_.find(found->second)->second;
            // Its beginning is used first. Huge pages are given back whole.
            std::byte* const end = found->second + (chunk.warm - std::min(chunk.warm, warm_ - most));
            std::byte* const from = std::max(found->second, end - reinterpret_cast<std::uintptr_t>(end) % step);
            const auto kept = static_cast<std::size_t>(from - found->second);
            forget_contents(from, found->second + chunk.size);
            warm_ -= chunk.warm - kept;
            chunk.warm = kept;
        }
    }

    /// Gives the pages of all blocks back, of those in use too, which hold zeros then.
    void forget_contents() noexcept {
        for (const Range& range : ranges_) {
            forget_contents(range.begin, range.begin + range.size);
        }
    }

private:
    struct Chunk {
        std::size_t size;
        std::size_t warm; ///< of a free one: how much of it may have pages
        bool free;
    };
    using Chunks = std::map<std::byte*, Chunk>;
    using Free = std::set<std::pair<std::size_t, std::byte*>>;

    struct Range {
        std::byte* begin;
        std::size_t size;
        std::size_t usable; ///< from the beginning; the rest is but reserved
    };

    [[nodiscard]] Range& range_of(const std::byte* address) {
        return *std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& range) {
            return range.begin <= address && address < range.begin + range.size;
        });
    }

    /// Of lowest address; of the few that are large enough.
    [[nodiscard]] Free::iterator first_fit(std::size_t size) {
        return std::min_element(free_.lower_bound({size, nullptr}), free_.end(),
                                [](const auto& a, const auto& b) { return a.second < b.second; });
    }

    /// Two chunks, one after the other: both free, and of one range.
    [[nodiscard]] bool joins(Chunks::iterator first, Chunks::iterator second) {
        return first->second.free && second->second.free && first->first + first->second.size == second->first &&
               &range_of(first->first) == &range_of(second->first);
    }

    void join(Chunks::iterator first, Chunks::iterator second) {
        first->second.size += second->second.size;
        first->second.warm += second->second.warm;
        chunks_.erase(second);
    }

    void forget(Chunks::iterator chunk) { free_.erase({chunk->second.size, chunk->first}); }

    /// Of one range. Pages that are shared with others stay.
    void forget_contents(std::byte* begin, std::byte* end) noexcept {
        const Range& range = range_of(begin);
        const std::size_t page = detail::page_size();
        const auto from = (static_cast<std::size_t>(begin - range.begin) + page - 1) / page * page;
        const auto to = std::min(static_cast<std::size_t>(end - range.begin), range.usable) / page * page;
        if (from < to) {
            detail::forget_pages(range.begin + from, to - from);
        }
    }

    /// Reserves addresses, many more than are asked for: they cost nothing.
    [[nodiscard]] bool reserve(std::size_t size) {
        const std::size_t least = (size + step - 1) / step * step;
        std::size_t much = std::max(least, usual_range);
        void* begin = detail::reserve_addresses(much + step);
        for (; begin == nullptr && much > least; begin = detail::reserve_addresses(much + step)) {
            much = std::max(least, much / 2 / step * step);
        }
        if (begin == nullptr) {
            return false;
        }
        const std::size_t before = step - reinterpret_cast<std::uintptr_t>(begin) % step;
        auto* const bytes = static_cast<std::byte*>(begin) + before;
        detail::release_addresses(begin, before);
        detail::release_addresses(bytes + much, step - before);
        if (huge_pages_) {
            detail::prefer_huge_pages(bytes, much);
        }
        try {
            ranges_.push_back({bytes, much, 0});
            chunks_.emplace(bytes, Chunk{much, 0, true});
            free_.emplace(much, bytes);
        } catch (const std::bad_alloc&) {
            chunks_.erase(bytes);
            std::erase_if(ranges_, [&](const Range& range) { return range.begin == bytes; });
            detail::release_addresses(bytes, much);
            throw;
        }
        return true;
    }

    [[nodiscard]] bool make_usable(const std::byte* end) {
        Range& range = range_of(end - 1);
        const auto wanted = (static_cast<std::size_t>(end - range.begin) + step - 1) / step * step;
        if (wanted > range.usable) {
            if (!detail::make_usable(range.begin + range.usable, wanted - range.usable)) {
                return false;
            }
            range.usable = wanted;
        }
        return true;
    }

    static constexpr std::size_t usual_range = std::size_t{1} << 38;
    static constexpr std::size_t step = std::size_t{2} << 20; ///< a huge page; a multiple of all others

    bool huge_pages_;
    std::vector<Range> ranges_;
    Chunks chunks_;
    Free free_; ///< by size
    std::size_t warm_ = 0;
};

} // namespace reel
