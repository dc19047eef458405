#pragma once
// Addresses, and the pages of memory behind them. Needs POSIX; no other library.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace reel::detail {

/// Bytes of a page: 4 KiB on most processors, 16 KiB on Apple's.
[[nodiscard]] inline std::size_t page_size() {
    static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

/// Addresses without memory, which cost nothing until make_usable(); null where there are no more.
[[nodiscard]] inline void* reserve_addresses(std::size_t size) {
    int kind = MAP_PRIVATE | MAP_ANONYMOUS;
#if defined(MAP_NORESERVE) && !defined(REEL_PLAIN_POSIX)
    kind |= MAP_NORESERVE; // else Linux may count them as memory that is promised
#endif
    void* const begin = ::mmap(nullptr, size, PROT_NONE, kind, -1, 0);
    return begin == MAP_FAILED ? nullptr : begin;
}

/// Gives whole pages of reserved addresses back.
inline void release_addresses(void* begin, std::size_t size) noexcept {
    ::munmap(begin, size);
}

/// Lets whole pages of reserved addresses be written. False where the system has no memory for them.
[[nodiscard]] inline bool make_usable(void* begin, std::size_t size) noexcept {
    return ::mprotect(begin, size, PROT_READ | PROT_WRITE) == 0;
}

/// Asks for pages that processors look up faster. No matter where there are none.
inline void prefer_huge_pages([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t size) noexcept {
#if defined(MADV_HUGEPAGE) && !defined(REEL_PLAIN_POSIX)
    ::madvise(begin, size, MADV_HUGEPAGE);
#endif
}

/// Gives the memory of whole usable pages back. They hold zeros then, and stay usable.
inline void forget_pages(void* begin, std::size_t size) noexcept {
#if defined(__linux__) && !defined(REEL_PLAIN_POSIX)
    if (::madvise(begin, size, MADV_DONTNEED) == 0) { // elsewhere the old content may come back
        return;
    }
#endif
    constexpr int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED; // new pages in the place of the old ones
    if (::mmap(begin, size, PROT_READ | PROT_WRITE, kind, -1, 0) == MAP_FAILED) {
        std::memset(begin, 0, size);
    }
}

/// Lets the system take the memory of a part of a mapped file; it is read from the file again when needed.
inline void drop_file_pages(std::span<const std::byte> bytes) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
    const std::uintptr_t begin = (address + page_size() - 1) / page_size() * page_size();
    const std::uintptr_t end = (address + bytes.size()) / page_size() * page_size();
    if (begin < end) {
#if defined(MADV_DONTNEED) && !defined(REEL_PLAIN_POSIX)
        ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
#else
        ::posix_madvise(reinterpret_cast<void*>(begin), end - begin, POSIX_MADV_DONTNEED);
#endif
    }
}

} // namespace reel::detail
