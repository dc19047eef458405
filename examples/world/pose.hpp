#pragma once
// Where the joints are at a time. Seen from the side: x forward, y up from the ground, a person of scale 1 is 50 tall.

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "canvas.hpp"
#include "scene.hpp"

namespace world {

/// Shoulder, elbow, hand; or hip, knee, ankle.
struct Limb {
    Vec root;
    Vec joint;
    Vec end;
};

struct Pose {
    Vec hip;
    Vec shoulder;
    Vec head;
    Limb near_arm;
    Limb far_arm;
    Limb near_leg;
    Limb far_leg;
    float near_foot = 0; ///< how far the heel is lifted, an angle
    float far_foot = 0;
};

/// Lengths of the body.
namespace body {
inline constexpr float thigh = 10.6F;
inline constexpr float shin = 11.2F;
inline constexpr float ankle = 1.9F; ///< above the ground
inline constexpr float torso = 13.2F;
inline constexpr float upper_arm = 8.4F;
inline constexpr float forearm = 8.4F;
inline constexpr float neck = 7.4F; ///< from the shoulder to the head's middle
} // namespace body

namespace detail {

/// A unit vector, by its angle forward from straight down.
inline Vec hanging(float angle) {
    return {std::sin(angle), -std::cos(angle)};
}

inline Limb limb(Vec root, float first_length, float first_angle, float second_length, float second_angle) {
    const Vec joint = root + first_length * hanging(first_angle);
    return {root, joint, joint + second_length * hanging(second_angle)};
}

/// An arm from the shoulder whose hand is at `hand`, or as near as it gets; the elbow points back.
inline Limb arm_to(Vec shoulder, Vec hand) {
    const Vec way = hand - shoulder;
    const float reach = std::clamp(length(way), 1.0F, body::upper_arm + body::forearm - 0.01F);
    const float towards = std::atan2(way.x, -way.y);
    const float cosine = (body::upper_arm * body::upper_arm + reach * reach - body::forearm * body::forearm) /
                         (2 * body::upper_arm * reach);
    const Vec elbow = shoulder + body::upper_arm * hanging(towards - std::acos(std::clamp(cosine, -1.0F, 1.0F)));
    const Vec rest = shoulder + (reach / length(way)) * way;
    return {shoulder, elbow, rest};
}

struct Step {
    float thigh_angle;
    float knee_bend;
};

/// A leg of somebody who walks on the spot: the knee bends while the leg comes forward.
inline Step walking(float turns, float amplitude) {
    const float angle = 2 * std::numbers::pi_v<float> * turns;
    const float forward = std::max(0.0F, std::cos(angle));
    return {amplitude * std::sin(angle) + 0.06F, 0.08F + 1.6F * amplitude * forward * forward};
}

/// Places both legs so that the lower foot stands on the ground, and the hips on top.
inline void stand(Pose& pose, Step near_step, Step far_step) {
    const auto leg = [](Vec hip, Step step) {
        return limb(hip, body::thigh, step.thigh_angle, body::shin, step.thigh_angle - step.knee_bend);
    };
    const float low = std::min(leg({}, near_step).end.y, leg({}, far_step).end.y);
    pose.hip = {0, body::ankle - low};
    pose.near_leg = leg(pose.hip, near_step);
    pose.far_leg = leg(pose.hip, far_step);
    const auto lift = [](const Limb& it) { return std::min(0.5F, 0.12F * (it.end.y - body::ankle)); };
    pose.near_foot = lift(pose.near_leg);
    pose.far_foot = lift(pose.far_leg);
}

/// The torso and the head on the hips, leaning forward by an angle; the far arm hangs down along it.
inline void torso(Pose& pose, float lean) {
    const Vec up{std::sin(lean), std::cos(lean)};
    pose.shoulder = pose.hip + body::torso * up;
    const Vec head_up{std::sin(0.5F * lean), std::cos(0.5F * lean)};
    pose.head = pose.shoulder + Vec{0.6F, 0} + body::neck * head_up;
    pose.far_arm = limb(pose.shoulder, body::upper_arm, 0, body::forearm, 0.06F);
}

} // namespace detail

/// The pose at a time, 0 to 1.
[[nodiscard]] inline Pose pose_at(const Scene& scene, double time) {
    using namespace detail;
    const Manner& manner = scene.manner;
    const float turns = manner.start + manner.speed * static_cast<float>(time);
    const float wave = std::sin(2 * std::numbers::pi_v<float> * turns);
    Pose pose;
    switch (scene.act) {
    case Act::swinging: {
        stand(pose, {0.24F, 0.16F}, {-0.14F, 0.10F});
        torso(pose, 0.03F + 0.03F * wave);
        const float angle = manner.mean + manner.amplitude * wave;
        pose.near_arm = limb(pose.shoulder, body::upper_arm, angle - manner.bend, body::forearm, angle);
        break;
    }
    case Act::sitting: {
        pose.hip = {0, body::ankle + body::shin + 0.2F};
        const float knee = 0.5F * std::numbers::pi_v<float> - 0.02F;
        pose.near_leg = limb(pose.hip, body::thigh, knee, body::shin, -0.02F);
        pose.far_leg = limb(pose.hip, body::thigh, knee, body::shin, 0.10F);
        torso(pose, manner.mean + manner.amplitude * wave);
        const Vec hand = pose.near_leg.joint + Vec{-1.2F, 2.6F};
        pose.near_arm = arm_to(pose.shoulder, hand);
        pose.far_arm = arm_to(pose.shoulder, hand + Vec{0.8F, 0});
        break;
    }
    case Act::pulling: {
        stand(pose, walking(1.4F * turns, manner.amplitude), walking(1.4F * turns + 0.5F, manner.amplitude));
        torso(pose, 0.17F + 0.015F * wave);
        const float angle = -manner.mean + 0.03F * wave;
        pose.near_arm = limb(pose.shoulder, body::upper_arm, angle - manner.bend, body::forearm, angle + manner.bend);
        break;
    }
    case Act::carrying: {
        stand(pose, walking(1.4F * turns, manner.amplitude), walking(1.4F * turns + 0.5F, manner.amplitude));
        torso(pose, 0.0F);
        const float angle = manner.mean + 0.05F * wave;
        pose.near_arm = limb(pose.shoulder, body::upper_arm, angle, body::forearm, angle + manner.bend);
        break;
    }
    }
    return pose;
}

} // namespace world
