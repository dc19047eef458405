#pragma once
// The four objects. Each has one place and shape for a pose.

#include "canvas.hpp"
#include "dice.hpp"
#include "pose.hpp"
#include "scene.hpp"
#include "view.hpp"

namespace world {

namespace detail {

/// The object's colour and a slightly different one for its parts: lighter, or darker where it is light already.
struct ObjectPaints {
    Paint main;
    Paint part;

    explicit ObjectPaints(Colour colour) : main{paint_of(colour), true}, part{main} {
        const bool light = colour == Colour::white || colour == Colour::yellow;
        part.colour = shifted(main.colour, light ? -0.08F : 0.08F);
    }
};

/// Handles begin this far from the middle of the hand, whose soft edge hides their ends.
inline constexpr float grip = 1.2F;

/// Continues the forearm.
inline void draw_racket(const View& view, const ObjectPaints& paints, const Limb& arm) {
    const Vec along = (1 / length(arm.end - arm.joint)) * (arm.end - arm.joint);
    const Vec middle = arm.end + 12.6F * along;
    view.limb(arm.end + grip * along, arm.end + 6.0F * along, 1.6F, 1.6F, paints.main);
    view.ellipse(middle, along, 8.2F, 6.8F, paints.main);
    view.ellipse(middle, along, 5.7F, 4.4F, paints.part);
}

/// Under the hips, on the ground.
inline void draw_stool(const View& view, const ObjectPaints& paints, const Pose& pose) {
    const float top = pose.hip.y - 2.6F;
    const float x = pose.hip.x - 1.2F;
    view.limb({x - 4.6F, top - 3.0F}, {x - 6.4F, 1.6F}, 1.8F, 1.7F, paints.main);
    view.limb({x + 4.6F, top - 3.0F}, {x + 6.2F, 1.6F}, 1.8F, 1.7F, paints.main);
    view.box({x, top - 5.2F}, {1, 0}, 5.8F, 1.7F, 0.3F, paints.part);
    view.box({x, top - 2.1F}, {1, 0}, 8.4F, 2.2F, 1.0F, paints.main);
}

/// Behind the person on its wheels, leaning to the hand.
inline void draw_suitcase(const View& view, const ObjectPaints& paints, Vec hand) {
    constexpr float tilt = 0.60F;
    constexpr float half_width = 6.4F;
    constexpr float case_length = 16.5F;
    constexpr float wheel = 1.8F;
    const Vec down = hanging(-tilt);
    const Vec front{-down.y, down.x}; // across, toward the person and down
    // The lower wheel touches the ground; the handle is as long as it takes.
    const float along = (hand.y - wheel - (half_width - wheel) * -front.y) / -down.y - 0.6F;
    const Vec bottom = hand + along * down;
    const Vec middle = bottom - 0.5F * case_length * down;
    view.limb(hand + grip * down, middle, 1.4F, 1.4F, paints.main);
    view.disk(bottom + (half_width - wheel) * front + 0.6F * down, wheel, paints.part);
    view.disk(bottom - (half_width - wheel) * front + 0.6F * down, wheel, paints.part);
    view.box(middle, down, 0.5F * case_length, half_width, 1.6F, paints.main);
    view.box(middle, down, 0.5F * case_length - 3.0F, half_width - 2.6F, 0.8F, paints.part);
}

/// Hangs from the hand.
inline void draw_toolbox(const View& view, const ObjectPaints& paints, Vec hand) {
    view.limb(hand + Vec{-3.8F, -2.3F}, hand + Vec{3.8F, -2.3F}, 1.3F, 1.3F, paints.main);
    view.limb(hand + Vec{-3.8F, -2.3F}, hand + Vec{-4.6F, -6.5F}, 1.3F, 1.3F, paints.main);
    view.limb(hand + Vec{3.8F, -2.3F}, hand + Vec{4.6F, -6.5F}, 1.3F, 1.3F, paints.main);
    view.box(hand + Vec{0, -10.6F}, {1, 0}, 8.2F, 5.0F, 1.0F, paints.main);
    view.box(hand + Vec{0, -12.0F}, {1, 0}, 6.4F, 2.0F, 0.5F, paints.part);
}

} // namespace detail

/// Whether the object is behind the whole person (the stool) or before all but the near arm.
[[nodiscard]] inline bool object_is_behind(const Scene& scene) {
    return scene.act == Act::sitting;
}

inline void draw_object(const View& view, const Scene& scene, const Pose& pose) {
    const detail::ObjectPaints paints(scene.colour);
    switch (scene.act) {
    case Act::swinging:
        return detail::draw_racket(view, paints, pose.near_arm);
    case Act::sitting:
        return detail::draw_stool(view, paints, pose);
    case Act::pulling:
        return detail::draw_suitcase(view, paints, pose.near_arm.end);
    case Act::carrying:
        return detail::draw_toolbox(view, paints, pose.near_arm.end);
    }
}

} // namespace world
