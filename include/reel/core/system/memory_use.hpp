#pragma once
// How much memory there is, and how much of it this process has. Needs POSIX; no other library.

#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <optional>

#if !defined(REEL_PLAIN_POSIX)
#if defined(__GLIBC__)
#include <malloc.h>
#elif defined(__APPLE__)
#include <mach/mach.h>
#include <malloc/malloc.h>
#endif
#endif

namespace reel {

/// Most bytes of memory that this process had in use (resident, mapped files included) since it began or since
/// reset_peak_resident_bytes().
[[nodiscard]] inline std::size_t peak_resident_bytes() {
#if defined(__APPLE__)
    constexpr std::size_t unit = 1;
#else
    constexpr std::size_t unit = 1024; // Linux and the BSDs
#endif
    rusage usage{};
    return ::getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<std::size_t>(usage.ru_maxrss) * unit : 0;
}

/// Bytes that this process has in use now; 0 where the system does not say (Linux and macOS do).
[[nodiscard]] inline std::size_t resident_bytes() {
#if defined(REEL_PLAIN_POSIX)
    return 0;
#elif defined(__APPLE__)
    mach_task_basic_info_data_t info{};
    mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
    const auto asked =
        ::task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count);
    return asked == KERN_SUCCESS ? static_cast<std::size_t>(info.resident_size) : 0;
#else
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) {
        return 0;
    }
    std::size_t pages = 0;
    const bool read = std::fscanf(file, "%*u %zu", &pages) == 1;
    std::fclose(file);
    return read ? pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) : 0;
#endif
}

/// Starts a new measurement of peak_resident_bytes(). Says whether the system allows it (Linux with a writable
/// /proc/self/clear_refs).
inline bool reset_peak_resident_bytes() {
#if defined(REEL_PLAIN_POSIX)
    return false;
#else
    std::FILE* file = std::fopen("/proc/self/clear_refs", "w");
    if (file == nullptr) {
        return false;
    }
    const bool written = std::fputs("5", file) >= 0; // 5: reset the resident peak, proc(5)
    return (std::fclose(file) == 0) && written;
#endif
}

/// Bytes of memory that the machine has; nothing where the system does not say.
[[nodiscard]] inline std::optional<std::size_t> total_memory() {
#if defined(_SC_PHYS_PAGES) && !defined(REEL_PLAIN_POSIX)
    const long pages = ::sysconf(_SC_PHYS_PAGES);
    if (pages > 0) {
        return static_cast<std::size_t>(pages) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    }
#endif
    return std::nullopt;
}

/// Hands memory that was freed, and that the allocator still keeps, back to the system, where it can be asked to.
inline void trim_heap() {
#if defined(REEL_PLAIN_POSIX)
#elif defined(__GLIBC__)
    ::malloc_trim(0);
#elif defined(__APPLE__)
    ::malloc_zone_pressure_relief(nullptr, 0);
#endif
}

namespace detail {

/// Bytes that the machine has free or can free at once, without what Linux tells in /proc/meminfo; nothing where the
/// system does not say.
[[nodiscard]] inline std::optional<std::size_t> free_memory() {
#if defined(REEL_PLAIN_POSIX)
#elif defined(__APPLE__)
    vm_statistics64_data_t pages{};
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    const auto asked =
        ::host_statistics64(mach_host_self(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages), &count);
    if (asked == KERN_SUCCESS) {
        return (std::size_t{pages.free_count} + pages.inactive_count) *
               static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    }
#elif defined(_SC_AVPHYS_PAGES)
    const long pages = ::sysconf(_SC_AVPHYS_PAGES);
    if (pages > 0) {
        return static_cast<std::size_t>(pages) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    }
#endif
    return std::nullopt;
}

} // namespace detail

} // namespace reel
