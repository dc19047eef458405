#pragma once
// What is behind the person.

#include "canvas.hpp"
#include "scene.hpp"

namespace world {

inline void draw_room(Canvas& canvas, const Scene& scene) {
    const Room& room = scene.room;
    const float unit = static_cast<float>(canvas.size()) / 64.0F;
    const auto box = [&](Vec middle, Vec half, float round, Rgb colour) {
        canvas.paint(Box{unit * middle, {1, 0}, unit * half.x, unit * half.y, unit * round}, {colour});
    };
    const auto band = [&](float top, float bottom, Rgb colour) { // wider than the picture: no soft ends
        box({32, 0.5F * (top + bottom)}, {34, 0.5F * (bottom - top)}, 0, colour);
    };
    canvas.fill(room.wall_top, room.wall_bottom);
    for (std::size_t i = 0; i < static_cast<std::size_t>(room.pictures); ++i) {
        box(room.picture_middles[i], room.picture_halves[i], 0, room.frame_colours[i]);
        box(room.picture_middles[i], room.picture_halves[i] - Vec{1.6F, 1.6F}, 0, room.picture_colours[i]);
    }
    if (room.panel_height > 0) {
        band(room.floor_line - room.panel_height, room.floor_line, room.panel);
    }
    band(room.floor_line, 66, room.floor);
    band(room.floor_line - 2, room.floor_line, room.skirting);
    const Place& place = scene.place;
    canvas.paint(Ellipse{unit * Vec{place.x + place.facing * (scene.act == Act::sitting ? 4.0F : 0.5F), place.ground},
                         {1, 0},
                         unit * 13 * place.scale,
                         unit * 2.4F * place.scale},
                 {shifted(room.floor, -0.05F)}); // a shadow
}

} // namespace world
