#pragma once
// A table of samplers as files: a picture of what they made, numbers, and a plot.

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <reel/io/pictures/frames.hpp>

namespace comparison {

/// One sampler with one number of steps.
struct Entry {
    std::string sampler;
    int steps = 0;
    int model_calls = 0;
    double seconds = 0;
    double distance = 0; ///< to the reference, relative
    bool draws = false;  ///< noise: another sample of the distribution, not nearer and nearer to the reference
    reel::Frames picture{};
};

/// Letters of 3 x 5 points: five rows of three bits, the highest first. Anything else is a blank.
[[nodiscard]] inline std::uint16_t letter_points(char letter) {
    constexpr std::string_view known = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+-_.";
    constexpr std::array<std::uint16_t, known.size()> points{
        0b111101101101111, 0b010110010010111, 0b111001111100111, 0b111001011001111, 0b101101111001001,
        0b111100111001111, 0b111100111101111, 0b111001001010010, 0b111101111101111, 0b111101111001111,
        0b010101111101101, 0b110101110101110, 0b011100100100011, 0b110101101101110, 0b111100110100111,
        0b111100110100100, 0b011100101101011, 0b101101111101101, 0b111010010010111, 0b001001001101010,
        0b101101110101101, 0b100100100100111, 0b101111111101101, 0b110101101101101, 0b010101101101010,
        0b110101110100100, 0b010101101111011, 0b110101110101101, 0b011100010001110, 0b111010010010010,
        0b101101101101111, 0b101101101101010, 0b101101111111101, 0b101101010101101, 0b101101010010010,
        0b111001010100111, 0b000010111010000, 0b000000111000000, 0b000000000000111, 0b000000000000010};
    const auto at = known.find(static_cast<char>(std::toupper(static_cast<unsigned char>(letter))));
    return at == std::string_view::npos ? std::uint16_t{0} : points[at];
}

/// Writes a line of text, black, each point `size` pixels a side. What does not fit is cut off.
inline void draw_text(reel::Frames& picture, std::string_view text, int top, int left, int size) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::uint16_t points = letter_points(text[i]);
        for (int p = 0; p < 15; ++p) {
            if (((points >> (14 - p)) & 1) == 0) {
                continue;
            }
            for (int dy = 0; dy < size; ++dy) {
                for (int dx = 0; dx < size; ++dx) {
                    const int y = top + p / 3 * size + dy;
                    const int x = left + (static_cast<int>(i) * 4 + p % 3) * size + dx;
                    if (y >= 0 && y < picture.height && x >= 0 && x < picture.width) {
                        std::fill_n(picture.pixel(0, y, x), 3, std::uint8_t{0});
                    }
                }
            }
        }
    }
}

/// Samplers down, step counts across, both written on it, on white; first the reference alone. Of a clip, its middle
/// frame.
[[nodiscard]] inline reel::Frames contact_sheet(const std::vector<std::string>& samplers, const std::vector<int>& steps,
                                                const std::vector<Entry>& entries, const Entry& reference) {
    constexpr int size = 2;
    constexpr int gap = 6;
    const int side_y = reference.picture.height;
    const int side_x = reference.picture.width;
    std::size_t longest = reference.sampler.size();
    for (const std::string& name : samplers) {
        longest = std::max(longest, name.size());
    }
    const int left = static_cast<int>(longest) * 4 * size + 2 * gap;
    const int cell = std::max(side_x, 24 * size) + gap;
    const int top = 5 * size + 2 * gap;
    const int rows = static_cast<int>(samplers.size()) + 1;
    reel::Frames sheet =
        reel::make_frames(1, top + rows * (side_y + gap), left + static_cast<int>(steps.size()) * cell);
    std::fill(sheet.rgb.begin(), sheet.rgb.end(), std::uint8_t{255});
    const auto place = [&](const Entry& entry, int row, int column) {
        const int y0 = top + row * (side_y + gap);
        for (int y = 0; y < side_y; ++y) {
            std::copy_n(entry.picture.pixel(entry.picture.count / 2, y, 0), 3 * side_x,
                        sheet.pixel(0, y0 + y, left + column * cell));
        }
        draw_text(sheet, entry.sampler, y0 + (side_y - 5 * size) / 2, gap, size);
    };
    for (std::size_t k = 0; k < steps.size(); ++k) {
        draw_text(sheet, std::to_string(steps[k]), gap, left + static_cast<int>(k) * cell, size);
    }
    place(reference, 0, 0);
    for (const Entry& entry : entries) {
        const auto row = std::find(samplers.begin(), samplers.end(), entry.sampler) - samplers.begin();
        const auto column = std::find(steps.begin(), steps.end(), entry.steps) - steps.begin();
        place(entry, static_cast<int>(row) + 1, static_cast<int>(column));
    }
    return sheet;
}

