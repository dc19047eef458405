#pragma once
// A drawn clip: a stick figure swings its arm. For trying programs that want a clip.

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include <reel/io/pictures/frames.hpp>

namespace demo {

struct Point {
    double x = 0;
    double y = 0;
};

using Color = std::array<double, 3>; // red, green, blue in 0..255

/// One frame of a clip to draw on. Positions and widths are in parts of the height, so that a drawing is the same at
/// every size; edges are soft over one pixel.
class Canvas {
public:
    Canvas(reel::Frames& frames, int index) : frames_(frames), index_(index) {}

    /// Paints every pixel with color(position).
    template <class Paint>
    void fill(const Paint& color) {
        each_pixel([&](Point at) { return color(at); }, [](Point) { return 1.0; });
    }

    /// A line with round ends; with equal ends, a disk.
    void line(Point from, Point to, double width, Color color) {
        const double soft = 1.0 / frames_.height;
        each_pixel([&](Point) { return color; },
                   [&](Point at) { return std::clamp((width / 2 - distance(at, from, to)) / soft + 0.5, 0.0, 1.0); });
    }

private:
    static double distance(Point at, Point from, Point to) {
        const Point along{to.x - from.x, to.y - from.y};
        const double length2 = along.x * along.x + along.y * along.y;
        const double part = length2 == 0 ? 0 : ((at.x - from.x) * along.x + (at.y - from.y) * along.y) / length2;
        const double t = std::clamp(part, 0.0, 1.0);
        return std::hypot(at.x - from.x - t * along.x, at.y - from.y - t * along.y);
    }

    template <class Paint, class Coverage>
    void each_pixel(const Paint& paint, const Coverage& coverage) {
        for (int y = 0; y < frames_.height; ++y) {
            for (int x = 0; x < frames_.width; ++x) {
                const Point at{(x + 0.5) / frames_.height, (y + 0.5) / frames_.height};
                const double alpha = coverage(at);
                if (alpha == 0) {
                    continue;
                }
                const Color color = paint(at);
                std::uint8_t* pixel = frames_.pixel(index_, y, x);
                for (std::size_t c = 0; c < 3; ++c) {
                    const double mixed = (1 - alpha) * pixel[c] + alpha * color[c];
                    pixel[c] = static_cast<std::uint8_t>(std::clamp(std::lround(mixed), 0L, 255L));
                }
            }
        }
    }

    reel::Frames& frames_;
    int index_;
};

/// `count` square frames of `side` pixels at `fps`: on a lawn under the sky a figure swings its arm forth and back
/// once.
inline reel::Frames stick_figure_clip(int count, int side, double fps) {
    reel::Frames clip = reel::make_frames(count, side, side, fps);
    const Color skin{205, 150, 115};
    const Color shirt{40, 70, 160};
    const Color trousers{55, 50, 50};
    for (int i = 0; i < count; ++i) {
        const double phase = 2 * std::numbers::pi * i / count;
        Canvas canvas(clip, i);
        canvas.fill([](Point at) {
            const double up = 1 - at.y;
            return at.y < 0.78 ? Color{190 - 70 * up, 215 - 40 * up, 240} : Color{95, 150 - 40 * (at.y - 0.78), 70};
        });
        const Point hip{0.45 + 0.01 * std::sin(phase), 0.58};
        const Point neck{hip.x - 0.02 * std::cos(phase), 0.33};
        canvas.line(hip, {0.36, 0.74}, 0.045, trousers);
        canvas.line({0.36, 0.74}, {0.34, 0.9}, 0.045, trousers);
        canvas.line(hip, {0.53, 0.74}, 0.045, trousers);
        canvas.line({0.53, 0.74}, {0.56, 0.9}, 0.045, trousers);
        canvas.line(neck, hip, 0.085, shirt);
        const Point shoulder{neck.x, neck.y + 0.03};
        canvas.line(shoulder, {shoulder.x - 0.11, shoulder.y + 0.13}, 0.04, shirt);
        canvas.line({shoulder.x - 0.11, shoulder.y + 0.13}, {shoulder.x - 0.07, shoulder.y + 0.25}, 0.04, skin);
        const double angle = -0.2 - 1.1 * std::cos(phase); // of the upper arm: 0 points forward, more is down
        const Point elbow{shoulder.x + 0.15 * std::cos(angle), shoulder.y + 0.15 * std::sin(angle)};
        const double bend = angle - 0.35 - 0.35 * std::sin(phase);
        const Point hand{elbow.x + 0.15 * std::cos(bend), elbow.y + 0.15 * std::sin(bend)};
        canvas.line(shoulder, elbow, 0.045, shirt);
        canvas.line(elbow, hand, 0.04, skin);
        canvas.line(hand, hand, 0.055, skin);
        const Point head{neck.x, neck.y - 0.1};
        canvas.line(head, head, 0.15, skin);
    }
    return clip;
}

} // namespace demo
