#pragma once
// Errors of pixels. No other library.

#include <reel/metrics/clip_view.hpp>

#include <cmath>
#include <limits>

namespace reel::metrics {

/// Mean over pixels and channels of (a - b)^2, over the whole clip, without the pixels marked in `excluded` (empty:
/// none). Throws Error when the clips are not alike or everything is excluded.
template <Clip A, Clip B>
[[nodiscard]] double mean_squared_error(const A& a, const B& b, std::span<const std::uint8_t> excluded = {}) {
    const auto x = view_of(a);
    const auto y = view_of(b);
    detail::require_alike(x, y, "mean_squared_error");
    detail::require_marks(x, excluded, "mean_squared_error");
    const auto channels = static_cast<std::size_t>(x.channels);
    double sum = 0;
    std::size_t counted = 0;
    for (std::size_t pixel = 0; pixel < x.pixels(); ++pixel) {
        if (!excluded.empty() && excluded[pixel] != 0) {
            continue;
        }
        for (std::size_t i = pixel * channels; i < (pixel + 1) * channels; ++i) {
            const double difference = static_cast<double>(x.values[i]) - static_cast<double>(y.values[i]);
            sum += difference * difference;
        }
        counted += channels;
    }
    require(counted > 0, "mean_squared_error: the excluded pixels leave nothing to measure");
    return sum / static_cast<double>(counted);
}

/// Peak signal-to-noise ratio in dB: 10 log10(range^2 / mean squared error). Infinite for equal clips. As
/// scikit-image's peak_signal_noise_ratio over the whole clip. Throws Error as mean_squared_error().
template <Clip A, Clip B>
[[nodiscard]] double psnr(const A& a, const B& b, std::span<const std::uint8_t> excluded = {}) {
    const double error = mean_squared_error(a, b, excluded);
    const double range = view_of(a).range;
    return error > 0 ? 10 * std::log10(range * range / error) : std::numeric_limits<double>::infinity();
}

} // namespace reel::metrics
