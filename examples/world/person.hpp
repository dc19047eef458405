#pragma once
// The person, in two layers: what an object in the hand covers, and the near arm, which covers the object's handle.

#include "canvas.hpp"
#include "pose.hpp"
#include "scene.hpp"
#include "view.hpp"

namespace world {

namespace detail {

inline void draw_arm(const View& view, const Looks& looks, const Limb& arm, float shade) {
    const Paint skin{shifted(looks.skin, 0.5F * shade)};
    const Paint sleeve{shifted(looks.shirt, shade)};
    view.limb(arm.root, arm.joint, 2.5F, 2.2F, sleeve);
    view.limb(arm.joint, arm.end, 2.2F, 1.9F, looks.long_sleeves ? sleeve : skin);
    view.disk(arm.end, 2.4F, skin);
}

inline void draw_leg(const View& view, const Looks& looks, const Limb& leg, float lift, float shade) {
    const Paint cloth{shifted(looks.trousers, shade)};
    const Paint shoe{shifted(looks.shoes, shade)};
    view.limb(leg.root, leg.joint, 3.3F, 2.7F, cloth);
    view.limb(leg.joint, leg.end, 2.7F, 2.3F, cloth);
    const Vec toe{std::cos(lift), -std::sin(lift)};
    view.limb(leg.end + Vec{-0.6F, -0.1F}, leg.end + 4.2F * toe + Vec{0, -0.4F}, 1.9F, 1.5F, shoe);
}

inline void draw_head(const View& view, const Scene& scene, const Pose& pose) {
    const Looks& looks = scene.looks;
    const Paint skin{looks.skin};
    const Paint hair{looks.hair};
    const Vec head = pose.head;
    view.limb(pose.shoulder + Vec{0.2F, 1.0F}, head, 2.0F, 2.0F, {shifted(looks.skin, -0.05F)});
    if (scene.woman) {
        view.limb(head + Vec{-2.2F, 1.0F}, head + Vec{-4.4F, -8.4F}, 3.0F, 2.3F, hair);
    }
    view.disk(head + Vec{-0.5F, 0.5F}, 5.0F, hair);
    view.disk(head + Vec{4.3F, -0.6F}, 1.5F, skin); // the nose
    view.disk(head + Vec{0.9F, -0.9F}, 4.0F, skin);
    if (looks.cap) {
        const Paint cloth{looks.cap_colour};
        view.half_disk(head + Vec{-0.4F, 0.9F}, 5.2F, {0, 1}, cloth);
        view.limb(head + Vec{2.0F, 1.6F}, head + Vec{7.0F, 1.2F}, 1.1F, 0.9F, cloth);
    }
}

} // namespace detail

/// Everything but the near arm.
inline void draw_body(const View& view, const Scene& scene, const Pose& pose) {
    const Looks& looks = scene.looks;
    detail::draw_arm(view, looks, pose.far_arm, -0.06F);
    detail::draw_leg(view, looks, pose.far_leg, pose.far_foot, -0.05F);
    detail::draw_leg(view, looks, pose.near_leg, pose.near_foot, 0);
    const Vec up = (1 / body::torso) * (pose.shoulder - pose.hip);
    view.limb(pose.hip + 1.2F * up, pose.shoulder + -1.6F * up, 4.2F, 4.7F, {looks.shirt});
    detail::draw_head(view, scene, pose);
}

inline void draw_near_arm(const View& view, const Scene& scene, const Pose& pose) {
    detail::draw_arm(view, scene.looks, pose.near_arm, 0.09F); // objects are never seen against it
}

} // namespace world
