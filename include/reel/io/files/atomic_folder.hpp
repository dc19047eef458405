#pragma once
// Folders that appear complete or not at all. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/core/system/files.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/files/temporaries.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace reel {

/// How an AtomicFolder takes the place of an older one.
enum class FolderExchange {
    atomic, ///< in one step, where the system can (Linux 3.15 and macOS 10.12, with most of their file systems); else
            ///< as `renames`
    renames ///< the old one aside, then the new one into place: between the two, recover_folder() finds the old one
};

namespace detail {

/// Where the older folder lies while another takes its place in two steps.
[[nodiscard]] inline std::filesystem::path folder_aside(const std::filesystem::path& path) {
    return path.parent_path() / ("." + path.filename().string() + ".old");
}

} // namespace detail

/// Throws Error where something that is no folder has this name, so that none can get it.
inline void require_folder_name(const std::filesystem::path& path) {
    std::error_code ignored;
    require(!std::filesystem::exists(path, ignored) || std::filesystem::is_directory(path, ignored),
            "cannot create folder ", path.string(), ": a file of that name is in the way");
}

/// Puts a folder back that a killed process had moved aside to replace it in two steps. Does nothing when there is a
/// folder of that name.
inline void recover_folder(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
        std::filesystem::rename(detail::folder_aside(path), path, ignored);
    }
}

/// Makes a folder under a temporary name beside its final one and renames it when complete: a folder of that name is
/// either the old one or whole, at every moment. The destructor removes what was not committed; what a killed process
/// left goes when the next folder is made there.
class AtomicFolder {
public:
    /// Throws Error when `path` is something other than a folder, or no folder can be made beside it.
    explicit AtomicFolder(std::filesystem::path path, FolderExchange exchange = FolderExchange::atomic)
        : path_(std::move(path)), exchange_(exchange) {
        const std::filesystem::path parent = path_.has_parent_path() ? path_.parent_path() : ".";
        make_output_folder(parent);
        recover_folder(path_);
        require_folder_name(path_);
        for (int attempt = 0; attempt < 100 && lock_ < 0; ++attempt) {
            temporary_ = detail::temporary_path_in(parent, ".tmp");
            if (::mkdir(temporary_.c_str(), 0777) == 0) {
                lock_ = ::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            }
            // Another process that tidies up may have been faster; then another name is tried.
            require(lock_ >= 0 || errno == EEXIST || errno == ENOENT, "cannot create folder ", temporary_.string(),
                    ": ", std::strerror(errno));
            if (lock_ >= 0 && !detail::lock_temporary(lock_, temporary_)) {
                ::close(std::exchange(lock_, -1));
            }
        }
        require(lock_ >= 0, "cannot create folder ", temporary_.string(), ": no name was free");
    }
    AtomicFolder(const AtomicFolder&) = delete;
    AtomicFolder& operator=(const AtomicFolder&) = delete;
    ~AtomicFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(temporary_, ignored);
        ::close(lock_);
    }

    [[nodiscard]] const std::filesystem::path& path() const { return temporary_; }

    /// Gives the folder its name. Throws Error when that fails; then the old folder is there as it was.
    void commit() {
        std::error_code error;
        detail::sync_to_disk(lock_); // not every file system can
        const bool replaces = std::filesystem::exists(std::filesystem::symlink_status(path_, error));
        if (!replaces) {
            std::filesystem::rename(temporary_, path_, error);
        } else if (exchange_ == FolderExchange::renames || !detail::exchange_names(temporary_, path_)) {
            replace_by_renames(error);
        }
        require(!error, "cannot rename ", temporary_.string(), " to ", path_.string(), ": ", error.message());
        std::filesystem::remove_all(temporary_, error); // after an exchange, the old one
        sync_parent();
    }

private:
    void replace_by_renames(std::error_code& error) {
        const std::filesystem::path aside = detail::folder_aside(path_);
        std::filesystem::remove_all(aside, error);
        std::filesystem::rename(path_, aside, error);
        if (error) {
            return;
        }
        std::filesystem::rename(temporary_, path_, error);
        std::error_code ignored;
        if (error) {
            std::filesystem::rename(aside, path_, ignored);
        } else {
            std::filesystem::remove_all(aside, ignored);
        }
    }

    /// Makes the new name survive a crash. Not every file system can, so a failure is no error.
    void sync_parent() const {
        const std::filesystem::path parent = path_.has_parent_path() ? path_.parent_path() : ".";
        const int descriptor = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (descriptor >= 0) {
            detail::sync_to_disk(descriptor);
            ::close(descriptor);
        }
    }

    std::filesystem::path path_;
    FolderExchange exchange_;
    std::filesystem::path temporary_;
    int lock_ = -1;
};

/// Copies a file byte by byte through AtomicFile's checks.
inline void copy_file_atomically(const std::filesystem::path& from, const std::filesystem::path& to) {
    const MappedFile source(from);
    AtomicFile target(to);
    target.write(source.bytes());
    target.commit();
}

} // namespace reel
