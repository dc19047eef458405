#pragma once
// Curves over two logarithmic axes, as SVG. No other library.

#include <reel/core/error.hpp>
#include <reel/core/format_text.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace reel {

/// Points (x, y), above 0, that a line connects.
struct PlotSeries {
    std::string label;
    std::vector<std::pair<double, double>> points;
    bool dashed = false;
};

/// What a plot shows.
struct LogPlot {
    std::string x_label;
    std::string y_label;
    std::vector<PlotSeries> series;
};

namespace detail {

/// The plot's elements, from values to places.
class LogPlotWriter {
public:
    explicit LogPlotWriter(const LogPlot& plot) : plot_(plot) {
        for (const PlotSeries& series : plot.series) {
            for (const auto& [x, y] : series.points) {
                require(x > 0 && y > 0, "log_plot_svg: \"", series.label, "\" has a point at ", x, ", ", y,
                        "; both must be above 0");
                low_x_ = std::min(low_x_, x);
                high_x_ = std::max(high_x_, x);
                low_y_ = std::min(low_y_, y);
                high_y_ = std::max(high_y_, y);
            }
        }
        low_y_ = std::pow(10, std::floor(std::log10(low_y_)));
        high_y_ = std::pow(10, std::ceil(std::log10(high_y_ * 1.0001)));
        span_x_ = std::max(std::log(high_x_ / low_x_), 1e-9);
    }

    [[nodiscard]] std::string svg() {
        text_ = format_text("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
                            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
                            "fill=\"white\"/>\n",
                            width, height);
        axes();
        for (std::size_t k = 0; k < plot_.series.size(); ++k) {
            curve(plot_.series[k], colours[k % colours.size()], top + 10 + 18 * static_cast<double>(k));
        }
        return text_ + "</svg>\n";
    }

private:
    static constexpr double width = 760;
    static constexpr double height = 460;
    static constexpr double left = 70;
    static constexpr double right = 590;
    static constexpr double top = 20;
    static constexpr double bottom = 410;
    static constexpr std::array<const char*, 12> colours{"#1f77b4", "#d62728", "#2ca02c", "#9467bd",
                                                         "#ff7f0e", "#17becf", "#8c564b", "#e377c2",
                                                         "#7f7f7f", "#bcbd22", "#000000", "#4b0082"};

    [[nodiscard]] double at_x(double x) const { return left + (right - left) * std::log(x / low_x_) / span_x_; }
    [[nodiscard]] double at_y(double y) const {
        return bottom - (bottom - top) * std::log(y / low_y_) / std::log(high_y_ / low_y_);
    }

    void line(double x1, double y1, double x2, double y2, const char* colour) {
        text_ += format_text("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2,
                             colour);
    }
    void write(double x, double y, const char* anchor, const std::string& words) {
        text_ += format_text("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, words.c_str());
    }

    void axes() {
        for (double y = low_y_; y <= high_y_ * 1.001; y *= 10) {
            line(left, at_y(y), right, at_y(y), "#dddddd");
            write(left - 6, at_y(y) + 4, "end", format_text("%g", y));
        }
        for (double decade = 1; decade <= high_x_; decade *= 10) {
            for (const double part : {1.0, 2.0, 5.0}) {
                if (decade * part >= low_x_ && decade * part <= high_x_) {
                    line(at_x(decade * part), top, at_x(decade * part), bottom, "#dddddd");
                    write(at_x(decade * part), bottom + 16, "middle", format_text("%g", decade * part));
                }
            }
        }
        line(left, top, left, bottom, "black");
        line(left, bottom, right, bottom, "black");
        write((left + right) / 2, height - 12, "middle", plot_.x_label);
        text_ += format_text(
            "<text x=\"16\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 16 %.1f)\">%s</text>\n",
            (top + bottom) / 2, (top + bottom) / 2, plot_.y_label.c_str());
    }

    void curve(const PlotSeries& series, const char* colour, double label_y) {
        std::string points;
        std::string marks;
        for (const auto& [x, y] : series.points) {
            points += format_text("%.1f,%.1f ", at_x(x), at_y(y));
            marks += format_text("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", at_x(x), at_y(y), colour);
        }
        text_ += "<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"1.5\"" +
                 (series.dashed ? " stroke-dasharray=\"5 4\"" : "") + " points=\"" + points + "\"/>\n" + marks;
        line(right + 16, label_y - 4, right + 40, label_y - 4, colour);
        write(right + 46, label_y, "start", series.label);
    }

    const LogPlot& plot_;
    double low_x_ = 1e9;
    double high_x_ = 1;
    double low_y_ = 1e9;
    double high_y_ = 1e-9;
    double span_x_ = 0;
    std::string text_;
};

} // namespace detail

/// The plot as the text of an SVG file. x is drawn from the smallest value (at most 1e9) to the largest, y in whole
/// decades. Throws Error for a point that is not above 0.
[[nodiscard]] inline std::string log_plot_svg(const LogPlot& plot) {
    return detail::LogPlotWriter(plot).svg();
}

} // namespace reel
