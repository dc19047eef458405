#pragma once
// A square picture to draw soft-edged shapes on. Distances are in pixels.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace world {

struct Vec {
    float x = 0;
    float y = 0;

    friend constexpr Vec operator+(Vec a, Vec b) { return {a.x + b.x, a.y + b.y}; }
    friend constexpr Vec operator-(Vec a, Vec b) { return {a.x - b.x, a.y - b.y}; }
    friend constexpr Vec operator*(float s, Vec a) { return {s * a.x, s * a.y}; }
};

[[nodiscard]] constexpr float dot(Vec a, Vec b) {
    return a.x * b.x + a.y * b.y;
}
[[nodiscard]] inline float length(Vec a) {
    return std::sqrt(dot(a, a));
}

/// Red, green, blue, 0 to 1.
struct Rgb {
    float r = 0;
    float g = 0;
    float b = 0;

    friend bool operator==(const Rgb&, const Rgb&) = default;
};

/// `part` of the way from a to b.
[[nodiscard]] constexpr Rgb mix(Rgb a, Rgb b, float part) {
    return {a.r + part * (b.r - a.r), a.g + part * (b.g - a.g), a.b + part * (b.b - a.b)};
}

/// Lighter (amount > 0) or darker by the same amount in every channel.
[[nodiscard]] constexpr Rgb shifted(Rgb colour, float amount) {
    return {std::clamp(colour.r + amount, 0.0F, 1.0F), std::clamp(colour.g + amount, 0.0F, 1.0F),
            std::clamp(colour.b + amount, 0.0F, 1.0F)};
}

// Shapes: distance(p) is the signed distance to the edge (negative inside; it need be right near the edge only), and
// the shape lies between the corners low() and high().

/// A thick line from a to b with round ends, whose radius changes from radius_a to radius_b.
struct Capsule {
    Vec a;
    Vec b;
    float radius_a;
    float radius_b;

    [[nodiscard]] Vec low() const {
        return {std::min(a.x - radius_a, b.x - radius_b), std::min(a.y - radius_a, b.y - radius_b)};
    }
    [[nodiscard]] Vec high() const {
        return {std::max(a.x + radius_a, b.x + radius_b), std::max(a.y + radius_a, b.y + radius_b)};
    }
    [[nodiscard]] float distance(Vec p) const {
        const Vec along = b - a;
        const float length2 = dot(along, along);
        const float t = length2 > 0 ? std::clamp(dot(p - a, along) / length2, 0.0F, 1.0F) : 0.0F;
        return length(p - a - t * along) - (radius_a + t * (radius_b - radius_a));
    }
};

struct Disk {
    Vec middle;
    float radius;

    [[nodiscard]] Vec low() const { return middle - Vec{radius, radius}; }
    [[nodiscard]] Vec high() const { return middle + Vec{radius, radius}; }
    [[nodiscard]] float distance(Vec p) const { return length(p - middle) - radius; }
};

/// The half of a disk to which `toward` (a unit vector) points.
struct HalfDisk {
    Vec middle;
    float radius;
    Vec toward;

    [[nodiscard]] Vec low() const { return middle - Vec{radius, radius}; }
    [[nodiscard]] Vec high() const { return middle + Vec{radius, radius}; }
    [[nodiscard]] float distance(Vec p) const {
        const Vec from = p - middle;
        return std::max(length(from) - radius, -dot(from, toward));
    }
};

/// An ellipse with the half axis `along` in the direction `axis` (a unit vector) and `across` at right angles to it.
struct Ellipse {
    Vec middle;
    Vec axis;
    float along;
    float across;

    [[nodiscard]] Vec half() const {
        return {std::hypot(along * axis.x, across * axis.y), std::hypot(along * axis.y, across * axis.x)};
    }
    [[nodiscard]] Vec low() const { return middle - half(); }
    [[nodiscard]] Vec high() const { return middle + half(); }
    [[nodiscard]] float distance(Vec p) const {
        // To first order: f / |grad f| for f = |q| - 1, q = p in units of the half axes.
        const Vec from = p - middle;
        const Vec q{dot(from, axis) / along, (from.y * axis.x - from.x * axis.y) / across};
        const float k = length(q);
        const float gradient = length({q.x / along, q.y / across});
        return gradient > 1e-6F ? k * (k - 1) / gradient : -std::min(along, across);
    }
};

/// A rectangle about `middle`, `along` to each side in the direction `axis` (a unit vector) and `across` at right
/// angles, its corners rounded with `round`.
struct Box {
    Vec middle;
    Vec axis;
    float along;
    float across;
    float round;

