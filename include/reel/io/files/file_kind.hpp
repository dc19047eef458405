#pragma once
// What a file's first bytes say it is. Needs no library.

#include <reel/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace reel {

/// What a file turns out to be, whatever its name.
enum class FileKind { empty, git_lfs_pointer, web_page, torch_zip, torch_legacy, safetensors, json, unknown };

namespace detail {

/// Unsigned little-endian integer at `offset`, which must be in range.
template <class T>
[[nodiscard]] T load_little(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

} // namespace detail

/// Tells weights files, and what is often found in their place, apart by content.
[[nodiscard]] inline FileKind file_kind(std::span<const std::byte> bytes) {
    const std::string_view head(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 256));
    if (head.empty()) {
        return FileKind::empty;
    }
    if (head.starts_with("version https://git-lfs") || head.starts_with("version https://hawser")) {
        return FileKind::git_lfs_pointer;
    }
    if (head.starts_with("PK\x03\x04")) {
        return FileKind::torch_zip;
    }
    // The pickled long 0x1950a86a20f9469cfc6c, with which torch.save began before version 1.6.
    if (head.starts_with(std::string_view("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14))) {
        return FileKind::torch_legacy;
    }
    if (head.size() > 8 && head[8] == '{' && detail::load_little<std::uint64_t>(bytes, 0) < (std::uint64_t{1} << 32)) {
        return FileKind::safetensors;
    }
    const std::size_t start = head.find_first_not_of(" \t\r\n");
    if (start != std::string_view::npos && head[start] == '<') {
        return FileKind::web_page;
    }
    if (start != std::string_view::npos && head[start] == '{') {
        return FileKind::json;
    }
    return FileKind::unknown;
}

/// Throws Error for files that are no weights at all, whatever was expected: empty, a git-lfs pointer, a web page.
inline void refuse_placeholder(std::span<const std::byte> bytes, const std::string& path) {
    const FileKind kind = file_kind(bytes);
    require(kind != FileKind::empty, path, ": the file is empty (an interrupted download?)");
    require(kind != FileKind::git_lfs_pointer, path,
            ": this is a git-lfs pointer, not the weights; run `git lfs pull` in its repository");
    require(kind != FileKind::web_page, path,
            ": this is a web page (HTML or XML), not the weights; download the file itself");
}

} // namespace reel
