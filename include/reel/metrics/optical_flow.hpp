#pragma once
// Where each pixel of a picture has gone in the next. No other library.

#include <reel/metrics/clip_view.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace reel::metrics {

/// A picture of one channel as doubles, [height, width].
struct Plane {
    int height = 0;
    int width = 0;
    std::vector<double> values{};

    Plane() = default;
    Plane(int rows, int columns)
        : height(rows), width(columns), values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)) {}

    [[nodiscard]] double& at(int y, int x) { return values[static_cast<std::size_t>(y * width + x)]; }
    [[nodiscard]] double at(int y, int x) const { return values[static_cast<std::size_t>(y * width + x)]; }

    /// Between four pixels, linearly; beyond the edge as on it.
    [[nodiscard]] double between(double y, double x) const {
        y = std::clamp(y, 0.0, static_cast<double>(height - 1));
        x = std::clamp(x, 0.0, static_cast<double>(width - 1));
        const int top = std::min(static_cast<int>(y), std::max(height - 2, 0));
        const int left = std::min(static_cast<int>(x), std::max(width - 2, 0));
        const int bottom = std::min(top + 1, height - 1);
        const int right = std::min(left + 1, width - 1);
        const double v = y - top;
        const double u = x - left;
        return (1 - v) * ((1 - u) * at(top, left) + u * at(top, right)) +
               v * ((1 - u) * at(bottom, left) + u * at(bottom, right));
    }
};

/// The luminance of a frame in 0..1: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), or the mean of the channels where
/// there are not three.
template <Clip C>
[[nodiscard]] Plane luminance(const C& clip, int frame) {
    const auto view = view_of(clip);
    require(frame >= 0 && frame < view.count, "luminance: no frame ", frame, " in a clip of ", view.count);
    Plane plane(view.height, view.width);
    for (int y = 0; y < view.height; ++y) {
        for (int x = 0; x < view.width; ++x) {
            double sum = 0;
            for (int c = 0; c < view.channels; ++c) {
                constexpr std::array<double, 3> weights{0.299, 0.587, 0.114};
                sum += view.at(frame, y, x, c) *
                       (view.channels == 3 ? weights[static_cast<std::size_t>(c)] : 1.0 / view.channels);
            }
            plane.at(y, x) = sum / view.range;
        }
    }
    return plane;
}

/// The displacement of each pixel, in pixels: what is at (y, x) in one picture is at (y + dy, x + dx) in the other.
struct Flow {
    Plane dy;
    Plane dx;
};

/// How optical_flow() looks for it.
struct FlowOptions {
    int radius = 7;         ///< of the square window in which all pixels are taken to move alike
    int iterations = 5;     ///< on each level of the pyramid
    double damping = 1e-4;  ///< holds the flow where the window shows too little; in units of squared gradients
    int smallest_side = 16; ///< no level of the pyramid gets smaller
};

