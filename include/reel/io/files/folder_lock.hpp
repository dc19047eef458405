#pragma once
// One run in a folder at a time. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/core/system/process.hpp>
#include <reel/io/files/atomic_file.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string>
#include <utility>

namespace reel {

/// Holds a folder that a program writes into, until it is destroyed or the process ends in any way: a second run there
/// would mix its files with the first one's.
///
///     const FolderLock lock("out"); // Error: cannot write into out: tune_video is at work there (process 4711 on ...
///
/// The lock is advisory (flock) and on a file in the folder, .reel.lock, which goes when it is given back and means
/// nothing where a killed process has left it. Where the file system knows no locks every run gets one.
class FolderLock {
public:
    static constexpr const char* file_name = ".reel.lock";

    /// Makes the folder where there is none. Throws Error that says who holds it, or why nothing can be written there.
    explicit FolderLock(const std::filesystem::path& folder) : file_(folder / file_name) {
        make_output_folder(folder);
        while (descriptor_ < 0) {
            descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
            const int reason = descriptor_ < 0 ? errno : 0;
            require(descriptor_ >= 0, "cannot write into folder ", folder.string(), ": ", std::strerror(reason),
                    " (opening ", file_name, ")");
            if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
                const std::string holder = read();
                ::close(std::exchange(descriptor_, -1));
                fail("cannot write into folder ", folder.string(), ": ", holder.empty() ? "another program" : holder,
                     "; wait until it has ended, or write into another folder");
            }
            struct ::stat status {};
            if (::fstat(descriptor_, &status) == 0 && status.st_nlink == 0) {
                ::close(std::exchange(descriptor_, -1)); // given back, and removed, just before
            }
        }
        write();
    }
    FolderLock(FolderLock&& other) noexcept
        : file_(std::move(other.file_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
    FolderLock& operator=(FolderLock&&) = delete;
    ~FolderLock() {
        if (descriptor_ >= 0) {
            ::unlink(file_.c_str()); // while it is held: who waits for the name finds that it is no longer this file
            ::close(descriptor_);
        }
    }

    /// The folder.
    [[nodiscard]] std::filesystem::path folder() const { return file_.parent_path(); }

private:
    /// What the holder wrote.
    [[nodiscard]] std::string read() const {
        std::array<char, 400> text{};
        const ssize_t size = ::pread(descriptor_, text.data(), text.size() - 1, 0);
        return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    }

    /// For those who find it held. Of no use to anybody else, so that it may fail.
    void write() const {
        std::array<char, 256> host{};
        static_cast<void>(::gethostname(host.data(), host.size() - 1));
        const std::time_t now = std::time(nullptr);
        std::tm parts{};
        ::gmtime_r(&now, &parts);
        std::array<char, 32> since{};
        std::strftime(since.data(), since.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
        const std::string text = concat_text(program_name(), " is at work there (process ", ::getpid(), " on ",
                                             host.data(), ", since ", since.data(), ")");
        static_cast<void>(!::ftruncate(descriptor_, 0) && ::pwrite(descriptor_, text.data(), text.size(), 0) > 0);
    }

    std::filesystem::path file_;
    int descriptor_ = -1;
};

} // namespace reel
