#pragma once
// Small pictures made large enough to see. No other library.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>

#include <algorithm>

namespace reel {

/// A clip `factor` times as wide and high, each pixel a square. Throws Error unless factor is positive and the result
/// is of a size that pictures may have.
[[nodiscard]] inline Frames enlarged(const Frames& clip, int factor) {
    require(factor > 0, "enlarged: by ", factor, ", expected 1 or more");
    Frames large = make_frames(clip.count, clip.height * factor, clip.width * factor, clip.fps);
    for (int f = 0; f < large.count; ++f) {
        for (int y = 0; y < large.height; ++y) {
            for (int x = 0; x < large.width; ++x) {
                std::copy_n(clip.pixel(f, y / factor, x / factor), 3, large.pixel(f, y, x));
            }
        }
    }
    return large;
}

} // namespace reel
