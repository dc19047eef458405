#pragma once
// The pictures of make_metrics_golden.py, and what it computed from them.

#include <doctest/doctest.h>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/metrics/optical_flow.hpp>

#include <cmath>

namespace reel_test {

inline const nlohmann::json& golden_metrics() {
    static const nlohmann::json values = reel::read_json("metrics/golden/metrics.json");
    return values;
}

inline double golden_number(const char* name) {
    return golden_metrics().at(name).get<double>();
}

/// clip(kind) of the generator.
inline reel::Frames golden_clip(int kind) {
    reel::Frames frames = reel::make_frames(3, 24, 31);
    for (int f = 0; f < frames.count; ++f) {
        for (int y = 0; y < frames.height; ++y) {
            for (int x = 0; x < frames.width; ++x) {
                for (int c = 0; c < 3; ++c) {
                    int value = 40 + (7 * x + 5 * y + 11 * c + 3 * f) % 97 + (x * y + f) % 23;
                    if (kind == 1) {
                        value += ((13 * x + 29 * y + 17 * c + 7 * f + x * y * c) % 15 - 7) + 3;
                        const bool inside = y >= 5 + f && y < 13 + f && x >= 9 + 2 * f && x < 18 + 2 * f;
                        value = inside && f < 2 ? 250 - 20 * c : value;
                        value = f == 1 && y == 20 && x == 3 ? 255 : value;
                    }
                    frames.pixel(f, y, x)[c] = static_cast<std::uint8_t>(value);
                }
            }
        }
    }
    return frames;
}

/// waves(...) of the generator.
inline reel::metrics::Plane golden_waves(int height, int width, double dy = 0, double dx = 0) {
    reel::metrics::Plane plane(height, width);
    for (int row = 0; row < height; ++row) {
        for (int column = 0; column < width; ++column) {
            const double y = row - dy;
            const double x = column - dx;
            plane.at(row, column) = 0.5 + 0.2 * std::sin(0.7 * x + 0.3 * y) + 0.15 * std::cos(0.45 * y - 0.2 * x) +
                                    0.1 * std::sin(0.9 * y + 1);
        }
    }
    return plane;
}

} // namespace reel_test
