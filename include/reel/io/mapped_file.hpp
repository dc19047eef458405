#pragma once
// Read-only memory maps. Needs POSIX; no other library.

#include <reel/core/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace reel {

/// A whole file mapped read-only. The map keeps the file's content alive when another file is renamed over it; a
/// file that is shortened in place while mapped ends the program (SIGBUS), as with every memory map.
class MappedFile {
public:
    /// Throws Error when the file is missing, unreadable or not a regular file. An empty file is allowed.
    explicit MappedFile(const std::filesystem::path& path) : path_(path.string()) {
        const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not block
        require(descriptor >= 0, "cannot read ", path_, ": ", std::strerror(errno));
        struct ::stat status {};
        const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
        void* address = nullptr;
        int reason = 0;
        if (regular && status.st_size > 0) {
            size_ = static_cast<std::size_t>(status.st_size);
            address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
            reason = errno;
        }
        ::close(descriptor);
        require(regular, "cannot read ", path_, ": it is not a regular file");
        require(address != MAP_FAILED, "cannot read ", path_, ": ", std::strerror(reason));
        data_ = static_cast<const std::byte*>(address);
    }

    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    ~MappedFile() {
        if (data_ != nullptr) {
            ::munmap(const_cast<std::byte*>(data_), size_);
        }
    }

    [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
    [[nodiscard]] std::size_t size() const { return size_; }

    /// The path as given, for messages.
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace reel
