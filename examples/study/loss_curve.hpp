#pragma once
// A curve of a tuning's losses for the report.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

#include <reel/core/format_text.hpp>
#include <reel/core/ranges.hpp>
#include <reel/pipelines/loss_log.hpp>

namespace study {

namespace detail {

/// Means over stretches of equal length, at most `most` of them.
[[nodiscard]] inline std::vector<double> means(const std::vector<double>& values, std::size_t most) {
    const std::size_t length = (values.size() + most - 1) / std::max<std::size_t>(most, 1);
    std::vector<double> result;
    for (std::size_t first = 0; first < values.size(); first += length) {
        const std::size_t last = std::min(values.size(), first + length);
        result.push_back(std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(first),
                                         values.begin() + static_cast<std::ptrdiff_t>(last), 0.0) /
                         static_cast<double>(last - first));
    }
    return result;
}

/// The points of a polyline, from left to right. Values are finite.
[[nodiscard]] inline std::string points(const std::vector<double>& values, double low, double high) {
    std::string text;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double x = 60 + 560 * (static_cast<double>(i) + 0.5) / static_cast<double>(values.size());
        text += reel::format_text("%.1f,%.1f ", x, 170 - 150 * (values[i] - low) / (high - low));
    }
    return text;
}

} // namespace detail

/// A curve as an SVG element inside a page: the losses in grey, where there are many, and their mean over some
/// 20 stretches in colour.
[[nodiscard]] inline std::string loss_curve(const reel::LossLog& losses) {
    std::vector<double> values;
    for (const reel::LossLog::Row& row : losses.rows()) {
        if (std::isfinite(row.report.loss)) {
            values.push_back(row.report.loss);
        }
    }
    if (values.empty()) {
        return "<p>no losses</p>\n";
    }
    const double low = std::min(0.0, *reel::ranges::min_element(values));
    const double high = std::max(*reel::ranges::max_element(values), low + 1e-9);
    std::string text = "<svg class=\"curve\" viewBox=\"0 0 640 210\" role=\"img\" aria-label=\"loss over steps\">\n";
    for (int i = 0; i <= 2; ++i) {
        const double y = 170 - 75.0 * i;
        text += reel::format_text("<line class=\"grid\" x1=\"60\" x2=\"620\" y1=\"%.1f\" y2=\"%.1f\"/>\n", y, y);
        text += reel::format_text("<text x=\"54\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", y + 4,
                                  low + (high - low) * i / 2);
    }
    const bool many = values.size() > 20;
    text += reel::concat_text("<polyline class=\"", many ? "faint" : "line", "\" points=\"",
                              detail::points(detail::means(values, 560), low, high), "\"/>\n");
    if (many) {
        text += "<polyline class=\"line\" points=\"" + detail::points(detail::means(values, 20), low, high) + "\"/>\n";
    }
    text += "<text x=\"60\" y=\"188\">1</text>\n<text x=\"340\" y=\"204\" text-anchor=\"middle\">step</text>\n";
    text +=
        reel::format_text("<text x=\"620\" y=\"188\" text-anchor=\"end\">%zu</text>\n</svg>\n", losses.rows().size());
    return text;
}

} // namespace study
