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

/// How much of each pixel may change, [count, height, width]: 0: not at all, `whole`: wholly; a byte, for masks may be
/// of many large frames. Without frames: all may.
struct PixelMask {
    static constexpr std::uint8_t whole = 255;

    int count = 0;
    int height = 0;
    int width = 0;
    std::vector<std::uint8_t> values{};

    PixelMask() = default;
    /// Nothing may change.
    PixelMask(int frames, int rows, int columns)
        : count(frames), height(rows), width(columns), values(static_cast<std::size_t>(frames) * frame_size()) {}

    [[nodiscard]] bool everywhere() const { return count == 0; }
    [[nodiscard]] std::size_t frame_size() const {
        return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    }
    /// [height, width]. No check: meant for loops.
    [[nodiscard]] std::span<std::uint8_t> frame(int f) {
        return std::span(values).subspan(static_cast<std::size_t>(f) * frame_size(), frame_size());
    }
    /// [height, width]. No check: meant for loops.
    [[nodiscard]] std::span<const std::uint8_t> frame(int f) const {
        return std::span(values).subspan(static_cast<std::size_t>(f) * frame_size(), frame_size());
    }
    /// Pixels of a frame that may change.
    [[nodiscard]] std::int64_t pixels(int f) const {
        return ranges::count_if(frame(f), [](std::uint8_t value) { return value > 0; });
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
[[nodiscard]] std::vector<double> squared_distances(std::span<const std::uint8_t> frame, int height, int width,
                                                    const Wanted& wanted) {
    std::vector<double> map(frame.size());
    ranges::transform(frame, map.begin(), [&](std::uint8_t value) {
        return wanted(value) ? 0.0 : std::numeric_limits<double>::infinity();
    });
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
        const std::vector<double> squares = detail::squared_distances(mask.frame(f), mask.height, mask.width,
                                                                      [](std::uint8_t value) { return value > 0; });
        ranges::transform(squares, mask.frame(f).begin(), [&](double square) {
            return square <= radius * radius ? PixelMask::whole : std::uint8_t{0};
        });
    }
}

/// The edit fades in over `width` pixels inside the mask, linearly by the distance to the nearest pixel that stays.
inline void feather(PixelMask& mask, double width) {
    for (int f = 0; f < mask.count && width > 0; ++f) {
        const std::vector<double> squares = detail::squared_distances(mask.frame(f), mask.height, mask.width,
                                                                      [](std::uint8_t value) { return value == 0; });
        ranges::transform(squares, mask.frame(f).begin(), [&](double square) {
            const double share = std::min(1.0, std::sqrt(square) / (width + 1));
            const double value = std::round(PixelMask::whole * share); // what may change may not become what may not
            return static_cast<std::uint8_t>(square > 0 ? std::max(value, 1.0) : 0);
        });
    }
}

/// Pixels that no mask lets change.
struct OutsideMask {
    std::int64_t changed = 0; ///< and yet differ
    std::int64_t pixels = 0;

    bool operator==(const OutsideMask&) const = default;

    OutsideMask& operator+=(const OutsideMask& other) {
        changed += other.changed;
        pixels += other.pixels;
        return *this;
    }
};

namespace detail {

/// Moves a pixel toward another by a share of `whole`: at 0 it stays, at `whole` it becomes the other, to the byte.
inline void mix_pixel(std::uint8_t* pixel, const std::uint8_t* other, int share, int whole) {
    for (int c = 0; c < 3 && share > 0; ++c) {
        const double step = static_cast<double>(int{other[c]} - int{pixel[c]}) * share / whole;
        pixel[c] = static_cast<std::uint8_t>(std::lround(pixel[c] + step));
    }
}

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
        std::copy_n(clip.rgb.data() + 3 * i, 3, result.rgb.data() + 3 * i);
        detail::mix_pixel(result.rgb.data() + 3 * i, edited.rgb.data() + 3 * i, mask.values[i], PixelMask::whole);
    }
    return result;
}

/// Counts the pixels outside of the mask, and those of them that are not the clip's own to the byte: none where all may
/// change. Throws Error when the sizes are not alike.
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
