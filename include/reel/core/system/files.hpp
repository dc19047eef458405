#pragma once
// Files, beyond what the standard library and POSIX know of them. Needs POSIX; no other library.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>

namespace reel::detail {

/// Swaps two names in one step; false where that is not possible, and then both are as they were.
[[nodiscard]] inline bool exchange_names([[maybe_unused]] const std::filesystem::path& a,
                                         [[maybe_unused]] const std::filesystem::path& b) {
#if defined(REEL_PLAIN_POSIX)
    return false;
#elif defined(__GLIBC__) && defined(RENAME_EXCHANGE)
    return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
#elif defined(__APPLE__) && defined(RENAME_SWAP)
    return ::renamex_np(a.c_str(), b.c_str(), RENAME_SWAP) == 0;
#else
    return false;
#endif
}

/// Waits until the disk has what was written to a file or a folder: true when it has. On macOS fsync() leaves it in the
/// disk's own cache.
inline bool sync_to_disk(int descriptor) {
#if defined(F_FULLFSYNC) && !defined(REEL_PLAIN_POSIX)
    if (::fcntl(descriptor, F_FULLFSYNC) == 0) {
        return true;
    }
#endif
    return ::fsync(descriptor) == 0;
}

/// When a file's content, and when anything about it, changed.
struct FileTimes {
    timespec modified;
    timespec changed;
};
[[nodiscard]] inline FileTimes file_times(const struct ::stat& status) {
#if defined(__APPLE__)
    return {status.st_mtimespec, status.st_ctimespec};
#else
    return {status.st_mtim, status.st_ctim};
#endif
}

} // namespace reel::detail
