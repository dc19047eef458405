#pragma once
// Whether a Matroska file is all there, and when it says that a track ends. Needs no library.

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace reel::detail {

/// An element's size as EBML (RFC 8794) counts it, and how many bytes say so. Nothing where it is not known.
struct EbmlSize {
    std::optional<std::int64_t> size;
    int bytes = 0;
};

template <class ByteAt>
[[nodiscard]] std::optional<EbmlSize> ebml_size(const ByteAt& byte_at, std::int64_t at) {
    const std::uint8_t first = byte_at(at).value_or(0);
    if (first == 0) {
        return std::nullopt;
    }
    const int bytes = std::countl_zero(first) + 1;
    std::int64_t value = first & (0xff >> bytes);
    for (int i = 1; i < bytes; ++i) {
        value = value << 8 | byte_at(at + i).value_or(0);
    }
    const bool unknown = value == (std::int64_t{1} << (7 * bytes)) - 1;
    return EbmlSize{unknown ? std::nullopt : std::optional(value), bytes};
}

/// How many bytes a Matroska file of `file_size` bytes lacks of what its head says, or less than 0: how many follow.
/// Nothing where it does not say, as of a recording that was broken off.
template <class ByteAt>
[[nodiscard]] std::optional<std::int64_t> matroska_missing(const ByteAt& byte_at, std::int64_t file_size) {
    constexpr int id_bytes = 4; // of the head and of the segment
    const auto head = ebml_size(byte_at, id_bytes);
    if (!head || !head->size) {
        return std::nullopt;
    }
    const std::int64_t segment = id_bytes + head->bytes + *head->size;
    const auto body = ebml_size(byte_at, segment + id_bytes);
    if (!body || !body->size) {
        return std::nullopt;
    }
    return *body->size - (file_size - segment - id_bytes - body->bytes);
}

/// Whether it is as long as its head says, so that what that says of its end is true.
template <class ByteAt>
[[nodiscard]] bool matroska_is_whole(const ByteAt& byte_at, std::int64_t file_size) {
    return matroska_missing(byte_at, file_size).value_or(1) <= 0;
}

/// Seconds of a tag such as "00:00:02.500000000".
[[nodiscard]] inline std::optional<double> matroska_seconds(std::string_view text) {
    double seconds = 0;
    double part = 0;  // hours, minutes or seconds so far
    double place = 1; // of the next digit behind the point
    int colons = 0;
    for (const char c : text) {
        if (c == ':' && place == 1 && colons < 2) {
            seconds = 60 * (seconds + part);
            part = 0;
            ++colons;
        } else if (c == '.' && place == 1 && colons == 2) {
            place = 0.1;
        } else if (c >= '0' && c <= '9') {
            part = place == 1 ? 10 * part + (c - '0') : part + place * (c - '0');
            place = place == 1 ? 1 : place / 10;
        } else {
            return std::nullopt;
        }
    }
    return colons == 2 ? std::optional(seconds + part) : std::nullopt;
}

} // namespace reel::detail
