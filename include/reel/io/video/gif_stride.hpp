#pragma once
// Which pictures of a fast clip a GIF shows. No other library.

#include <reel/core/error.hpp>

#include <cmath>
#include <string>

namespace reel {

/// The most pictures a second that players show of a GIF: they slow down delays below 2 hundredths of a second.
inline constexpr double gif_max_fps = 50.0;

/// A GIF shows every n-th picture of a clip that is faster than players show GIFs: n, else 1.
[[nodiscard]] inline int gif_stride(double fps) {
    return fps > gif_max_fps ? static_cast<int>(std::ceil(fps / gif_max_fps - 1e-9)) : 1;
}

/// "every 2nd picture", for a program to say so.
[[nodiscard]] inline std::string gif_stride_text(int stride) {
    const char* ending = stride / 10 % 10 == 1 ? "th"
                         : stride % 10 == 1    ? "st"
                         : stride % 10 == 2    ? "nd"
                         : stride % 10 == 3    ? "rd"
                                               : "th";
    return concat_text("every ", stride, ending, " picture");
}

} // namespace reel
