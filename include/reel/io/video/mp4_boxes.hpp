#pragma once
// How long the tracks of an mp4 last. Needs no library.

#include <cstdint>
#include <optional>
#include <string_view>

namespace reel {

namespace detail {

/// Reads an mp4's boxes where they lie. `byte_at(i)` gives byte i of the file, or nothing past its end.
template <class ByteAt>
class Mp4Boxes {
public:
    explicit Mp4Boxes(const ByteAt& byte_at) : byte_at_(byte_at) {}

    struct Box {
        std::int64_t begin = 0; ///< of its contents
        std::int64_t end = 0;
    };

    [[nodiscard]] std::optional<std::uint64_t> number(std::int64_t at, int bytes) const {
        std::uint64_t value = 0;
        for (int i = 0; i < bytes; ++i) {
            const std::optional<std::uint8_t> byte = byte_at_(at + i);
            if (!byte) {
                return std::nullopt;
            }
            value = value << 8U | *byte;
        }
        return value;
    }

    /// The box of a type in [from, to), or nothing.
    [[nodiscard]] std::optional<Box> find(std::string_view type, std::int64_t from, std::int64_t to) const {
        constexpr int most = 10'000; // boxes; a file may be nothing but the smallest ones
        std::int64_t at = from;
        for (int seen = 0; at + 8 <= to && seen < most; ++seen) {
            const auto short_size = number(at, 4);
            const auto name = number(at + 4, 4);
            if (!short_size || !name) {
                return std::nullopt;
            }
            std::int64_t header = 8;
            std::uint64_t size = *short_size;
            if (size == 1) {
                header = 16;
                size = number(at + 8, 8).value_or(0);
            } else if (size == 0) { // to the end
                size = static_cast<std::uint64_t>(to - at);
            }
            if (size < static_cast<std::uint64_t>(header) || size > static_cast<std::uint64_t>(to - at)) {
                return std::nullopt;
            }
            const std::int64_t end = at + static_cast<std::int64_t>(size);
            bool equal = true;
            for (int i = 0; i < 4; ++i) {
                equal = equal && static_cast<char>(*name >> (24U - 8U * static_cast<unsigned>(i)) & 0xffU) ==
                                     type[static_cast<std::size_t>(i)];
            }
            if (equal) {
                return Box{at + header, end};
            }
            at = end;
        }
        return std::nullopt;
    }

private:
    const ByteAt& byte_at_;
};

} // namespace detail

/// When the track of a number ends, in seconds of the film (ISO/IEC 14496-12: tkhd's duration in mvhd's timescale).
/// Nothing where the file does not say so, or is no mp4.
template <class ByteAt>
[[nodiscard]] std::optional<double> mp4_track_end(const ByteAt& byte_at, std::int64_t file_size, std::uint32_t track) {
    const detail::Mp4Boxes<ByteAt> boxes(byte_at);
    const auto moov = boxes.find("moov", 0, file_size);
    const auto mvhd = moov ? boxes.find("mvhd", moov->begin, moov->end) : std::nullopt;
    if (!mvhd) {
        return std::nullopt;
    }
    const auto is_long = [&](std::int64_t box) { return boxes.number(box, 1).value_or(0) == 1; }; // version
    const auto timescale = boxes.number(mvhd->begin + (is_long(mvhd->begin) ? 20 : 12), 4);
    std::int64_t at = moov->begin;
    for (int seen = 0; seen < 100; ++seen) {
        const auto trak = boxes.find("trak", at, moov->end);
        if (!trak) {
            break;
        }
        at = trak->end;
        const auto tkhd = boxes.find("tkhd", trak->begin, trak->end);
        if (!tkhd) {
            continue;
        }
        const bool wide = is_long(tkhd->begin);
        const auto id = boxes.number(tkhd->begin + (wide ? 20 : 12), 4);
        const auto duration = boxes.number(tkhd->begin + (wide ? 28 : 20), wide ? 8 : 4);
        if (id == track && duration && timescale && *timescale > 0) {
            const bool unknown = *duration == 0 || *duration == (wide ? ~std::uint64_t{0} : 0xffffffffU);
            return unknown ? std::nullopt
                           : std::optional(static_cast<double>(*duration) / static_cast<double>(*timescale));
        }
    }
    return std::nullopt;
}

} // namespace reel
