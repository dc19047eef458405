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
enum class FileKind {
    empty,
    git_lfs_pointer,
    web_page,
    picture,
    video,
    archive, ///< 7z, RAR or xz
    gguf,
    torch_zip,
    torch_legacy,
    safetensors,
    json,
    unknown
};

namespace detail {

/// Unsigned little-endian integer at `offset`, which must be in range.
template <class T>
[[nodiscard]] T load_little(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

} // namespace detail

namespace detail {

/// "PNG", or nothing.
[[nodiscard]] inline std::string_view picture_format(std::string_view head) {
    const bool riff = head.starts_with("RIFF") && head.size() >= 12;
    return head.starts_with("\x89PNG")                                                   ? "PNG"
           : head.starts_with("\xff\xd8\xff")                                            ? "JPEG"
           : head.starts_with("GIF8")                                                    ? "GIF"
           : riff && head.substr(8).starts_with("WEBP")                                  ? "WebP"
           : head.starts_with("BM") && head.size() >= 26 && head[6] == 0 && head[8] == 0 ? "BMP"
                                                                                         : "";
}

/// The first bytes, as far as they are looked at.
[[nodiscard]] inline std::string_view file_head(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 256)};
}

} // namespace detail

/// Tells weights files, and what is often found in their place, apart by content.
[[nodiscard]] inline FileKind file_kind(std::span<const std::byte> bytes) {
    const std::string_view head = detail::file_head(bytes);
    const bool riff = head.starts_with("RIFF") && head.size() >= 12;
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
    if (head.size() > 8 && detail::load_little<std::uint64_t>(bytes, 0) < (std::uint64_t{1} << 32)) {
        const std::size_t header = head.find_first_not_of(" \t\r\n", 8); // padded, to place the data at a page
        if (header == std::string_view::npos || head[header] == '{') {
            return FileKind::safetensors;
        }
    }
    if (!detail::picture_format(head).empty()) {
        return FileKind::picture;
    }
    if ((head.size() > 8 && head.substr(4).starts_with("ftyp")) || head.starts_with("\x1a\x45\xdf\xa3") ||
        (riff && head.substr(8).starts_with("AVI "))) {
        return FileKind::video;
    }
    if (head.starts_with("GGUF")) {
        return FileKind::gguf;
    }
    if (head.starts_with("7z\xbc\xaf") || head.starts_with("Rar!") ||
        head.starts_with("\xfd"
                         "7zXZ")) {
        return FileKind::archive;
    }
    const std::size_t start = head.find_first_not_of(" \t\r\n");
    if (start == std::string_view::npos || head.find('\0') != std::string_view::npos) {
        return FileKind::unknown; // no text, though it may begin like one: 60, a length, is '<'
    }
    return head[start] == '<' ? FileKind::web_page : head[start] == '{' ? FileKind::json : FileKind::unknown;
}

/// Throws Error for files that are no weights at all, whatever was expected: empty, a git-lfs pointer, a web page, a
/// picture and the like.
inline void refuse_placeholder(std::span<const std::byte> bytes, const std::string& path) {
    const FileKind kind = file_kind(bytes);
    require(kind != FileKind::empty, path, ": the file is empty (an interrupted download?)");
    require(kind != FileKind::git_lfs_pointer, path,
            ": this is a git-lfs pointer, not the weights; run `git lfs pull` in its repository");
    require(kind != FileKind::web_page, path,
            ": this is a web page (HTML or XML), not the weights; download the file itself");
    require(kind != FileKind::picture, path, ": this is a picture (", detail::picture_format(detail::file_head(bytes)),
            "), not weights");
    require(kind != FileKind::video, path, ": this is a video, not weights; a clip is given with --video");
    require(kind != FileKind::archive, path, ": this is a packed archive (7z, RAR or xz), not weights; unpack it");
    require(kind != FileKind::gguf, path,
            ": this is a GGUF file, whose quantised weights reel does not read; take a .safetensors of the same model");
}

} // namespace reel
