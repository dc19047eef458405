#pragma once
// Structural similarity. No other library.

#include <reel/metrics/clip_view.hpp>

#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace reel::metrics {

/// How local statistics are taken. The defaults are those of Wang et al. 2004; {.gaussian = false,
/// .sample_covariance = true} is scikit-image's default.
struct SsimOptions {
    bool gaussian = true;           ///< weights of a Gaussian; otherwise all equal
    double sigma = 1.5;             ///< of the Gaussian, in pixels
    int radius = 0;                 ///< of the window; 0: 3.5 sigma, rounded (5), or 3 (a 7x7 window) without Gaussian
    bool sample_covariance = false; ///< variances with n - 1 in place of n
    double k1 = 0.01;
    double k2 = 0.03;
};

namespace detail {

/// The window's weights along one axis; their sum is 1.
[[nodiscard]] inline std::vector<double> ssim_weights(const SsimOptions& options) {
    require(options.radius >= 0 && (!options.gaussian || options.sigma > 0), "ssim: radius ", options.radius,
            " and sigma ", options.sigma, "; expected 0 or more, and more than 0");
    const int usual = options.gaussian ? static_cast<int>(3.5 * options.sigma + 0.5) : 3;
    const int radius = options.radius > 0 ? options.radius : usual;
    std::vector<double> weights;
    for (int i = -radius; i <= radius; ++i) {
        weights.push_back(options.gaussian ? std::exp(-0.5 * i * i / (options.sigma * options.sigma)) : 1.0);
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (double& weight : weights) {
        weight /= sum;
    }
    return weights;
}

/// Weighted means over the windows that lie in a plane [height, width]: [height - 2 radius, width - 2 radius].
[[nodiscard]] inline std::vector<double> window_means(const std::vector<double>& plane, int height, int width,
                                                      const std::vector<double>& weights) {
    const auto taps = static_cast<int>(weights.size());
    const int inner_width = width - taps + 1;
    const int inner_height = height - taps + 1;
    std::vector<double> rows(static_cast<std::size_t>(height * inner_width), 0.0);
    for (int y = 0; y < height; ++y) {
        double* row = rows.data() + static_cast<std::ptrdiff_t>(y) * inner_width;
        for (int k = 0; k < taps; ++k) {
            const double* source = plane.data() + static_cast<std::ptrdiff_t>(y) * width + k;
            for (int x = 0; x < inner_width; ++x) {
                row[x] += weights[static_cast<std::size_t>(k)] * source[x];
            }
        }
    }
    std::vector<double> means(static_cast<std::size_t>(inner_height * inner_width), 0.0);
    for (int y = 0; y < inner_height; ++y) {
        double* row = means.data() + static_cast<std::ptrdiff_t>(y) * inner_width;
        for (int k = 0; k < taps; ++k) {
            const double* source = rows.data() + static_cast<std::ptrdiff_t>(y + k) * inner_width;
            for (int x = 0; x < inner_width; ++x) {
                row[x] += weights[static_cast<std::size_t>(k)] * source[x];
            }
        }
    }
    return means;
}

} // namespace detail

/// Mean structural similarity of two clips, 1 for equal ones (Wang et al. 2004, "Image quality assessment: from error
/// visibility to structural similarity", eq. 13). With local means m, variances v and covariance c of a channel,
///
///     SSIM = (2 ma mb + C1) (2 cab + C2) / ((ma^2 + mb^2 + C1) (va + vb + C2)),   C1 = (k1 range)^2, C2 = (k2 range)^2
///
/// averaged over channels and over all pixels, of all frames, that are a window's radius away from the edge and not
/// marked in `excluded` (empty: none). A counted pixel's window may reach into excluded ones; grow the marks by the
/// radius to keep them out. Without exclusions it is scikit-image's structural_similarity with gaussian_weights=True,
/// sigma=1.5, use_sample_covariance=False, data_range=range. Throws Error when the clips are not alike, a frame is
/// smaller than the window or nothing is left to measure.
template <Clip A, Clip B>
[[nodiscard]] double ssim(const A& a, const B& b, const SsimOptions& options = {},
                          std::span<const std::uint8_t> excluded = {}) {
    const auto first = view_of(a);
    const auto second = view_of(b);
    detail::require_alike(first, second, "ssim");
    detail::require_marks(first, excluded, "ssim");
    const std::vector<double> weights = detail::ssim_weights(options);
    const auto taps = static_cast<int>(weights.size());
    const int height = first.height;
    const int width = first.width;
    require(height >= taps && width >= taps, "ssim: frames of ", width, "x", height, " are smaller than the window of ",
            taps, "x", taps);
    const double samples = static_cast<double>(taps) * taps;
    const double norm = options.sample_covariance ? samples / (samples - 1) : 1.0;
    const double c1 = std::pow(options.k1 * first.range, 2);
    const double c2 = std::pow(options.k2 * first.range, 2);
    double sum = 0;
    std::size_t counted = 0;
    std::array<std::vector<double>, 5> planes; // x, y, xx, yy, xy
    for (int frame = 0; frame < first.count; ++frame) {
        for (int channel = 0; channel < first.channels; ++channel) {
            for (auto& plane : planes) {
                plane.resize(first.frame_pixels());
            }
            std::size_t i = 0;
            for (int row = 0; row < height; ++row) {
                for (int column = 0; column < width; ++column, ++i) {
                    const double x = first.at(frame, row, column, channel);
                    const double y = second.at(frame, row, column, channel);
                    planes[0][i] = x;
                    planes[1][i] = y;
                    planes[2][i] = x * x;
                    planes[3][i] = y * y;
                    planes[4][i] = x * y;
                }
            }
            for (auto& plane : planes) {
                plane = detail::window_means(plane, height, width, weights);
            }
            const int inner_width = width - taps + 1;
            for (std::size_t at = 0; at < planes[0].size(); ++at) {
                const auto row = static_cast<int>(at) / inner_width + taps / 2;
                const auto column = static_cast<int>(at) % inner_width + taps / 2;
                if (!excluded.empty() && excluded[static_cast<std::size_t>(frame) * first.frame_pixels() +
                                                  static_cast<std::size_t>(row * width + column)] != 0) {
                    continue;
                }
                const double mx = planes[0][at];
                const double my = planes[1][at];
                const double vx = norm * (planes[2][at] - mx * mx);
                const double vy = norm * (planes[3][at] - my * my);
                const double cxy = norm * (planes[4][at] - mx * my);
                sum += (2 * mx * my + c1) * (2 * cxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2));
                ++counted;
            }
        }
    }
    require(counted > 0, "ssim: the excluded pixels leave nothing to measure");
    return sum / static_cast<double>(counted);
}

} // namespace reel::metrics
