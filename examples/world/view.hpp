#pragma once
// From the body's coordinates to pixels.

#include "canvas.hpp"
#include "scene.hpp"

namespace world {

/// Draws on a canvas in the coordinates of Pose: x forward from the person's place, y up from the ground.
class View {
public:
    View(Canvas& canvas, const Place& place)
        : canvas_(canvas), place_(place), unit_(static_cast<float>(canvas.size()) / 64.0F) {}

    void limb(Vec a, Vec b, float radius_a, float radius_b, Paint paint) const {
        canvas_.paint(Capsule{point(a), point(b), scaled(radius_a), scaled(radius_b)}, paint);
    }
    void disk(Vec middle, float radius, Paint paint) const {
        canvas_.paint(Disk{point(middle), scaled(radius)}, paint);
    }
    /// The part of a disk on one side of its middle.
    void half_disk(Vec middle, float radius, Vec toward, Paint paint) const {
        canvas_.paint(HalfDisk{point(middle), scaled(radius), turned(toward)}, paint);
    }
    void ellipse(Vec middle, Vec axis, float along, float across, Paint paint) const {
        canvas_.paint(Ellipse{point(middle), turned(axis), scaled(along), scaled(across)}, paint);
    }
    void box(Vec middle, Vec axis, float along, float across, float round, Paint paint) const {
        canvas_.paint(Box{point(middle), turned(axis), scaled(along), scaled(across), scaled(round)}, paint);
    }

private:
    [[nodiscard]] float scaled(float length) const { return length * place_.scale * unit_; }
    [[nodiscard]] Vec turned(Vec direction) const { return {place_.facing * direction.x, -direction.y}; }
    [[nodiscard]] Vec point(Vec p) const {
        return {(place_.x + place_.facing * place_.scale * p.x) * unit_, (place_.ground - place_.scale * p.y) * unit_};
    }

    Canvas& canvas_;
    Place place_;
    float unit_;
};

} // namespace world
