#pragma once
// How programs are told of a clip, beside what a configuration says of it. No other library.

#include <reel/core/option_checks.hpp>

namespace reel {

/// A picture's sides in pixels.
struct PictureSize {
    int width = 0;
    int height = 0;

    bool operator==(const PictureSize&) const = default;
};

/// Of every program that reads a clip, which may be a file, a folder of pictures or a pattern.
struct ClipOptions {
    double fps = 0; ///< 0: the clip's own times

    bool operator==(const ClipOptions&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"fps", "frames per second that the clip is taken to have; 0: its own, or 8", from_to(0, 1000)},
              self.fps);
    }
};

} // namespace reel