    [[nodiscard]] Vec half() const {
        return {along * std::abs(axis.x) + across * std::abs(axis.y),
                along * std::abs(axis.y) + across * std::abs(axis.x)};
    }
    [[nodiscard]] Vec low() const { return middle - half(); }
    [[nodiscard]] Vec high() const { return middle + half(); }
    [[nodiscard]] float distance(Vec p) const {
        const Vec from = p - middle;
        const Vec q{std::abs(dot(from, axis)) - along + round,
                    std::abs(from.y * axis.x - from.x * axis.y) - across + round};
        const Vec out{std::max(q.x, 0.0F), std::max(q.y, 0.0F)};
        return length(out) + std::min(std::max(q.x, q.y), 0.0F) - round;
    }
};

/// What a shape is painted with: a colour, and whether it belongs to the object that the act is done with.
struct Paint {
    Rgb colour;
    bool object = false;
};

/// The picture. Beside the colours it keeps how much of each pixel shows the object.
class Canvas {
public:
    explicit Canvas(int size) : size_(size), pixels_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size)) {}

    [[nodiscard]] int size() const { return size_; }

    /// Paints everything, changing from the colour `top` to the colour `bottom`.
    void fill(Rgb top, Rgb bottom) {
        for (int y = 0; y < size_; ++y) {
            const Rgb row = mix(top, bottom, (static_cast<float>(y) + 0.5F) / static_cast<float>(size_));
            std::fill_n(pixels_.begin() + index(0, y), size_, Pixel{row.r, row.g, row.b, 0});
        }
    }

    /// Paints a shape over what is there, mixed by how much of a pixel it covers.
    template <class Shape>
    void paint(const Shape& shape, Paint paint) {
        const Vec low = shape.low();
        const Vec high = shape.high();
        const int x0 = std::max(0, static_cast<int>(std::floor(low.x - 0.5F)));
        const int x1 = std::min(size_ - 1, static_cast<int>(std::floor(high.x + 0.5F)));
        const int y0 = std::max(0, static_cast<int>(std::floor(low.y - 0.5F)));
        const int y1 = std::min(size_ - 1, static_cast<int>(std::floor(high.y + 0.5F)));
        const Pixel ink{paint.colour.r, paint.colour.g, paint.colour.b, paint.object ? 1.0F : 0.0F};
        for (int y = y0; y <= y1; ++y) {
            for (int x = x0; x <= x1; ++x) {
                const float distance = shape.distance({static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F});
                if (distance < reach) {
                    blend(pixels_[static_cast<std::size_t>(index(x, y))], ink,
                          std::min(1.0F, 0.5F - 0.5F / reach * distance));
                }
            }
        }
    }

    /// The picture as bytes: rows of red, green, blue. `rgb` holds 3 * size * size.
    void to_bytes(std::span<std::uint8_t> rgb) const {
        for (std::size_t i = 0; i < pixels_.size(); ++i) {
            rgb[3 * i] = byte(pixels_[i].r);
            rgb[3 * i + 1] = byte(pixels_[i].g);
            rgb[3 * i + 2] = byte(pixels_[i].b);
        }
    }

    /// 255 where more than half of a pixel shows the object, else 0. `mask` holds size * size.
    void to_mask(std::span<std::uint8_t> mask) const {
        std::transform(pixels_.begin(), pixels_.end(), mask.begin(),
                       [](const Pixel& pixel) { return pixel.object > 0.5F ? std::uint8_t{255} : std::uint8_t{0}; });
    }

private:
    struct Pixel {
        float r;
        float g;
        float b;
        float object;
    };

    /// An edge is soft from this far inside to this far outside, in pixels. Exact area coverage would have 0.5; a
    /// little less is still smooth and leaves fewer pixels that are neither one thing nor the other.
    static constexpr float reach = 0.4F;

    static void blend(Pixel& pixel, const Pixel& ink, float cover) {
        // In this form a cover of 1 leaves exactly nothing of what was there.
        pixel.r = (1 - cover) * pixel.r + cover * ink.r;
        pixel.g = (1 - cover) * pixel.g + cover * ink.g;
        pixel.b = (1 - cover) * pixel.b + cover * ink.b;
        pixel.object = (1 - cover) * pixel.object + cover * ink.object;
    }
    static std::uint8_t byte(float value) { return static_cast<std::uint8_t>(value * 255.0F + 0.5F); }
    [[nodiscard]] std::ptrdiff_t index(int x, int y) const { return std::ptrdiff_t{y} * size_ + x; }

    int size_;
    std::vector<Pixel> pixels_;
};

} // namespace world
