#pragma once
// Where a GIF's blocks lie. Needs no library.

#include <cstddef>
#include <cstdint>
#include <optional>

namespace reel {

/// Whether a GIF's blocks lead to its trailer, so that it is not cut off. `byte_at(i)` gives byte i of the file, or
/// nothing past its end; few bytes are asked for, since lengths lead from block to block. Whatever is no GIF at all
/// gives false. GIF89a specification, sections 15 to 27.
template <class ByteAt>
[[nodiscard]] bool gif_has_trailer(const ByteAt& byte_at) {
    constexpr std::uint8_t extension = 0x21;
    constexpr std::uint8_t image = 0x2C;
    constexpr std::uint8_t trailer = 0x3B;
    const auto table_bytes = [](std::uint8_t flags) {
        return (flags & 0x80U) != 0 ? std::int64_t{3} << ((flags & 7U) + 1) : 0;
    };
    constexpr std::int64_t screen_flags = 10;
    constexpr std::int64_t screen_end = 13;
    std::optional<std::uint8_t> byte = byte_at(screen_flags);
    if (!byte) {
        return false;
    }
    std::int64_t at = screen_end + table_bytes(*byte);
    while ((byte = byte_at(at))) {
        if (*byte == trailer) {
            return true;
        }
        if (*byte == extension) {
            at += 2; // introducer and label
        } else if (*byte == image) {
            const std::optional<std::uint8_t> flags = byte_at(at + 9);
            if (!flags) {
                return false;
            }
            at += 11 + table_bytes(*flags); // descriptor, colours, code size
        } else {
            return false;
        }
        while ((byte = byte_at(at)) && *byte != 0) {
            at += 1 + *byte;
        }
        ++at;
    }
    return false;
}

} // namespace reel