template <class... Values>
[[nodiscard]] std::string format(const char* pattern, Values... values) {
    std::array<char, 400> text{};
    std::snprintf(text.data(), text.size(), pattern, values...);
    return text.data();
}

[[nodiscard]] inline std::string csv(const std::vector<Entry>& entries) {
    std::string text = "sampler,steps,model_calls,seconds,distance,draws_noise\n";
    for (const Entry& e : entries) {
        text += format("%s,%d,%d,%.4f,%.6g,%s\n", e.sampler.c_str(), e.steps, e.model_calls, e.seconds, e.distance,
                       e.draws ? "true" : "false");
    }
    return text;
}

[[nodiscard]] inline std::string markdown(const std::vector<Entry>& entries, const Entry& reference) {
    std::string text = "| sampler | steps | model calls | seconds | distance to " + reference.sampler +
                       " |\n|---|---:|---:|---:|---:|\n";
    for (const Entry& e : entries) {
        text += format("| %s%s | %d | %d | %.2f | %.4f |\n", e.sampler.c_str(), e.draws ? " *" : "", e.steps,
                       e.model_calls, e.seconds, e.distance);
    }
    return text +
           "\n\\* draws noise: its results come from the same distribution, and do not approach the reference.\n";
}

/// Distance over model calls, both axes logarithmic, as SVG.
[[nodiscard]] inline std::string svg(const std::vector<std::string>& samplers, const std::vector<Entry>& entries) {
    constexpr double width = 760;
    constexpr double height = 460;
    constexpr double left = 70;
    constexpr double right = 590;
    constexpr double top = 20;
    constexpr double bottom = 410;
    constexpr std::array<const char*, 12> colours{"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf",
                                                  "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#000000", "#4b0082"};
    double low_x = 1e9, high_x = 1, low_y = 1e9, high_y = 1e-9;
    const auto level = [](const Entry& e) { return std::max(e.distance, 1e-6); };
    for (const Entry& e : entries) {
        low_x = std::min<double>(low_x, e.model_calls);
        high_x = std::max<double>(high_x, e.model_calls);
        low_y = std::min(low_y, level(e));
        high_y = std::max(high_y, level(e));
    }
    low_y = std::pow(10, std::floor(std::log10(low_y)));
    high_y = std::pow(10, std::ceil(std::log10(high_y * 1.0001)));
    const double span_x = std::max(std::log(high_x / low_x), 1e-9);
    const auto at_x = [&](double calls) { return left + (right - left) * std::log(calls / low_x) / span_x; };
    const auto at_y = [&](double d) {
        return bottom - (bottom - top) * std::log(d / low_y) / std::log(high_y / low_y);
    };
    std::string text = format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
                              "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
                              "fill=\"white\"/>\n",
                              width, height);
    const auto line = [&](double x1, double y1, double x2, double y2, const char* colour) {
        text +=
            format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour);
    };
    const auto write = [&](double x, double y, const char* anchor, const std::string& words) {
        text += format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, words.c_str());
    };
    for (double d = low_y; d <= high_y * 1.001; d *= 10) {
        line(left, at_y(d), right, at_y(d), "#dddddd");
        write(left - 6, at_y(d) + 4, "end", format("%g", d));
    }
    for (double calls = 1; calls <= high_x; calls *= 10) {
        for (const double part : {1.0, 2.0, 5.0}) {
            if (calls * part >= low_x && calls * part <= high_x) {
                line(at_x(calls * part), top, at_x(calls * part), bottom, "#dddddd");
                write(at_x(calls * part), bottom + 16, "middle", format("%g", calls * part));
            }
        }
    }
    line(left, top, left, bottom, "black");
    line(left, bottom, right, bottom, "black");
    write((left + right) / 2, height - 12, "middle", "model calls");
    text += format("<text x=\"16\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 16 %.1f)\">distance to the "
                   "reference</text>\n",
                   (top + bottom) / 2, (top + bottom) / 2);
    for (std::size_t k = 0; k < samplers.size(); ++k) {
        const char* colour = colours[k % colours.size()];
        std::string points;
        std::string marks;
        bool draws = false;
        for (const Entry& e : entries) {
            if (e.sampler == samplers[k]) {
                points += format("%.1f,%.1f ", at_x(e.model_calls), at_y(level(e)));
                marks += format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", at_x(e.model_calls),
                                at_y(level(e)), colour);
                draws = draws || e.draws;
            }
        }
        text += "<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"1.5\"" +
                (draws ? " stroke-dasharray=\"5 4\"" : "") + " points=\"" + points + "\"/>\n" + marks;
        const double y = top + 10 + 18 * static_cast<double>(k);
        line(right + 16, y - 4, right + 40, y - 4, colour);
        write(right + 46, y, "start", samplers[k]);
    }
    return text + "</svg>\n";
}

} // namespace comparison
