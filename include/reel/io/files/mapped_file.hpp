#pragma once
// Read-only memory maps. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/core/system/pages.hpp>
#include <reel/io/files/mapped_file_guard.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace reel {

/// A whole file mapped read-only. The map keeps the file's content alive when another file is renamed over it; a
/// file that is shortened in place while mapped ends the program, with a message that names it (see MappedFileGuard).
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
        if (data_ != nullptr) {
            guard_.emplace(data_, size_, path_.c_str());
        }
    }

    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    ~MappedFile() {
        guard_.reset();
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
    std::optional<detail::MappedFileGuard> guard_;
};

/// Hands the memory of a part of a memory-mapped file back to the system; it is read from the file again when needed.
/// Only for bytes of a MappedFile: other memory would lose its content.
inline void drop_mapped_pages(std::span<const std::byte> bytes) {
    detail::drop_file_pages(bytes);
}

/// Gives mapped bytes to `action` in pieces of 16 MiB and drops each from memory after its turn, so that going over a
/// large file once does not count as memory used.
template <class Action>
void for_each_piece(std::span<const std::byte> mapped, const Action& action) {
    constexpr std::size_t piece_size = std::size_t{16} << 20;
    while (!mapped.empty()) {
        const auto piece = mapped.first(std::min(mapped.size(), piece_size));
        action(piece);
        drop_mapped_pages(piece);
        mapped = mapped.subspan(piece.size());
    }
}

} // namespace reel