namespace detail {

/// Index `i` of `n` mirrored at the first and the last pixel: -1 is 1, n is n - 2.
[[nodiscard]] inline int mirrored(int i, int n) {
    if (n == 1) {
        return 0;
    }
    const int period = 2 * (n - 1);
    i = ((i % period) + period) % period;
    return i < n ? i : period - i;
}

/// The mean over squares of 2 radius + 1 pixels a side; the picture is mirrored at its edge.
[[nodiscard]] inline Plane box_mean(const Plane& plane, int radius) {
    const double share = 1.0 / (2 * radius + 1);
    const auto pass = [&](int lines, int length, const auto& get, const auto& set) {
        for (int line = 0; line < lines; ++line) {
            double sum = 0;
            for (int i = -radius; i <= radius; ++i) {
                sum += get(line, mirrored(i, length));
            }
            for (int i = 0; i < length; ++i) {
                set(line, i, sum * share);
                sum += get(line, mirrored(i + radius + 1, length)) - get(line, mirrored(i - radius, length));
            }
        }
    };
    Plane rows(plane.height, plane.width);
    Plane result(plane.height, plane.width);
    pass(
        plane.height, plane.width, [&](int y, int x) { return plane.at(y, x); },
        [&](int y, int x, double value) { rows.at(y, x) = value; });
    pass(
        plane.width, plane.height, [&](int x, int y) { return rows.at(y, x); },
        [&](int x, int y, double value) { result.at(y, x) = value; });
    return result;
}

/// Half the size: smoothed by (1 4 6 4 1) / 16 along each axis, then every second pixel (Burt and Adelson 1983).
[[nodiscard]] inline Plane half_size(const Plane& plane) {
    constexpr std::array<double, 5> weights{1.0 / 16, 4.0 / 16, 6.0 / 16, 4.0 / 16, 1.0 / 16};
    Plane rows(plane.height, (plane.width + 1) / 2);
    for (int y = 0; y < rows.height; ++y) {
        for (int x = 0; x < rows.width; ++x) {
            for (int k = -2; k <= 2; ++k) {
                rows.at(y, x) +=
                    weights[static_cast<std::size_t>(k + 2)] * plane.at(y, mirrored(2 * x + k, plane.width));
            }
        }
    }
    Plane half((plane.height + 1) / 2, rows.width);
    for (int y = 0; y < half.height; ++y) {
        for (int x = 0; x < half.width; ++x) {
            for (int k = -2; k <= 2; ++k) {
                half.at(y, x) +=
                    weights[static_cast<std::size_t>(k + 2)] * rows.at(mirrored(2 * y + k, plane.height), x);
            }
        }
    }
    return half;
}

/// Slopes along y and x: central differences, one-sided at the edge.
[[nodiscard]] inline std::pair<Plane, Plane> slopes(const Plane& plane) {
    std::pair<Plane, Plane> result{Plane(plane.height, plane.width), Plane(plane.height, plane.width)};
    for (int y = 0; y < plane.height; ++y) {
        const int above = std::max(y - 1, 0);
        const int below = std::min(y + 1, plane.height - 1);
        for (int x = 0; x < plane.width; ++x) {
            const int left = std::max(x - 1, 0);
            const int right = std::min(x + 1, plane.width - 1);
            result.first.at(y, x) = (plane.at(below, x) - plane.at(above, x)) / std::max(below - above, 1);
            result.second.at(y, x) = (plane.at(y, right) - plane.at(y, left)) / std::max(right - left, 1);
        }
    }
    return result;
}

/// One level: moves `next` by the flow found so far and solves for the flow again, `iterations` times.
inline void refine_flow(Flow& flow, const Plane& picture, const Plane& next, const FlowOptions& options) {
    const int height = picture.height;
    const int width = picture.width;
    for (int iteration = 0; iteration < options.iterations; ++iteration) {
        Plane moved(height, width);
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                moved.at(y, x) = next.between(y + flow.dy.at(y, x), x + flow.dx.at(y, x));
            }
        }
        const auto [gy, gx] = slopes(moved);
        std::array<Plane, 5> sums; // gy gy, gy gx, gx gx, gy e, gx e
        sums.fill(Plane(height, width));
        for (std::size_t i = 0; i < moved.values.size(); ++i) {
            const double y = gy.values[i];
            const double x = gx.values[i];
            const double e = y * flow.dy.values[i] + x * flow.dx.values[i] + picture.values[i] - moved.values[i];
            sums[0].values[i] = y * y;
            sums[1].values[i] = y * x;
            sums[2].values[i] = x * x;
            sums[3].values[i] = y * e;
            sums[4].values[i] = x * e;
        }
        for (Plane& plane : sums) {
            plane = box_mean(plane, options.radius);
        }
        for (std::size_t i = 0; i < moved.values.size(); ++i) {
            const double a = sums[0].values[i] + options.damping;
            const double b = sums[1].values[i];
            const double d = sums[2].values[i] + options.damping;
            const double p = sums[3].values[i] + options.damping * flow.dy.values[i];
            const double q = sums[4].values[i] + options.damping * flow.dx.values[i];
            const double determinant = a * d - b * b;
            if (determinant >= 1e-14) {
                flow.dy.values[i] = (d * p - b * q) / determinant;
                flow.dx.values[i] = (a * q - b * p) / determinant;
            }
        }
    }
}

} // namespace detail

/// Dense optical flow from `picture` to `next` (of equal sizes): next(p + flow(p)) is picture(p). In each window W
/// around a pixel, the flow w makes the linearised difference smallest, as Lucas and Kanade 1981 propose, and each
/// pixel's window starts from the pixels' own former flows w0 (Le Besnerais and Champagnat 2005, "Dense optical flow by
/// iterative local window registration"):
///
///     (mean over W of g g^T + damping) w = mean over W of g (g . w0 + picture - moved) + damping w0
///
/// with moved(p) = next(p + w0(p)) between pixels and g its slopes; from coarse to fine on a pyramid whose levels halve
/// (Burt and Adelson 1983). With damping 0 one level is what scikit-image's optical_flow_ilk computes. The same
/// pictures give the same flow. Throws Error for pictures of different sizes and options out of range.
[[nodiscard]] inline Flow optical_flow(const Plane& picture, const Plane& next, const FlowOptions& options = {}) {
    require(picture.height == next.height && picture.width == next.width && picture.height > 0 && picture.width > 0,
            "optical_flow: pictures of ", picture.width, "x", picture.height, " and ", next.width, "x", next.height,
            "; expected equal sizes above 0");
    require(options.radius > 0 && options.iterations > 0 && options.damping >= 0 && options.smallest_side > 0,
            "optical_flow: radius ", options.radius, ", iterations ", options.iterations, ", damping ", options.damping,
            ", smallest_side ", options.smallest_side, "; expected more than 0 (damping: 0 or more)");
    std::vector<std::pair<Plane, Plane>> pyramid{{picture, next}};
    while (std::min(pyramid.back().first.height, pyramid.back().first.width) >= 2 * options.smallest_side) {
        pyramid.emplace_back(detail::half_size(pyramid.back().first), detail::half_size(pyramid.back().second));
    }
    Flow flow{Plane(pyramid.back().first.height, pyramid.back().first.width),
              Plane(pyramid.back().first.height, pyramid.back().first.width)};
    for (auto level = pyramid.rbegin(); level != pyramid.rend(); ++level) {
        if (level != pyramid.rbegin()) {
            Flow finer{Plane(level->first.height, level->first.width), Plane(level->first.height, level->first.width)};
            for (int y = 0; y < level->first.height; ++y) {
                for (int x = 0; x < level->first.width; ++x) {
                    finer.dy.at(y, x) = 2 * flow.dy.between(y / 2.0, x / 2.0);
                    finer.dx.at(y, x) = 2 * flow.dx.between(y / 2.0, x / 2.0);
                }
            }
            flow = std::move(finer);
        }
        detail::refine_flow(flow, level->first, level->second, options);
    }
    return flow;
}

} // namespace reel::metrics
