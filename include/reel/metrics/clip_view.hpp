#pragma once
// What metrics look at. No other library.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace reel::metrics {

/// Marks of pixels, [count, height, width], 0 or not.
using Marks = std::vector<std::uint8_t>;

/// A clip (a picture is a clip of one frame) as someone else keeps it: [count, height, width, channels], row-major.
/// `range` is the value of white less that of black.
template <class T>
struct ClipView {
    std::span<const T> values;
    int count = 0;
    int height = 0;
    int width = 0;
    int channels = 3;
    double range = 255;

    [[nodiscard]] std::size_t frame_pixels() const {
        return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    }
    [[nodiscard]] std::size_t pixels() const { return static_cast<std::size_t>(count) * frame_pixels(); }

    /// One value as a double. No check: meant for loops.
    [[nodiscard]] double at(int frame, int y, int x, int channel) const {
        return static_cast<double>(
            values[((static_cast<std::size_t>(frame) * static_cast<std::size_t>(height) + static_cast<std::size_t>(y)) *
                        static_cast<std::size_t>(width) +
                    static_cast<std::size_t>(x)) *
                       static_cast<std::size_t>(channels) +
                   static_cast<std::size_t>(channel)]);
    }
};

namespace detail {

template <class T>
void require_view(const ClipView<T>& view, std::string_view what) {
    require(view.count > 0 && view.height > 0 && view.width > 0 && view.channels > 0 && view.range > 0, what, ": ",
            view.count, " frames of ", view.width, "x", view.height, " with ", view.channels,
            " channels and the range ", view.range, "; expected all of them above 0");
    require(view.values.size() == view.pixels() * static_cast<std::size_t>(view.channels), what, ": ", view.count,
            " frames of ", view.width, "x", view.height, " with ", view.channels, " channels are ",
            view.pixels() * static_cast<std::size_t>(view.channels), " values, got ", view.values.size());
}

} // namespace detail

/// Bytes 0..255. Throws Error for a clip without pixels, or of other sizes than it says.
[[nodiscard]] inline ClipView<std::uint8_t> view_of(const Frames& frames) {
    require_frames(frames, "metrics");
    return {frames.rgb, frames.count, frames.height, frames.width, 3, 255};
}

/// The same view, checked.
template <class T>
[[nodiscard]] ClipView<T> view_of(const ClipView<T>& view) {
    detail::require_view(view, "metrics");
    return view;
}

/// Something that metrics take: `Frames`, or a ClipView of numbers of any type.
template <class C>
concept Clip = requires(const C& clip) {
    view_of(clip).at(0, 0, 0, 0);
};

namespace detail {

template <class A, class B>
void require_alike(const ClipView<A>& a, const ClipView<B>& b, std::string_view what) {
    require(a.count == b.count && a.height == b.height && a.width == b.width && a.channels == b.channels &&
                a.range == b.range,
            what, ": ", a.count, " frames of ", a.width, "x", a.height, " (", a.channels, " channels, range ", a.range,
            ") and ", b.count, " of ", b.width, "x", b.height, " (", b.channels, ", ", b.range,
            "); the two clips must be alike");
}

/// Marks are one per pixel, or none at all.
template <class T>
void require_marks(const ClipView<T>& view, std::span<const std::uint8_t> marks, std::string_view what) {
    require(marks.empty() || marks.size() == view.pixels(), what, ": ", marks.size(), " marks for ", view.count,
            " frames of ", view.width, "x", view.height, "; expected ", view.pixels(), ", or none");
}

} // namespace detail

} // namespace reel::metrics
