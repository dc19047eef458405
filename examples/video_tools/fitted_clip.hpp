#pragma once
// A clip read frame by frame in another size.

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_stream.hpp>

#include "clip_input.hpp"

namespace video_tools {

enum class Fit {
    inside, ///< keep the aspect; the result may be smaller in one direction
    crop,   ///< keep the aspect; cut off what is too much, equally on both sides
    stretch ///< do not keep the aspect
};

/// A clip scaled to `scaled`, of which the middle `result` is kept.
struct Scaling {
    Size scaled;
    Size result;
};

/// How a clip of size `from` becomes one of size `to`, of which one side may be 0: it follows from the aspect then,
/// and is even where that is no worse than odd, as mp4 wants it. Throws reel::Error when both are 0 or one is negative
/// or too large.
[[nodiscard]] inline Scaling scaling(Size from, Size to, Fit fit) {
    const auto check = [](int side) {
        reel::require(side >= 0 && side <= reel::max_picture_side, "a width or height of ", side,
                      " pixels, expected 1 to ", reel::max_picture_side);
    };
    check(to.width);
    check(to.height);
    reel::require(to.width > 0 || to.height > 0, "neither width nor height is given");
    const double by_width = static_cast<double>(to.width) / from.width;
    const double by_height = static_cast<double>(to.height) / from.height;
    const auto scaled = [&](double factor) {
        const auto side = [&](int length) {
            const double exact = length * factor;
            reel::require(exact < reel::max_picture_side + 1.0, from.width, "x", from.height, " becomes larger than ",
                          reel::max_picture_side, " pixels a side");
            const int even = 2 * static_cast<int>(std::lround(exact / 2));
            return std::abs(even - exact) <= 1 && even > 0 ? even : std::max(1, static_cast<int>(std::lround(exact)));
        };
        return Size{side(from.width), side(from.height)};
    };
    if (to.width == 0 || to.height == 0) {
        Size size = scaled(std::max(by_width, by_height));
        (to.width == 0 ? size.height : size.width) = to.width == 0 ? to.height : to.width;
        return {size, size};
    }
    if (fit == Fit::stretch) {
        return {to, to};
    }
    Size size = scaled(fit == Fit::inside ? std::min(by_width, by_height) : std::max(by_width, by_height));
    if (fit == Fit::inside) {
        size = {std::min(size.width, to.width), std::min(size.height, to.height)};
        return {size, size};
    }
    return {{std::max(size.width, to.width), std::max(size.height, to.height)}, to};
}

/// The middle of a frame. `frame` must be at least `size`.
[[nodiscard]] inline reel::Frames centre(const reel::Frames& frame, Size size) {
    if (frame.width == size.width && frame.height == size.height) {
        return frame;
    }
    reel::Frames result = reel::make_frames(1, size.height, size.width, frame.fps);
    const int top = (frame.height - size.height) / 2;
    const int left = (frame.width - size.width) / 2;
    for (int y = 0; y < size.height; ++y) {
        std::copy_n(frame.pixel(0, top + y, left), result.row_bytes(), result.pixel(0, y, 0));
    }
    return result;
}

/// A clip read frame by frame in another size.
class FittedClip {
public:
    /// `fps`: frames per second that the clip is taken to have; 0: its own times.
    FittedClip(const std::filesystem::path& path, const Shape& shape, const Scaling& scaling, double fps = 0)
        : source_(open_clip(path, shape, {.width = scaling.scaled.width, .height = scaling.scaled.height, .fps = fps})),
          size_(scaling.result) {}

    /// Cropped to the size.
    FittedClip(const std::filesystem::path& path, const Shape& shape, Size size, double fps = 0)
        : FittedClip(path, shape, scaling(shape.shown(), size, Fit::crop), fps) {}
    FittedClip(const std::filesystem::path& path, Size size, double fps = 0)
        : FittedClip(path, shape_of(path), size, fps) {}

    [[nodiscard]] bool next(reel::Frames& frame) {
        if (!source_.next(scaled_)) {
            return false;
        }
        frame = centre(scaled_, size_);
        return true;
    }
    [[nodiscard]] bool skip() { return source_.skip(); }

    [[nodiscard]] reel::PictureTime time() const { return source_.time(); }

    [[nodiscard]] const reel::VideoSource& source() const { return source_; }

private:
    reel::VideoSource source_;
    reel::Frames scaled_;
    Size size_;
};

} // namespace video_tools
