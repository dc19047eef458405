#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <reel/tensor.hpp>

namespace reel {

/// Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, section 2.3): predicted clean samples are clamped to
/// [-s, s] and divided by s, which is the quantile `dynamic_thresholding_ratio` of the absolute values, but at least 1
/// and at most `sample_max_value`. For models of pixels; latents are not bound to [-1, 1]. Names and defaults are
/// diffusers'.
struct Thresholding {
    bool thresholding = false;
    double dynamic_thresholding_ratio = 0.995;
    double sample_max_value = 1;

    friend bool operator==(const Thresholding&, const Thresholding&) = default;
};

namespace functors {

/// z = clamp(x, -s, s) / s with one s per entry of the leading axis
template <class T>
struct ClampRows {
    index_t row_size;
    const T* s;
    const T* x;
    T* z;
    constexpr void operator()(index_t i) const {
        const T limit = s[i / row_size];
        const T value = x[i];
        z[i] = (value < -limit ? -limit : (value > limit ? limit : value)) / limit;
    }
};

} // namespace functors

namespace detail {

/// Throws Error, starting with the scheduler's name, for values that make no sense.
inline void check_thresholding(std::string_view scheduler, const Thresholding& options) {
    if (options.thresholding) {
        require(options.dynamic_thresholding_ratio >= 0 && options.dynamic_thresholding_ratio <= 1, scheduler,
                ": dynamic_thresholding_ratio is ", options.dynamic_thresholding_ratio, "; expected 0 to 1");
        require(options.sample_max_value > 0, scheduler, ": sample_max_value is ", options.sample_max_value,
                "; expected a number above 0");
    }
}

} // namespace detail

/// The thresholded sample; each entry of the leading axis has its own quantile. The quantiles are found on the host.
/// Throws Error for a sample that is empty or not a number somewhere.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> dynamic_threshold(const Tensor<T, B>& sample, const Thresholding& options) {
    require(sample.rank() > 0 && sample.size() > 0, "dynamic_threshold: the sample has shape ", sample.shape(),
            "; expected a leading axis and values");
    const index_t rows = sample.shape(0);
    const index_t row_size = sample.size() / rows;
    std::vector<T> values = sample.to_host();
    std::vector<T> limits;
    for (index_t row = 0; row < rows; ++row) {
        const auto begin = values.begin() + row * row_size;
        const auto end = begin + row_size;
        std::transform(begin, end, begin, [](T value) { return std::abs(value); });
        require(std::none_of(begin, end, [](T value) { return std::isnan(value); }),
                "dynamic_threshold: the predicted sample is not a number (NaN) somewhere in entry ", row,
                " of its leading axis");
        std::sort(begin, end);
        const double rank = options.dynamic_thresholding_ratio * static_cast<double>(row_size - 1);
        const auto below = static_cast<index_t>(rank);
        const auto low = static_cast<double>(begin[below]);
        const auto high = static_cast<double>(begin[std::min(below + 1, row_size - 1)]);
        const double quantile = low + (rank - static_cast<double>(below)) * (high - low);
        limits.push_back(static_cast<T>(std::min(std::max(quantile, 1.0), options.sample_max_value)));
    }
    const auto limit = Tensor<T, B>::from_host(sample.backend(), {rows}, limits);
    Tensor<T, B> result(sample.backend(), sample.shape());
    sample.backend().for_each_index(sample.size(),
                                    functors::ClampRows<T>{row_size, limit.data(), sample.data(), result.data()});
    return result;
}

} // namespace reel
