#pragma once
// How a picture asks to be turned, by its Exif data. Needs no library.

#include <cstdint>
#include <optional>
#include <string_view>

namespace reel {

namespace detail {

/// Finds Exif's tag 0x0112 in a JPEG, PNG, WebP or TIFF. `byte_at(i)` gives byte i of the file, or nothing past its
/// end. Every loop is bounded: a file may be made to have it turn for ever.
template <class ByteAt>
class ExifOrientation {
public:
    explicit ExifOrientation(const ByteAt& byte_at) : byte_at_(byte_at) {}

    [[nodiscard]] std::optional<int> find() const {
        if (has(0, "\xff\xd8")) {
            return in_jpeg();
        }
        if (has(0, "\x89PNG")) {
            return in_png();
        }
        if (has(0, "RIFF") && has(8, "WEBP")) {
            return in_webp();
        }
        return in_tiff(0);
    }

private:
    static constexpr int most = 100'000; ///< parts of a file that are looked at

    [[nodiscard]] std::uint8_t byte(std::int64_t at) const { return byte_at_(at).value_or(0); }

    [[nodiscard]] bool has(std::int64_t at, std::string_view text) const {
        for (const char c : text) {
            if (byte_at_(at++) != static_cast<std::uint8_t>(c)) {
                return false;
            }
        }
        return true;
    }

    [[nodiscard]] std::int64_t number(std::int64_t at, int bytes, bool big) const {
        std::int64_t value = 0;
        for (int i = 0; i < bytes; ++i) {
            value = value << 8 | byte(big ? at + i : at + bytes - 1 - i);
        }
        return value;
    }

    /// `begin`: of the TIFF data, from which its offsets count.
    [[nodiscard]] std::optional<int> in_tiff(std::int64_t begin) const {
        const bool big = has(begin, std::string_view("MM\0*", 4));
        if (!big && !has(begin, std::string_view("II*\0", 4))) {
            return std::nullopt;
        }
        const std::int64_t directory = begin + number(begin + 4, 4, big);
        const std::int64_t entries = number(directory, 2, big);
        for (std::int64_t i = 0; i < entries; ++i) {
            const std::int64_t entry = directory + 2 + 12 * i;
            if (!byte_at_(entry)) {
                return std::nullopt;
            }
            if (number(entry, 2, big) == 0x0112) {
                const bool is_long = number(entry + 2, 2, big) == 4; // it should be a short
                const std::int64_t value = number(entry + 8, is_long ? 4 : 2, big);
                return value >= 1 && value <= 8 ? std::optional(static_cast<int>(value)) : std::nullopt;
            }
        }
        return std::nullopt;
    }

    [[nodiscard]] std::optional<int> in_jpeg() const {
        std::int64_t at = 2;
        for (int seen = 0; seen < most && byte(at) == 0xff; ++seen) {
            const int marker = byte(at + 1);
            if (marker == 0xff) { // filling
                ++at;
                continue;
            }
            if (marker == 0xda || marker == 0xd9) { // the picture itself, the end
                return std::nullopt;
            }
            if (marker == 0xe1 && has(at + 4, std::string_view("Exif\0\0", 6))) {
                return in_tiff(at + 10);
            }
            at += 2 + number(at + 2, 2, true);
        }
        return std::nullopt;
    }

    [[nodiscard]] std::optional<int> in_png() const {
        std::int64_t at = 8;
        for (int seen = 0; seen < most && byte_at_(at) && !has(at + 4, "IEND"); ++seen) {
            if (has(at + 4, "eXIf")) {
                return in_tiff(at + 8);
            }
            at += 12 + number(at, 4, true);
        }
        return std::nullopt;
    }

    [[nodiscard]] std::optional<int> in_webp() const {
        std::int64_t at = 12;
        for (int seen = 0; seen < most && byte_at_(at); ++seen) {
            if (has(at, "EXIF")) {
                return in_tiff(at + (has(at + 8, std::string_view("Exif\0\0", 6)) ? 14 : 8));
            }
            const std::int64_t size = number(at + 4, 4, false);
            at += 8 + size + size % 2;
        }
        return std::nullopt;
    }

    const ByteAt& byte_at_;
};

} // namespace detail

/// Exif's orientation of a picture file (JPEG, PNG, WebP, TIFF), 1 to 8 as the TIFF specification counts them: 1 is
/// upright, which is also what a file has that does not say. `byte_at(i)`: byte i of the file, or nothing past its end.
template <class ByteAt>
[[nodiscard]] int exif_orientation(const ByteAt& byte_at) {
    return detail::ExifOrientation<ByteAt>(byte_at).find().value_or(1);
}

} // namespace reel
