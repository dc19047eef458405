#pragma once
// Which pixels of a clip may change, and what of an edit is kept there. No other library.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/pictures/frames.hpp>

namespace reel {

/// How much of each pixel may change, [count, height, width]: 0: not at all, 1: wholly. Without frames: all may.
struct PixelMask {
    int count = 0;
    int height = 0;
    int width = 0;
    std::vector<float> values{};

    PixelMask() = default;
    /// Nothing may change.
    PixelMask(int frames, int rows, int columns)
        : count(frames), height(rows), width(columns), values(static_cast<std::size_t>(frames) * frame_size()) {}

    [[nodiscard]] bool everywhere() const { return count == 0; }
    [[nodiscard]] std::size_t frame_size() const {
        return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    }
    /// [height, width]. No check: meant for loops.
    [[nodiscard]] std::span<float> frame(int f) {
        return std::span(values).subspan(static_cast<std::size_t>(f) * frame_size(), frame_size());
    }
    /// [height, width]. No check: meant for loops.
    [[nodiscard]] std::span<const float> frame(int f) const {
        return std::span(values).subspan(static_cast<std::size_t>(f) * frame_size(), frame_size());
    }
    /// Pixels of a frame that may change.
    [[nodiscard]] std::int64_t pixels(int f) const {
        return ranges::count_if(frame(f), [](float value) { return value > 0; });
    }
};

namespace detail {

/// In place: for values f, min over q of (p - q)^2 + f(q). Felzenszwalb and Huttenlocher 2012, "Distance transforms of
/// sampled functions", algorithm 1. `line` may be strided.
template <class Line>
void lower_envelope(const Line& line, int n, std::vector<double>& f, std::vector<int>& tops,
                    std::vector<double>& bounds) {
    constexpr double far = std::numeric_limits<double>::infinity();
    for (int q = 0; q < n; ++q) {
        f[static_cast<std::size_t>(q)] = line(q);
    }
    int k = -1;
    for (int q = 0; q < n; ++q) {
        const double height = f[static_cast<std::size_t>(q)];
        if (height == far) {
            continue;
        }
        double meets = -far;
        while (k >= 0) {
            const int top = tops[static_cast<std::size_t>(k)];
            meets = (height + double(q) * q - f[static_cast<std::size_t>(top)] - double(top) * top) / (2.0 * (q - top));
            if (meets > bounds[static_cast<std::size_t>(k)]) {
                break;
            }
            meets = -far;
            --k;
        }
        ++k;
        tops[static_cast<std::size_t>(k)] = q;
        bounds[static_cast<std::size_t>(k)] = meets;
    }
    int at = 0;
    for (int p = 0; p < n && k >= 0; ++p) {
        while (at < k && bounds[static_cast<std::size_t>(at) + 1] < p) {
            ++at;
        }
        const int top = tops[static_cast<std::size_t>(at)];
        line(p) = double(p - top) * (p - top) + f[static_cast<std::size_t>(top)];
    }
}

/// The squared distance of each pixel to the nearest one that is wanted, [height, width]; infinite where none is.
template <class Wanted>
[[nodiscard]] std::vector<double> squared_distances(std::span<const float> frame, int height, int width,
                                                    const Wanted& wanted) {
    std::vector<double> map(frame.size());
    ranges::transform(frame, map.begin(),
                      [&](float value) { return wanted(value) ? 0.0 : std::numeric_limits<double>::infinity(); });
    const auto longest = static_cast<std::size_t>(std::max(height, width));
    std::vector<double> f(longest);
    std::vector<int> tops(longest);
    std::vector<double> bounds(longest);
    const auto at = [&](int y, int x) -> double& {
        return map[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)];
    };
    for (int x = 0; x < width; ++x) {
        lower_envelope([&](int y) -> double& { return at(y, x); }, height, f, tops, bounds);
    }
    for (int y = 0; y < height; ++y) {
        lower_envelope([&](int x) -> double& { return at(y, x); }, width, f, tops, bounds);
    }
    return map;
}

} // namespace detail

/// What lies within `radius` pixels of a pixel that may change may change, too.
inline void grow(PixelMask& mask, double radius) {
    for (int f = 0; f < mask.count && radius > 0; ++f) {
        const std::vector<double> squares =
            detail::squared_distances(mask.frame(f), mask.height, mask.width, [](float value) { return value > 0; });
        ranges::transform(squares, mask.frame(f).begin(),
                          [&](double square) { return square <= radius * radius ? 1.0F : 0.0F; });
    }
}

/// The edit fades in over `width` pixels inside the mask, linearly by the distance to the nearest pixel that stays.
inline void feather(PixelMask& mask, double width) {
    for (int f = 0; f < mask.count && width > 0; ++f) {
        const std::vector<double> squares =
            detail::squared_distances(mask.frame(f), mask.height, mask.width, [](float value) { return !(value > 0); });
        ranges::transform(squares, mask.frame(f).begin(), [&](double square) {
            return static_cast<float>(std::min(1.0, std::sqrt(square) / (width + 1)));
        });
    }
}

/// Pixels that no mask lets change.
struct OutsideMask {
    std::int64_t changed = 0; ///< and yet differ
    std::int64_t pixels = 0;

    bool operator==(const OutsideMask&) const = default;
};

namespace detail {

inline void require_alike(const Frames& clip, const Frames& edited, const PixelMask& mask) {
    require(clip.count == edited.count && clip.height == edited.height && clip.width == edited.width &&
                clip.rgb.size() == edited.rgb.size(),
            "mask: the clip has ", clip.count, " frames of ", clip.width, "x", clip.height, ", the edit ", edited.count,
            " of ", edited.width, "x", edited.height, "; expected equal sizes");
    require(mask.everywhere() || (mask.count == clip.count && mask.height == clip.height && mask.width == clip.width),
            "mask: it has ", mask.count, " frames of ", mask.width, "x", mask.height, ", the clip ", clip.count, " of ",
            clip.width, "x", clip.height, "; expected equal sizes");
}

} // namespace detail

/// The edit where the mask lets it be, and elsewhere the clip's own bytes. Throws Error when the sizes are not alike.
[[nodiscard]] inline Frames keep_outside(const Frames& clip, const Frames& edited, const PixelMask& mask) {
    detail::require_alike(clip, edited, mask);
    Frames result = edited;
    for (std::size_t i = 0; i < mask.values.size(); ++i) {
        const float share = mask.values[i];
        for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
            const float own = clip.rgb[c];
            result.rgb[c] =
                share == 1
                    ? edited.rgb[c]
                    : static_cast<std::uint8_t>(std::lround(own + share * (static_cast<float>(edited.rgb[c]) - own)));
        }
    }
    return result;
}

/// Counts the pixels outside of the mask, and those of them that are not the clip's own to the byte. Throws Error when
/// the sizes are not alike.
[[nodiscard]] inline OutsideMask count_outside(const Frames& clip, const Frames& result, const PixelMask& mask) {
    detail::require_alike(clip, result, mask);
    OutsideMask found;
    for (std::size_t i = 0; i < mask.values.size(); ++i) {
        if (mask.values[i] == 0) {
            ++found.pixels;
            const auto pixel = static_cast<std::ptrdiff_t>(3 * i);
            found.changed +=
                std::equal(clip.rgb.begin() + pixel, clip.rgb.begin() + pixel + 3, result.rgb.begin() + pixel) ? 0 : 1;
        }
    }
    return found;
}

} // namespace reel
