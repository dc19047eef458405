#pragma once
// Pictures that a model is asked for, what a classifier finds on them, and how many are right.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <reel/io/pictures/frames.hpp>

#include "scene_classifier.hpp"
#include "world/world.hpp"

namespace training {

/// A picture to draw, and what came out.
struct Trial {
    std::string caption;
    Content wanted;
    Content found;
    reel::Frames picture;

    [[nodiscard]] bool right_act() const { return found.act == wanted.act; }
    /// Whether an object is seen exactly where one was asked for.
    [[nodiscard]] bool right_object() const { return found.with_object == wanted.with_object; }
    [[nodiscard]] bool right_kind() const { return right_act() && right_object(); }
    [[nodiscard]] bool right_colour() const { return !wanted.with_object || found.colour == wanted.colour; }
    [[nodiscard]] bool right() const { return right_kind() && right_colour(); }
};

/// Acts take turns, then colours, then man and woman.
[[nodiscard]] inline std::vector<Trial> trials_of(int count, bool with_object) {
    std::vector<Trial> trials;
    for (int i = 0; i < count; ++i) {
        world::Scene scene;
        scene.act = static_cast<world::Act>(i % world::act_count);
        const int round = i / world::act_count;
        scene.colour = static_cast<world::Colour>(with_object ? round % world::colour_count : 0);
        scene.woman = (with_object ? round / world::colour_count : round) % 2 == 1;
        trials.push_back({world::caption(scene, with_object), {scene.act, with_object, scene.colour}, {}, {}});
    }
    return trials;
}

/// How many were recognised.
struct Row {
    std::string name;
    int pictures = 0;
    int act = 0;
    int object = 0;
    int kind = 0;
    int colour = 0;
    int all = 0;

    void add(const Trial& trial) {
        ++pictures;
        act += trial.right_act() ? 1 : 0;
        object += trial.right_object() ? 1 : 0;
        kind += trial.right_kind() ? 1 : 0;
        colour += trial.right_colour() ? 1 : 0;
        all += trial.right() ? 1 : 0;
    }
    [[nodiscard]] double share(int right) const { return 100.0 * right / std::max(pictures, 1); }
};

/// What a picture shows, in words.
[[nodiscard]] inline std::string words(const Content& content) {
    std::string result(world::name_of(content.act));
    if (content.with_object) {
        result +=
            " with a " + std::string(world::name_of(content.colour)) + " " + std::string(world::object_of(content.act));
    }
    return result;
}

/// A picture twice as large in a frame: green where all is right, yellow where the colour is wrong, red where the act
/// or the object is.
[[nodiscard]] inline reel::Frames marked(const Trial& trial) {
    constexpr int border = 4;
    constexpr std::array<std::uint8_t, 3> green{30, 160, 60};
    constexpr std::array<std::uint8_t, 3> yellow{240, 190, 0};
    constexpr std::array<std::uint8_t, 3> red{220, 0, 0};
    const auto& paint = trial.right() ? green : (trial.right_kind() ? yellow : red);
    reel::Frames tile = reel::make_frames(1, 2 * (trial.picture.height + border), 2 * (trial.picture.width + border));
    for (int y = 0; y < tile.height; ++y) {
        for (int x = 0; x < tile.width; ++x) {
            const bool inside = y >= border && y < tile.height - border && x >= border && x < tile.width - border;
            std::copy_n(inside ? trial.picture.pixel(0, (y - border) / 2, (x - border) / 2) : paint.data(), 3,
                        tile.pixel(0, y, x));
        }
    }
    return tile;
}

} // namespace training
