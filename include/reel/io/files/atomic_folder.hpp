#pragma once
// Folders that appear complete or not at all. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace reel {

/// Makes a folder under a temporary name beside its final one and renames it when complete: a folder of that name is
/// either the old one or whole. The destructor removes what was not committed.
class AtomicFolder {
public:
    explicit AtomicFolder(std::filesystem::path path)
        : path_(std::move(path)), temporary_(path_.parent_path() / ("." + path_.filename().string() + "." +
                                                                    std::to_string(::getpid()) + ".tmp")) {
        std::error_code ignored;
        std::filesystem::remove_all(temporary_, ignored);
        make_output_folder(temporary_);
    }
    AtomicFolder(const AtomicFolder&) = delete;
    AtomicFolder& operator=(const AtomicFolder&) = delete;
    ~AtomicFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(temporary_, ignored);
    }

    [[nodiscard]] const std::filesystem::path& path() const { return temporary_; }

    void commit() {
        std::error_code error;
        std::filesystem::remove_all(path_, error);
        std::filesystem::rename(temporary_, path_, error);
        require(!error, "cannot rename ", temporary_.string(), " to ", path_.string(), ": ", error.message());
    }

private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
};

/// Copies a file byte by byte through AtomicFile's checks.
inline void copy_file_atomically(const std::filesystem::path& from, const std::filesystem::path& to) {
    const MappedFile source(from);
    AtomicFile target(to);
    target.write(source.bytes());
    target.commit();
}

} // namespace reel
