#pragma once
// Drawn clips as files. Needs FFmpeg's libraries and libpng, which drawing alone does not.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/core/format_text.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_writer.hpp>

#include "drawing.hpp"

namespace world {

/// The mask as pictures: white where the object is, else black.
[[nodiscard]] inline reel::Frames mask_frames(const Clip& clip) {
    reel::Frames frames = clip.twin;
    for (std::size_t i = 0; i < clip.mask.size(); ++i) {
        std::fill_n(frames.rgb.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, clip.mask[i]);
    }
    return frames;
}

/// A number as a file name that sorts: 12 of 300 is "0012".
[[nodiscard]] inline std::string numbered(int index, int count) {
    const auto digits = std::max<std::size_t>(4, std::to_string(count - 1).size());
    return reel::format_text("%0*d", static_cast<int>(digits), index);
}

/// How drawn clips are written: in pictures this small every pixel needs its own colour.
inline const reel::Mp4Options clip_quality{.crf = 4, .full_colour = true};

/// Writes into a folder: source.mp4 (pretending) and twin.mp4; exactly, frame by frame, twin/0000.png, ... and
/// mask/0000.png, ...; sheet.png with a row of each; clip.json with `description`. The mp4 files keep the colour of
/// every pixel, as in so small pictures they must. Throws reel::Error when a file cannot be written.
inline void write_clip(const std::filesystem::path& folder, const Clip& clip, const nlohmann::json& description) {
    reel::make_output_folder(folder / "twin");
    reel::make_output_folder(folder / "mask");
    reel::write_mp4(folder / "source.mp4", clip.pretending, clip.pretending.fps, clip_quality);
    reel::write_mp4(folder / "twin.mp4", clip.twin, clip.twin.fps, clip_quality);
    const reel::Frames mask = mask_frames(clip);
    for (int i = 0; i < mask.count; ++i) {
        const std::string name = numbered(i, mask.count) + ".png";
        reel::write_png(folder / "twin" / name, clip.twin, i);
        reel::write_png(folder / "mask" / name, mask, i);
    }
    reel::write_png(folder / "sheet.png", reel::contact_sheet({clip.pretending, clip.twin, mask}));
    reel::write_json(folder / "clip.json", description);
}

} // namespace world
