#pragma once
// Resizing pictures as Pillow does. No other library.

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/pictures/frames.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reel {

namespace detail {

/// Keys' cubic with a = -1/2 (Keys 1981, eq. 15).
[[nodiscard]] inline double keys_cubic(double x) {
    constexpr double a = -0.5;
    x = std::abs(x);
    if (x < 1) {
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    }
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

/// What of one axis a new pixel is made of: weights of the pixels from `first` on, with 22 bits after the point.
struct ResizeTaps {
    int first = 0;
    std::vector<std::int32_t> weights{};
};

inline constexpr int resize_weight_bits = 22;

/// Weights for all pixels of an axis. When it shrinks, the cubic is stretched, so that every old pixel counts.
[[nodiscard]] inline std::vector<ResizeTaps> bicubic_taps(int from, int to) {
    const double step = static_cast<double>(from) / to;
    const double stretch = std::max(step, 1.0);
    const double reach = 2 * stretch;
    std::vector<ResizeTaps> taps(static_cast<std::size_t>(to));
    for (int i = 0; i < to; ++i) {
        const double centre = (i + 0.5) * step;
        const int first = std::max(static_cast<int>(centre - reach + 0.5), 0);
        const int last = std::min(static_cast<int>(centre + reach + 0.5), from);
        std::vector<double> weights;
        double sum = 0;
        for (int k = first; k < last; ++k) {
            weights.push_back(keys_cubic((k - centre + 0.5) * (1 / stretch)));
            sum += weights.back();
        }
        ResizeTaps& out = taps[static_cast<std::size_t>(i)];
        out.first = first;
        for (const double weight : weights) {
            out.weights.push_back(static_cast<std::int32_t>(std::lround(weight / sum * (1 << resize_weight_bits))));
        }
    }
    return taps;
}

/// Resizes the middle axis of bytes [outer, from, inner].
[[nodiscard]] inline std::vector<std::uint8_t> resize_axis(const std::vector<std::uint8_t>& bytes, std::size_t outer,
                                                           int from, int to, std::size_t inner) {
    const std::vector<ResizeTaps> taps = bicubic_taps(from, to);
    std::vector<std::uint8_t> result(outer * static_cast<std::size_t>(to) * inner);
    std::vector<std::int64_t> sums(inner);
    for (std::size_t o = 0; o < outer; ++o) {
        for (int i = 0; i < to; ++i) {
            const ResizeTaps& t = taps[static_cast<std::size_t>(i)];
            ranges::fill(sums, std::int64_t{1} << (resize_weight_bits - 1));
            for (std::size_t k = 0; k < t.weights.size(); ++k) {
                const std::uint8_t* source =
                    bytes.data() + (o * static_cast<std::size_t>(from) + static_cast<std::size_t>(t.first) + k) * inner;
                for (std::size_t j = 0; j < inner; ++j) {
                    sums[j] += std::int64_t{t.weights[k]} * source[j];
                }
            }
            std::uint8_t* target =
                result.data() + (o * static_cast<std::size_t>(to) + static_cast<std::size_t>(i)) * inner;
            for (std::size_t j = 0; j < inner; ++j) {
                target[j] = static_cast<std::uint8_t>(std::clamp<std::int64_t>(sums[j] >> resize_weight_bits, 0, 255));
            }
        }
    }
    return result;
}

} // namespace detail

/// A clip resized to height x width by bicubic interpolation, smoothed first where it shrinks: byte for byte what
/// Pillow's Image.resize(..., BICUBIC) makes of each frame, which is what CLIP's preprocessing asks for. First the
/// columns, then the rows, each rounded to bytes; Pillow 13 takes the rows first where the height shrinks much more
/// than the width, which differs by a few levels. Throws Error for a clip without frames or sizes out of range.
[[nodiscard]] inline Frames resize_bicubic(const Frames& frames, int height, int width) {
    require_frames(frames, "resize_bicubic");
    require(height > 0 && width > 0 && height <= max_picture_side && width <= max_picture_side,
            "resize_bicubic: cannot make frames of ", width, "x", height);
    Frames result = frames;
    if (width != frames.width) {
        const auto rows = static_cast<std::size_t>(frames.count) * static_cast<std::size_t>(frames.height);
        result.rgb = detail::resize_axis(result.rgb, rows, frames.width, width, 3);
        result.width = width;
    }
    if (height != frames.height) {
        result.rgb = detail::resize_axis(result.rgb, static_cast<std::size_t>(frames.count), frames.height, height,
                                         result.row_bytes());
        result.height = height;
    }
    return result;
}

} // namespace reel
