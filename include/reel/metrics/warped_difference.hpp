#pragma once
// How steady a clip is along the motion of another. No other library.

#include <reel/metrics/optical_flow.hpp>

namespace reel::metrics {

/// The motion of a clip: for each pair of neighbouring frames, where the pixels of the earlier one go in the later one,
/// and which of them are still seen there.
struct Motion {
    int count = 0; ///< frames of the clip; there are count - 1 pairs
    int height = 0;
    int width = 0;
    std::vector<Flow> forward;
    std::vector<Marks> visible; ///< [height, width] for each pair
};

/// Motion between the frames of a clip, by optical_flow() of their luminance. A pixel p is still seen when p + w(p)
/// lies in the picture and the flow w' back from the later frame returns to it,
///
///     |w(p) + w'(p + w(p))|^2 <= 0.01 (|w(p)|^2 + |w'(p + w(p))|^2) + 0.5
///
/// (Sundaram, Brox and Keutzer 2010; with the bounds of Ruder et al. 2016, arXiv:1604.08610).
/// Takes some 0.1 s per pair of 256x256 pixels on one core; every clip edited from this one is measured with it.
template <Clip C>
[[nodiscard]] Motion motion_of(const C& clip, const FlowOptions& options = {}) {
    const auto view = view_of(clip);
    Motion motion{view.count, view.height, view.width, {}, {}};
    Plane picture = luminance(view, 0);
    for (int frame = 0; frame + 1 < view.count; ++frame) {
        Plane next = luminance(view, frame + 1);
        Flow there = optical_flow(picture, next, options);
        const Flow back = optical_flow(next, picture, options);
        Marks seen(view.frame_pixels(), 0);
        for (int y = 0; y < view.height; ++y) {
            for (int x = 0; x < view.width; ++x) {
                const double dy = there.dy.at(y, x);
                const double dx = there.dx.at(y, x);
                const double by = back.dy.between(y + dy, x + dx);
                const double bx = back.dx.between(y + dy, x + dx);
                const bool inside = y + dy >= 0 && y + dy <= view.height - 1 && x + dx >= 0 && x + dx <= view.width - 1;
                const double gap = (dy + by) * (dy + by) + (dx + bx) * (dx + bx);
                const bool returns = gap <= 0.01 * (dy * dy + dx * dx + by * by + bx * bx) + 0.5;
                const bool alike = std::abs(next.between(y + dy, x + dx) - picture.at(y, x)) <= 0.1;
                seen[static_cast<std::size_t>(y * view.width + x)] = inside && returns && alike ? 1 : 0;
            }
        }
        motion.forward.push_back(std::move(there));
        motion.visible.push_back(std::move(seen));
        picture = std::move(next);
    }
    return motion;
}

/// What warped_difference() found, in the clip's own units (levels of 8 bits for bytes).
struct WarpedDifference {
    double absolute = 0; ///< mean of |later frame, moved back - earlier frame|
    double squared = 0;  ///< mean of its square
    double counted = 0;  ///< share of the pixels that were counted
};

/// Temporal consistency: how much a clip changes along the motion of its source. For neighbouring frames V_t, V_t+1 and
/// the source's flow w_t, over pixels p that stay visible and are not marked in `excluded` (neither p in frame t, nor
/// where it goes in frame t + 1, to the nearest pixel; empty: none), and over channels,
///
///     absolute = mean of |V_t+1(p + w_t(p)) - V_t(p)|
///
/// and `squared` is the mean of squares: the warping error of Lai et al. 2018, arXiv:1808.00449, with
/// pixels of all pairs weighted alike. 0 is a clip that only moves as its source does; the source's own value, which
/// brightness changes and errors of the flow leave above 0, is what an edit's should be compared with. A clip of one
/// frame, or one in which nothing is counted, gives zeros. Throws Error when the sizes are not the motion's.
template <Clip C>
[[nodiscard]] WarpedDifference warped_difference(const C& clip, const Motion& motion,
                                                 std::span<const std::uint8_t> excluded = {}) {
    const auto view = view_of(clip);
    require(view.count == motion.count && view.height == motion.height && view.width == motion.width,
            "warped_difference: ", view.count, " frames of ", view.width, "x", view.height, ", but the motion is of ",
            motion.count, " frames of ", motion.width, "x", motion.height);
    detail::require_marks(view, excluded, "warped_difference");
    const auto marked = [&](int frame, int y, int x) {
        return !excluded.empty() && excluded[static_cast<std::size_t>(frame) * view.frame_pixels() +
                                             static_cast<std::size_t>(y * view.width + x)] != 0;
    };
    WarpedDifference result;
    double pixels = 0;
    std::vector<Plane> next(static_cast<std::size_t>(view.channels), Plane(view.height, view.width));
    for (int frame = 0; frame + 1 < view.count; ++frame) {
        for (int c = 0; c < view.channels; ++c) {
            for (int y = 0; y < view.height; ++y) {
                for (int x = 0; x < view.width; ++x) {
                    next[static_cast<std::size_t>(c)].at(y, x) = view.at(frame + 1, y, x, c);
                }
            }
        }
        const Flow& flow = motion.forward[static_cast<std::size_t>(frame)];
        const Marks& visible = motion.visible[static_cast<std::size_t>(frame)];
        for (int y = 0; y < view.height; ++y) {
            for (int x = 0; x < view.width; ++x) {
                const double to_y = y + flow.dy.at(y, x);
                const double to_x = x + flow.dx.at(y, x);
                if (visible[static_cast<std::size_t>(y * view.width + x)] == 0 || marked(frame, y, x) ||
                    marked(frame + 1, static_cast<int>(std::lround(to_y)), static_cast<int>(std::lround(to_x)))) {
                    continue;
                }
                for (int c = 0; c < view.channels; ++c) {
                    const double difference =
                        next[static_cast<std::size_t>(c)].between(to_y, to_x) - view.at(frame, y, x, c);
                    result.absolute += std::abs(difference);
                    result.squared += difference * difference;
                }
                ++pixels;
            }
        }
    }
    if (pixels > 0) {
        result.absolute /= pixels * view.channels;
        result.squared /= pixels * view.channels;
        result.counted = pixels / (static_cast<double>(view.count - 1) * static_cast<double>(view.frame_pixels()));
    }
    return result;
}

} // namespace reel::metrics
