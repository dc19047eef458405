#pragma once
// Temporary files and folders beside what they will become, and what killed runs leave of them. Needs POSIX; no other
// library.

#include <reel/core/error.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <ios>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace reel {

namespace detail {

inline constexpr std::string_view temporary_prefix = ".reel-";

/// A name in `folder` that nobody has yet, with this ending.
[[nodiscard]] inline std::filesystem::path temporary_path_in(const std::filesystem::path& folder,
                                                             std::string_view ending) {
    static std::atomic<std::uint64_t> counter{std::random_device{}()};
    return folder / concat_text(temporary_prefix, ::getpid(), "-", std::hex, counter++, ending);
}

/// Locks a temporary, for as long as the descriptor is open, against remove_stale_temporaries(). False when that was
/// faster: then the temporary is gone, or soon. Where the file system knows no locks nothing is removed, either.
[[nodiscard]] inline bool lock_temporary(int descriptor) {
    struct ::stat status {};
    const bool lost = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    return !lost && ::fstat(descriptor, &status) == 0 && status.st_nlink != 0;
}

} // namespace detail

/// Removes what processes that are gone left of their AtomicFiles and AtomicFolders in `folder`. One that is being
/// written is locked by its process, on another machine too, and stays; so does everything where that cannot be told.
inline void remove_stale_temporaries(const std::filesystem::path& folder) {
    std::error_code ignored;
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        if (entry.path().filename().string().starts_with(detail::temporary_prefix)) {
            found.push_back(entry.path());
        }
    }
    for (const auto& path : found) {
        const int descriptor = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (descriptor < 0) {
            continue;
        }
        struct ::stat status {};
        const bool ours = ::fstat(descriptor, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
        if (ours && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
            std::filesystem::remove_all(path, ignored);
        }
        ::close(descriptor);
    }
}

} // namespace reel
