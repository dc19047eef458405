#pragma once

#include <cmath>
#include <numeric>

#include <reel/core/ranges.hpp>
#include <reel/pipelines/mask_options.hpp>
#include <reel/pipelines/regions.hpp>
#include <reel/tensor.hpp>

namespace reel {

namespace detail {

/// Values [frames, height, width] on the host.
struct HostMap {
    index_t frames;
    index_t height;
    index_t width;
    std::vector<double> values;

    [[nodiscard]] double& at(index_t f, index_t y, index_t x) {
        return values[static_cast<std::size_t>((f * height + y) * width + x)];
    }
    [[nodiscard]] double at(index_t f, index_t y, index_t x) const {
        return values[static_cast<std::size_t>((f * height + y) * width + x)];
    }
};

/// A new map whose value at a pixel is reduce(sum, maximum, count) over the square of `radius` around it, cut off at
/// the picture's edges.
template <class Reduce>
[[nodiscard]] HostMap over_squares(const HostMap& map, index_t radius, const Reduce& reduce) {
    HostMap result = map;
    for (index_t f = 0; f < map.frames; ++f) {
        for (index_t y = 0; y < map.height; ++y) {
            for (index_t x = 0; x < map.width; ++x) {
                double sum = 0;
                double maximum = 0;
                index_t count = 0;
                for (index_t v = std::max<index_t>(y - radius, 0); v <= std::min(y + radius, map.height - 1); ++v) {
                    for (index_t u = std::max<index_t>(x - radius, 0); u <= std::min(x + radius, map.width - 1); ++u) {
                        sum += map.at(f, v, u);
                        maximum = std::max(maximum, map.at(f, v, u));
                        ++count;
                    }
                }
                result.at(f, y, x) = reduce(sum, maximum, static_cast<double>(count));
            }
        }
    }
    return result;
}

/// The value below which a share of all lies: of n sorted values the one at round(share * (n - 1)).
[[nodiscard]] inline double quantile_of(std::vector<double> values, double share) {
    const auto index = static_cast<std::ptrdiff_t>(std::lround(share * static_cast<double>(values.size() - 1)));
    std::nth_element(values.begin(), values.begin() + index, values.end());
    return values[static_cast<std::size_t>(index)];
}

/// Clears all but the `count` regions of a frame over which `weights` add up to most.
inline void keep_regions(std::span<double> mask, std::span<const double> weights, int height, int width,
                         index_t count) {
    const std::vector<std::uint8_t> marks(mask.begin(), mask.end());
    const Regions regions = connected_regions(marks, height, width);
    std::vector<double> sums(regions.sizes.size(), 0);
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (regions.labels[i] != 0) {
            sums[static_cast<std::size_t>(regions.labels[i] - 1)] += weights[i];
        }
    }
    std::vector<std::size_t> order(sums.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return sums[a] > sums[b]; });
    order.resize(std::min(order.size(), static_cast<std::size_t>(count)));
    for (std::size_t i = 0; i < mask.size(); ++i) {
        const auto region = static_cast<std::size_t>(regions.labels[i]);
        if (region != 0 && ranges::find(order, region - 1) == order.end()) {
            mask[i] = 0;
        }
    }
}

} // namespace detail

/// The mask of a map of differences [frames, h, w, 1] (values from 0): 1 where the smoothed map is above the threshold
/// of its reference value, else 0. A map of zeros, or of rounding, gives a mask of zeros. The steps are those of
/// DiffEdit (Couairon et al. 2022, arXiv:2210.11427, section 3.2). Computed on the host: maps are small. Throws Error
/// for an option out of range.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> mask_of(const Tensor<T, B>& difference, const MaskOptions& options) {
    require(difference.rank() == 4 && difference.shape(3) == 1 && difference.size() > 0, "mask_of: a map ",
            difference.shape(), "; expected [frames, h, w, 1]");
    check_options(options, [](std::string_view name) { return concat_text("mask_of: ", name); });
    const std::vector<T> given = difference.to_host();
    detail::HostMap map{difference.shape(0), difference.shape(1), difference.shape(2), {given.begin(), given.end()}};
    if (options.smooth > 0) {
        map = detail::over_squares(map, options.smooth,
                                   [](double sum, double /*maximum*/, double count) { return sum / count; });
    }
    detail::HostMap mask = map;
    const auto pixels = static_cast<std::size_t>(map.height * map.width);
    const double clip_value = detail::quantile_of(map.values, options.quantile);
    for (std::size_t first = 0; first < map.values.size(); first += pixels) {
        const std::span<const double> weights(map.values.data() + first, pixels);
        const double reference =
            options.per_frame ? detail::quantile_of({weights.begin(), weights.end()}, options.quantile) : clip_value;
        const std::span<double> frame(mask.values.data() + first, pixels);
        for (std::size_t i = 0; i < pixels; ++i) {
            frame[i] = reference >= options.floor && weights[i] > options.threshold * reference ? 1 : 0;
        }
        if (options.regions > 0) {
            detail::keep_regions(frame, weights, static_cast<int>(map.height), static_cast<int>(map.width),
                                 options.regions);
        }
    }
    if (options.dilate > 0) {
        mask = detail::over_squares(mask, options.dilate,
                                    [](double /*sum*/, double maximum, double /*count*/) { return maximum; });
    }
    const std::vector<T> values(mask.values.begin(), mask.values.end());
    return Tensor<T, B>::from_host(difference.backend(), difference.shape(), std::span<const T>(values));
}

} // namespace reel
