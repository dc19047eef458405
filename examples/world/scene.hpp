#pragma once
// Everything that is fixed about a clip: who, where, what is done and how. All of it follows from a seed.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "canvas.hpp"
#include "dice.hpp"
#include "words.hpp"

namespace world {

// Lengths and places of a scene are in 64ths of the picture's side.

/// The person's looks.
struct Looks {
    Rgb skin;
    Rgb hair;
    Rgb shirt;
    Rgb trousers;
    Rgb shoes;
    Rgb cap_colour;
    bool cap = false;
    bool long_sleeves = false;
};

/// Where the person is. Lengths of the body are multiplied by `scale`; a person of scale 1 is 50 tall.
struct Place {
    float x = 32;      ///< of the hips when they stand upright
    float ground = 59; ///< what feet stand on, from the top
    float scale = 1;
    float facing = 1; ///< 1: to the right, -1: to the left
};

/// How this person does it. Angles are in radians.
struct Manner {
    float start = 0;     ///< part of a cycle that has passed at time 0
    float speed = 1;     ///< cycles in time 0 to 1
    float amplitude = 0; ///< how far from the mean pose
    float mean = 0;      ///< of the main angle of the act
    float bend = 0;      ///< of the elbow
};

/// A wall, a floor, and something on the wall.
struct Room {
    Rgb wall_top;
    Rgb wall_bottom;
    Rgb floor;
    Rgb skirting;
    Rgb panel; ///< the lower part of the wall
    float floor_line = 45;
    float panel_height = 0; ///< 0: no panel
    int pictures = 0;       ///< on the wall
    std::array<Rgb, 2> picture_colours;
    std::array<Rgb, 2> frame_colours;
    std::array<Vec, 2> picture_middles;
    std::array<Vec, 2> picture_halves;
};

/// `colour` may be changed: nothing else depends on it. The place and the manner suit the act.
struct Scene {
    Act act = Act::swinging;
    Colour colour = Colour::red;
    bool woman = false;
    Looks looks;
    Place place;
    Manner manner;
    Room room;
};

namespace detail {

inline Room random_room(Dice& dice) {
    Room room;
    const Rgb wall = muted_colour(dice, {}, 0.3F);
    const float shade = dice.between(-0.04F, 0.04F);
    room.wall_top = shifted(wall, shade);
    room.wall_bottom = shifted(wall, -shade);
    room.floor = muted_colour(dice, std::array{wall}, 0.3F);
    room.skirting = shifted(mix(wall, room.floor, 0.5F), dice.chance(0.5F) ? 0.05F : -0.05F);
    room.floor_line = dice.between(41, 50);
    room.panel = shifted(wall, dice.chance(0.5F) ? 0.05F : -0.05F);
    room.panel_height = dice.chance(0.2F) ? dice.between(8, 16) : 0;
    room.pictures = dice.below(3);
    const bool first_left = dice.chance(0.5F);
    for (int i = 0; i < 2; ++i) {
        const auto at = static_cast<std::size_t>(i);
        room.picture_colours[at] = muted_colour(dice, std::array{wall}, 0.2F);
        room.frame_colours[at] = shifted(mix(wall, room.picture_colours[at], 0.6F), dice.between(-0.05F, 0.05F));
        room.picture_halves[at] = {dice.between(4, 8), dice.between(4, 8)};
        const float half = (i == 0) == first_left ? 0.0F : 32.0F; // one picture in each half
        room.picture_middles[at] = {half + dice.between(6, 26), dice.between(8, 20)};
    }
    return room;
}

inline Looks random_looks(Dice& dice, const Room& room, bool woman) {
    constexpr Rgb skins[] = {
        {.94F, .78F, .67F}, {.87F, .68F, .54F}, {.78F, .57F, .42F}, {.62F, .42F, .30F}, {.46F, .30F, .21F}};
    constexpr Rgb hairs[] = {{.16F, .12F, .11F}, {.32F, .20F, .13F}, {.48F, .30F, .17F},
                             {.80F, .65F, .38F}, {.55F, .27F, .16F}, {.62F, .60F, .58F}};
    Looks looks;
    const Rgb wall = mix(room.wall_top, room.wall_bottom, 0.5F);
    do {
        looks.skin = dice.one_of(skins);
    } while (difference(looks.skin, wall) < 0.15F || difference(looks.skin, room.floor) < 0.13F);
    do {
        looks.hair = dice.one_of(hairs);
    } while (difference(looks.hair, wall) < 0.12F || difference(looks.hair, looks.skin) < 0.18F);
    looks.shirt = muted_colour(dice, std::array{wall, room.floor});
    looks.trousers = muted_colour(dice, std::array{wall, room.floor, looks.shirt});
    looks.shoes = shifted({.30F, .27F, .25F}, dice.between(-0.06F, 0.06F));
    looks.cap_colour = muted_colour(dice, std::array{wall, looks.skin});
    looks.cap = dice.chance(woman ? 0.2F : 0.45F);
    looks.long_sleeves = dice.chance(0.4F);
    return looks;
}

/// How far the person and the object reach before and behind the hips, at scale 1.
struct Reach {
    float before;
    float behind;
};

inline Place random_place(Dice& dice, Act act) {
    constexpr std::array<Reach, act_count> reaches{{{39.0F, 9.5F}, {18, 11}, {13, 32}, {22, 11}}};
    const auto [before, behind] = reaches[static_cast<std::size_t>(act)];
    Place place;
    place.scale = dice.between(0.92F, 1.08F);
    place.ground = dice.between(58, 61);
    place.facing = dice.chance(0.5F) ? 1.0F : -1.0F;
    const float x = dice.between(2 + behind * place.scale, 62 - before * place.scale); // facing right
    place.x = place.facing > 0 ? x : 64 - x;
    return place;
}

inline Manner random_manner(Dice& dice, Act act) {
    constexpr float degrees = 0.01745329252F;
    Manner manner;
    manner.start = dice.between(0, 1);
    manner.speed = dice.between(0.75F, 1.05F);
    switch (act) {
    case Act::swinging: // of the forearm, from straight down
        manner.amplitude = dice.between(13, 20) * degrees;
        manner.mean = dice.between(71, 77) * degrees;
        manner.bend = dice.between(4, 14) * degrees;
        break;
    case Act::sitting: // of the torso, from upright
        manner.amplitude = dice.between(3, 7) * degrees;
        manner.mean = dice.between(-1, 6) * degrees;
        break;
    case Act::pulling: // of the arm, backwards from straight down; the amplitude is that of the legs
        manner.amplitude = dice.between(14, 22) * degrees;
        manner.mean = dice.between(46, 53) * degrees;
        manner.bend = dice.between(3, 8) * degrees;
        break;
    case Act::carrying: // of the upper arm, forward from straight down
        manner.amplitude = dice.between(12, 20) * degrees;
        manner.mean = dice.between(12, 22) * degrees;
        manner.bend = dice.between(66, 76) * degrees;
        break;
    }
    return manner;
}

} // namespace detail

/// Training pictures come from seeds with the top bit set, so that small seeds stay clips that no model has seen.
[[nodiscard]] constexpr std::uint64_t training_seed(std::uint64_t n) {
    return n | std::uint64_t{1} << 63;
}

/// A scene. Equal seeds (and act and colour, where given) give equal scenes; the colour changes nothing else.
[[nodiscard]] inline Scene random_scene(std::uint64_t seed, std::optional<Act> act = {},
                                        std::optional<Colour> colour = {}) {
    Dice dice(seed);
    Scene scene;
    const auto some_act = static_cast<Act>(dice.below(act_count));
    const auto some_colour = static_cast<Colour>(dice.below(colour_count));
    scene.act = act.value_or(some_act);
    scene.colour = colour.value_or(some_colour);
    scene.woman = dice.chance(0.5F);
    scene.place = detail::random_place(dice, scene.act);
    scene.manner = detail::random_manner(dice, scene.act);
    scene.room = detail::random_room(dice);
    scene.looks = detail::random_looks(dice, scene.room, scene.woman);
    return scene;
}

/// "a man is swinging", or with the object "a man is swinging a red tennis racket", "a woman is sitting on a blue
/// stool".
[[nodiscard]] inline std::string caption(const Scene& scene, bool with_object) {
    std::string text = scene.woman ? "a woman is " : "a man is ";
    text += name_of(scene.act);
    if (with_object) {
        text += scene.act == Act::sitting ? " on a " : " a ";
        text += name_of(scene.colour);
        text += ' ';
        text += object_of(scene.act);
    }
    return text;
}

} // namespace world
