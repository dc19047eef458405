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

/// Locks the temporary at `path`, for as long as the descriptor is open, against remove_stale_temporaries(). False when
/// that was faster: then the temporary is gone, or soon. Where the file system knows no locks nothing is removed,
/// either.
[[nodiscard]] inline bool lock_temporary(int descriptor, const std::filesystem::path& path) {
    const bool lost = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    struct ::stat locked {};
    struct ::stat named {};
    return !lost && ::fstat(descriptor, &locked) == 0 && ::lstat(path.c_str(), &named) == 0 &&
           locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
}

/// Holds the lock of a temporary when its own descriptor is closed already, until it has its final name.
class TemporaryLock {
public:
    explicit TemporaryLock(int descriptor) : copy_(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0)) {}
    TemporaryLock(const TemporaryLock&) = delete;
    TemporaryLock& operator=(const TemporaryLock&) = delete;
    ~TemporaryLock() {
        if (copy_ >= 0) {
            ::close(copy_);
        }
    }

private:
    int copy_;
};

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
