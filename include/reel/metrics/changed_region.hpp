#pragma once
// Where an edit has changed a clip. No other library.

#include <reel/metrics/clip_view.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace reel::metrics {

/// What counts as changed.
struct ChangeOptions {
    double threshold = 0.18; ///< a pixel has changed when a channel differs by more than this share of the range
    bool despeckle = true;   ///< a pixel then counts only where most of the 3x3 pixels around it have changed
};

/// A majority vote over the 3x3 pixels around each, frame by frame: 1 where at least 5 are marked (pixels beyond the
/// edge are not). Lone pixels go, lone gaps close. The median filter of a binary picture.
template <Clip C>
[[nodiscard]] Marks majority(std::span<const std::uint8_t> marks, const C& clip) {
    const auto view = view_of(clip);
    require(marks.size() == view.pixels(), "majority: ", marks.size(), " marks for ", view.pixels(), " pixels");
    Marks result(marks.size(), 0);
    for (int frame = 0; frame < view.count; ++frame) {
        const std::size_t first = static_cast<std::size_t>(frame) * view.frame_pixels();
        for (int y = 0; y < view.height; ++y) {
            for (int x = 0; x < view.width; ++x) {
                int votes = 0;
                for (int v = std::max(y - 1, 0); v <= std::min(y + 1, view.height - 1); ++v) {
                    for (int u = std::max(x - 1, 0); u <= std::min(x + 1, view.width - 1); ++u) {
                        votes += marks[first + static_cast<std::size_t>(v * view.width + u)] != 0 ? 1 : 0;
                    }
                }
                result[first + static_cast<std::size_t>(y * view.width + x)] = votes >= 5 ? 1 : 0;
            }
        }
    }
    return result;
}

/// Marks grown by squares of `radius`, frame by frame: 1 where a pixel at most so far away, in x and in y, is marked.
template <Clip C>
[[nodiscard]] Marks grown(std::span<const std::uint8_t> marks, const C& clip, int radius) {
    const auto view = view_of(clip);
    require(marks.size() == view.pixels() && radius >= 0, "grown: ", marks.size(), " marks for ", view.pixels(),
            " pixels, radius ", radius);
    const auto along = [&](std::span<const std::uint8_t> source, int length, int stride, std::size_t line_start,
                           Marks& target) {
        int last = -radius - 1; // the nearest mark on the way, then on the way back
        for (int i = 0; i < length; ++i) {
            const std::size_t at = line_start + static_cast<std::size_t>(i * stride);
            last = source[at] != 0 ? i : last;
            target[at] = i - last <= radius ? 1 : 0;
        }
        last = length + radius;
        for (int i = length - 1; i >= 0; --i) {
            const std::size_t at = line_start + static_cast<std::size_t>(i * stride);
            last = source[at] != 0 ? i : last;
            target[at] = target[at] != 0 || last - i <= radius ? 1 : 0;
        }
    };
    Marks rows(marks.size());
    Marks result(marks.size());
    for (int frame = 0; frame < view.count; ++frame) {
        const std::size_t first = static_cast<std::size_t>(frame) * view.frame_pixels();
        for (int y = 0; y < view.height; ++y) {
            along(marks, view.width, 1, first + static_cast<std::size_t>(y * view.width), rows);
        }
        for (int x = 0; x < view.width; ++x) {
            along(rows, view.height, view.width, first + static_cast<std::size_t>(x), result);
        }
    }
    return result;
}

/// The pixels at which `result` has changed against `reference`. The best reference is the model's own picture of the
/// source (encoded and decoded, or sampled from its inversion), so that what the model cannot draw does not count.
/// Throws Error when the clips are not alike.
template <Clip A, Clip B>
[[nodiscard]] Marks changed_pixels(const A& result, const B& reference, const ChangeOptions& options = {}) {
    const auto x = view_of(result);
    const auto y = view_of(reference);
    detail::require_alike(x, y, "changed_pixels");
    require(options.threshold >= 0, "changed_pixels: the threshold is ", options.threshold, "; expected 0 or more");
    const auto channels = static_cast<std::size_t>(x.channels);
    Marks marks(x.pixels(), 0);
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        const double difference = static_cast<double>(x.values[i]) - static_cast<double>(y.values[i]);
        if (std::abs(difference) > options.threshold * x.range) {
            marks[i / channels] = 1;
        }
    }
    return options.despeckle ? majority(marks, x) : marks;
}

/// Size and place of the marked pixels of one frame. Pixel (0, 0) is the top left one, and its centre the origin.
struct Region {
    int pixels = 0;
    double y = 0;   ///< centroid: mean row of the marked pixels
    double x = 0;   ///< and mean column
    int top = 0;    ///< bounding box: rows top to bottom - 1, columns left to right - 1
    int left = 0;   ///<
    int bottom = 0; ///<
    int right = 0;  ///<
};

/// The region of each frame; nothing where no pixel is marked. Throws Error when the marks do not fit the clip.
template <Clip C>
[[nodiscard]] std::vector<std::optional<Region>> regions_of(std::span<const std::uint8_t> marks, const C& clip) {
    const auto view = view_of(clip);
    require(marks.size() == view.pixels(), "regions_of: ", marks.size(), " marks for ", view.pixels(), " pixels");
    std::vector<std::optional<Region>> regions(static_cast<std::size_t>(view.count));
    for (std::size_t i = 0; i < marks.size(); ++i) {
        if (marks[i] == 0) {
            continue;
        }
        std::optional<Region>& region = regions[i / view.frame_pixels()];
        const auto y = static_cast<int>(i % view.frame_pixels()) / view.width;
        const auto x = static_cast<int>(i % view.frame_pixels()) % view.width;
        if (!region) {
            region = Region{.top = y, .left = x, .bottom = y + 1, .right = x + 1};
        }
        ++region->pixels;
        region->y += y;
        region->x += x;
        region->left = std::min(region->left, x);
        region->right = std::max(region->right, x + 1);
        region->bottom = y + 1;
    }
    for (auto& region : regions) {
        if (region) {
            region->y /= region->pixels;
            region->x /= region->pixels;
        }
    }
    return regions;
}

} // namespace reel::metrics
