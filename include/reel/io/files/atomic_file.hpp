#pragma once
// Files appear complete or not at all. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/core/system/files.hpp>
#include <reel/io/files/temporaries.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

/// Creates `folder` and its missing parents, and checks that files can be made in it. Temporaries that killed processes
/// left there are removed.
/// Throws Error when it exists as something else or cannot be created or written.
inline void make_output_folder(const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    std::error_code ignored;
    require(std::filesystem::is_directory(folder, ignored), "cannot create folder ", folder.string(), ": ",
            error ? error.message() : "a file of that name is in the way");
    // Not in one call: the order in which arguments are evaluated is not defined.
    const int reason = ::access(folder.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
    require(reason == 0, "cannot write into folder ", folder.string(), ": ", std::strerror(reason));
    remove_stale_temporaries(folder);
}

/// Writes a file under a temporary name beside its final one; commit() makes it permanent and renames it.
/// Without commit(), the destructor removes the temporary and leaves an older file of that name untouched.
///
///     AtomicFile file("losses.csv");
///     file.write("step,loss\n");
///     file.commit();
///
/// A library that insists on opening files itself is given temporary_path(), which keeps the extension; it must
/// truncate and write that file and close it before commit(). Every failure, a full disk included, throws Error
/// naming the final path.
class AtomicFile {
public:
    explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
        require(path_.has_filename(), "cannot write ", path_.string(), ": the path names no file");
        const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
        std::error_code error;
        require(std::filesystem::is_directory(folder, error), "cannot write ", path_.string(), ": folder ",
                folder.string(), " does not exist");
        // Renaming over a folder fails late, and renaming over a device such as /dev/null would replace it.
        const auto status = std::filesystem::status(path_, error);
        require(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), "cannot write ",
                path_.string(), ": it exists and is not a regular file");
        open_temporary(folder);
    }

    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    ~AtomicFile() { discard(); }

    /// The file being written, in the same folder and with the same extension as the final one.
    [[nodiscard]] const std::filesystem::path& temporary_path() const { return temporary_; }

    /// The final path.
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    /// Appends bytes. Small pieces are gathered.
    void write(std::span<const std::byte> bytes) {
        if (buffer_.size() + bytes.size() > buffer_limit) {
            flush();
        }
        if (bytes.size() >= buffer_limit) {
            write_through(bytes);
        } else {
            buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
        }
    }

    /// Appends text.
    void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

    /// Flushes everything to the disk and gives the file its final name. Call once, last.
    void commit() {
        require(descriptor_ >= 0, "cannot write ", path_.string(), ": commit() was called twice or after a failure");
        flush();
        if (!detail::sync_to_disk(descriptor_)) {
            give_up("flushing to the disk");
        }
        const detail::TemporaryLock lock(descriptor_);
        // Some file systems (NFS) report a full disk only here.
        if (::close(std::exchange(descriptor_, -1)) != 0) {
            give_up("closing");
        }
        if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
            give_up("renaming into place");
        }
        temporary_.clear();
        sync_folder();
    }

private:
    static constexpr std::size_t buffer_limit = std::size_t{1} << 18;

    void open_temporary(const std::filesystem::path& folder) {
        const std::string extension = path_.extension().string();
        for (int attempt = 0; attempt < 100; ++attempt) {
            temporary_ = detail::temporary_path_in(folder, extension);
            descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            if (descriptor_ >= 0 && detail::lock_temporary(descriptor_, temporary_)) {
                return;
            }
            if (descriptor_ >= 0) {
                ::close(std::exchange(descriptor_, -1));
            } else if (errno != EEXIST) {
                break;
            }
        }
        const int reason = errno;
        temporary_.clear();
        fail("cannot write ", path_.string(), ": ", std::strerror(reason), " (creating a file in ", folder.string(),
             ")");
    }

    void flush() {
        write_through(buffer_);
        buffer_.clear();
    }

    void write_through(std::span<const std::byte> bytes) {
        require(descriptor_ >= 0, "cannot write ", path_.string(), ": the file was already committed or abandoned");
        while (!bytes.empty()) {
            // One call writes at most 2 GiB on Linux.
            const std::size_t piece = std::min(bytes.size(), std::size_t{1} << 30);
            const ssize_t written = ::write(descriptor_, bytes.data(), piece);
            if (written < 0 && errno == EINTR) {
                continue;
            }
            if (written <= 0) {
                give_up("writing");
            }
            bytes = bytes.subspan(static_cast<std::size_t>(written));
        }
    }

    [[noreturn]] void give_up(std::string_view doing) {
        const int reason = errno;
        discard();
        fail("cannot write ", path_.string(), ": ", std::strerror(reason), " (", doing,
             "; the partial file was removed)");
    }

    void discard() noexcept {
        if (descriptor_ >= 0) {
            ::close(std::exchange(descriptor_, -1));
        }
        if (!temporary_.empty()) {
            ::unlink(temporary_.c_str());
            temporary_.clear();
        }
    }

    /// Makes the new name survive a crash. Not every file system can, so a failure is no error.
    void sync_folder() const {
        const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
        const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (descriptor >= 0) {
            detail::sync_to_disk(descriptor);
            ::close(descriptor);
        }
    }

    std::filesystem::path path_;
    std::filesystem::path temporary_;
    std::vector<std::byte> buffer_;
    int descriptor_ = -1;
};

/// Writes a whole file at once. See AtomicFile.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

} // namespace reel
