#pragma once
// Losses of a tuning: losses.csv, which a stopped run finds again to the last digit, and a curve for the report.

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>

namespace study {

/// The shortest text that is read back as the same number.
[[nodiscard]] inline std::string exact_text(double value) {
    std::array<char, 40> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return {text.data(), end};
}

struct Loss {
    std::int64_t step = 0;
    double loss = 0;
    double grad_norm = 0;
    double learning_rate = 0;
};

inline constexpr const char* losses_header = "step,loss,grad_norm,learning_rate";

/// One line per update. No times: two runs of the same give the same file.
inline void write_losses(const std::filesystem::path& path, const std::vector<Loss>& losses) {
    std::string text = std::string(losses_header) + "\n";
    for (const Loss& row : losses) {
        text += std::to_string(row.step) + "," + exact_text(row.loss) + "," + exact_text(row.grad_norm) + "," +
                exact_text(row.learning_rate) + "\n";
    }
    reel::write_file(path, text);
}

/// Reads back what write_losses() wrote, up to and including `last_step`; a missing file has no lines. Throws Error for
/// another file.
[[nodiscard]] inline std::vector<Loss> read_losses(const std::filesystem::path& path,
                                                   std::int64_t last_step = std::numeric_limits<std::int64_t>::max()) {
    std::vector<Loss> losses;
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
        Loss row;
        long long step = 0;
        const int fields =
            std::sscanf(line.c_str(), "%lld,%lf,%lf,%lf", &step, &row.loss, &row.grad_norm, &row.learning_rate);
        row.step = step;
        reel::require(fields == 4, path.string(), ": cannot read \"", line.substr(0, 80), "\"; expected ",
                      losses_header);
        if (row.step <= last_step) {
            losses.push_back(row);
        }
    }
    return losses;
}

/// The mean over the last tenth of the steps (at least one): single steps look at one noise level each, and scatter.
/// NaN without steps.
[[nodiscard]] inline double final_loss(const std::vector<Loss>& losses) {
    if (losses.empty()) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    const std::size_t count = std::max<std::size_t>(1, losses.size() / 10);
    const auto first = losses.end() - static_cast<std::ptrdiff_t>(count);
    return std::accumulate(first, losses.end(), 0.0, [](double sum, const Loss& row) { return sum + row.loss; }) /
           static_cast<double>(count);
}

namespace detail {

template <class... Values>
[[nodiscard]] std::string printed(const char* pattern, Values... values) {
    std::array<char, 300> text{};
    std::snprintf(text.data(), text.size(), pattern, values...);
    return text.data();
}

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
        text += printed("%.1f,%.1f ", x, 170 - 150 * (values[i] - low) / (high - low));
    }
    return text;
}

} // namespace detail

/// A curve as an SVG element inside a page: the losses in grey, where there are many, and their mean over some
/// 20 stretches in colour.
[[nodiscard]] inline std::string loss_curve(const std::vector<Loss>& losses) {
    std::vector<double> values;
    for (const Loss& row : losses) {
        if (std::isfinite(row.loss)) {
            values.push_back(row.loss);
        }
    }
    if (values.empty()) {
        return "<p>no losses</p>\n";
    }
    const double low = std::min(0.0, *std::ranges::min_element(values));
    const double high = std::max(*std::ranges::max_element(values), low + 1e-9);
    std::string text = "<svg class=\"curve\" viewBox=\"0 0 640 210\" role=\"img\" aria-label=\"loss over steps\">\n";
    for (int i = 0; i <= 2; ++i) {
        const double y = 170 - 75.0 * i;
        text += detail::printed("<line class=\"grid\" x1=\"60\" x2=\"620\" y1=\"%.1f\" y2=\"%.1f\"/>\n", y, y);
        text += detail::printed("<text x=\"54\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", y + 4,
                                low + (high - low) * i / 2);
    }
    const bool many = values.size() > 20;
    text += reel::concat_text("<polyline class=\"", many ? "faint" : "line", "\" points=\"",
                              detail::points(detail::means(values, 560), low, high), "\"/>\n");
    if (many) {
        text += "<polyline class=\"line\" points=\"" + detail::points(detail::means(values, 20), low, high) + "\"/>\n";
    }
    text += "<text x=\"60\" y=\"188\">1</text>\n<text x=\"340\" y=\"204\" text-anchor=\"middle\">step</text>\n";
    text += detail::printed("<text x=\"620\" y=\"188\" text-anchor=\"end\">%zu</text>\n</svg>\n", losses.size());
    return text;
}

} // namespace study
