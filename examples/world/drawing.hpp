#pragma once
// Scenes as pictures, masks and clips.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>

#include "canvas.hpp"
#include "objects.hpp"
#include "person.hpp"
#include "pose.hpp"
#include "room.hpp"
#include "scene.hpp"
#include "view.hpp"

namespace world {

/// In this many seconds of a clip time goes from 0 to 1.
inline constexpr double act_seconds = 3;

namespace detail {

inline Canvas drawn(const Scene& scene, double time, bool with_object, int size) {
    reel::require(size >= 16 && size <= 4096, "world: pictures are 16 to 4096 pixels a side, asked for ", size);
    Canvas canvas(size);
    const View view(canvas, scene.place);
    const Pose pose = pose_at(scene, time);
    draw_room(canvas, scene);
    if (with_object && object_is_behind(scene)) {
        draw_object(view, scene, pose);
    }
    draw_body(view, scene, pose);
    if (with_object && !object_is_behind(scene)) {
        draw_object(view, scene, pose);
    }
    draw_near_arm(view, scene, pose);
    return canvas;
}

inline std::size_t pixels(int size) {
    return static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
}

} // namespace detail

/// One picture of `size` x `size` pixels, as rows of RGB. `time` is 0 to 1 through the act and may go on beyond. With
/// and without the object, pixels that show nothing of the object are equal. Throws reel::Error when `rgb` does not
/// hold 3 * size * size bytes or size is not in 16..4096.
inline void draw(const Scene& scene, double time, bool with_object, int size, std::span<std::uint8_t> rgb) {
    const Canvas canvas = detail::drawn(scene, time, with_object, size);
    reel::require(rgb.size() == 3 * detail::pixels(size), "world::draw: ", size, "x", size, " pixels are ",
                  3 * detail::pixels(size), " bytes, got ", rgb.size());
    canvas.to_bytes(rgb);
}

/// 255 where most of a pixel shows the object, else 0. Throws reel::Error when `mask` does not hold size * size bytes
/// or size is not in 16..4096.
inline void draw_mask(const Scene& scene, double time, int size, std::span<std::uint8_t> mask) {
    const Canvas canvas = detail::drawn(scene, time, true, size);
    reel::require(mask.size() == detail::pixels(size), "world::draw_mask: ", size, "x", size, " pixels are ",
                  detail::pixels(size), " bytes, got ", mask.size());
    canvas.to_mask(mask);
}

/// A scene over time, without the object, with it, and where it is.
struct Clip {
    Scene scene;
    reel::Frames pretending;
    reel::Frames twin;
    std::vector<std::uint8_t> mask; ///< [frames, size, size], 255 or 0
    std::string prompt;             ///< caption of `pretending`
    std::string edit;               ///< caption of `twin`
};

/// `frames` pictures of a scene from time 0, 1 / (fps * act_seconds) apart. Throws reel::Error when frames, size or fps
/// is out of range.
[[nodiscard]] inline Clip draw_clip(const Scene& scene, int frames, int size, double fps = 8) {
    reel::require(fps > 0, "world::draw_clip: fps is ", fps, ", expected more than 0");
    Clip clip{scene,
              reel::make_frames(frames, size, size, fps),
              reel::make_frames(frames, size, size, fps),
              {},
              caption(scene, false),
              caption(scene, true)};
    clip.mask.resize(static_cast<std::size_t>(frames) * detail::pixels(size));
    for (int i = 0; i < frames; ++i) {
        const double time = i / (fps * act_seconds);
        draw(scene, time, false, size, clip.pretending.frame(i));
        const Canvas twin = detail::drawn(scene, time, true, size);
        twin.to_bytes(clip.twin.frame(i));
        twin.to_mask(
            std::span(clip.mask).subspan(static_cast<std::size_t>(i) * detail::pixels(size), detail::pixels(size)));
    }
    return clip;
}

} // namespace world
