#pragma once
// How a file asks for its pictures to be shown: turned, mirrored, with pixels that are not square. Needs FFmpeg's
// libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace reel::detail {

/// {a, b, c, d}, each -1, 0 or 1: a point (x, y) of a picture is shown at (a x + c y, b x + d y), y pointing down.
using DisplayMatrix = std::array<int, 4>;

inline constexpr DisplayMatrix upright{1, 0, 0, 1};

/// Of FFmpeg's display matrix (16.16 fixed point, 3x3) what turns by quarters and mirrors; anything else is upright.
[[nodiscard]] inline DisplayMatrix display_matrix(std::span<const std::uint8_t> data) {
    std::array<std::int32_t, 9> values{};
    if (data.size() < sizeof values) {
        return upright;
    }
    std::memcpy(values.data(), data.data(), sizeof values);
    const std::array<double, 4> m{double(values[0]), double(values[1]), double(values[3]), double(values[4])};
    const auto nothing = [](double small, double large) { return std::abs(small) <= 0.001 * std::abs(large); };
    const auto sign = [](double x) { return x > 0 ? 1 : -1; };
    if (m[0] != 0 && m[3] != 0 && nothing(m[1], m[0]) && nothing(m[2], m[3])) {
        return {sign(m[0]), 0, 0, sign(m[3])};
    }
    if (m[1] != 0 && m[2] != 0 && nothing(m[0], m[1]) && nothing(m[3], m[2])) {
        return {0, sign(m[1]), sign(m[2]), 0};
    }
    return upright;
}

[[nodiscard]] inline bool is_sideways(const DisplayMatrix& m) {
    return m[0] == 0;
}

[[nodiscard]] inline bool is_mirrored(const DisplayMatrix& m) {
    return m[0] * m[3] - m[1] * m[2] < 0;
}

/// What decord 0.6.0 makes of it: of the first column alone it reads a turn.
[[nodiscard]] inline DisplayMatrix without_mirror(const DisplayMatrix& m) {
    return {m[0], m[1], -m[1], m[0]};
}

/// What Exif's orientation, 1 to 8, asks for.
[[nodiscard]] inline DisplayMatrix exif_matrix(int orientation) {
    constexpr std::array<DisplayMatrix, 8> all{{upright,
                                                {-1, 0, 0, 1},
                                                {-1, 0, 0, -1},
                                                {1, 0, 0, -1},
                                                {0, 1, 1, 0},
                                                {0, 1, -1, 0},
                                                {0, -1, -1, 0},
                                                {0, -1, 1, 0}}};
    return all.at(static_cast<std::size_t>(orientation - 1));
}

/// FFmpeg's filters that do it, each followed by a comma.
[[nodiscard]] inline std::string turning_filters(const DisplayMatrix& m) {
    if (is_sideways(m)) {
        const char* how = m[1] > 0 ? (m[2] > 0 ? "cclock_flip" : "clock") : (m[2] > 0 ? "cclock" : "clock_flip");
        return concat_text("transpose=", how, ",");
    }
    return concat_text(m[0] < 0 ? "hflip," : "", m[3] < 0 ? "vflip," : "");
}

} // namespace reel::detail
