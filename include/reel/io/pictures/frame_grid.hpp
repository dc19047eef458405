#pragma once
// Clips laid out beside each other, and frames laid out on one sheet. No other library.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace reel {

namespace detail {

/// Copies a frame into frame `index` of `target`, its top left corner at (top, left). The caller has checked that it
/// fits.
inline void paste(const Frames& source, int frame, Frames& target, int index, int top, int left) {
    for (int y = 0; y < source.height; ++y) {
        std::copy_n(source.pixel(frame, y, 0), 3 * source.width, target.pixel(index, top + y, left));
    }
}

/// The side of `cells` cells with `padding` before, between and after them.
inline int grid_side(int cells, int cell, int padding, std::string_view what) {
    const std::int64_t side = std::int64_t{cells} * (std::int64_t{cell} + padding) + padding;
    require(side <= max_picture_side, what, ": a grid of ", cells, " cells of ", cell, " pixels is larger than ",
            max_picture_side, " pixels; use fewer or smaller ones");
    return static_cast<int>(side);
}

inline void require_alike(const std::vector<Frames>& clips, std::string_view what) {
    require(!clips.empty(), what, ": no clips were given");
    for (std::size_t i = 0; i < clips.size(); ++i) {
        require_frames(clips[i], what);
        require(
            clips[i].count == clips[0].count && clips[i].height == clips[0].height && clips[i].width == clips[0].width,
            what, ": clip 0 has ", clips[0].count, " frames of ", clips[0].width, "x", clips[0].height, " and clip ", i,
            " has ", clips[i].count, " of ", clips[i].width, "x", clips[i].height, "; they must be alike");
    }
}

} // namespace detail

/// Clips in a grid that plays them together, filled row by row, on black. The reference's own grid (its
/// save_videos_grid, which is torchvision's make_grid) has 4 columns and 2 pixels around every clip, and leaves a
/// single clip as it is: two 64x64 clips give 134x68.
/// The clips must agree in frames and size; fps is the first clip's. Throws Error otherwise.
[[nodiscard]] inline Frames make_grid(const std::vector<Frames>& clips, int columns = 4, int padding = 2) {
    constexpr std::string_view what = "make_grid";
    detail::require_alike(clips, what);
    require(columns > 0 && padding >= 0 && padding <= max_picture_side, what, ": cannot lay out ", columns,
            " columns with ", padding, " pixels between");
    require(clips.size() <= static_cast<std::size_t>(max_picture_side), what, ": ", clips.size(),
            " clips are too many");
    const Frames& first = clips[0];
    if (clips.size() == 1) {
        return first;
    }
    const int total = static_cast<int>(clips.size());
    const int across = std::min(columns, total);
    const int down = (total + across - 1) / across;
    Frames grid = make_frames(first.count, detail::grid_side(down, first.height, padding, what),
                              detail::grid_side(across, first.width, padding, what), first.fps);
    for (int i = 0; i < total; ++i) {
        const int top = padding + (i / across) * (first.height + padding);
        const int left = padding + (i % across) * (first.width + padding);
        for (int f = 0; f < first.count; ++f) {
            detail::paste(clips[static_cast<std::size_t>(i)], f, grid, f, top, left);
        }
    }
    return grid;
}

/// Clips in one row, playing together: the source beside its edits. As make_grid with one row.
[[nodiscard]] inline Frames side_by_side(const std::vector<Frames>& clips, int padding = 2) {
    return make_grid(clips, std::max(1, static_cast<int>(std::min<std::size_t>(clips.size(), max_picture_side))),
                     padding);
}

/// One picture of many frames: a row per clip and in it its frames 0, every, 2 * every, ... on black, with
/// `padding` pixels around each. The clips must agree in frames and size. Throws Error otherwise.
[[nodiscard]] inline Frames contact_sheet(const std::vector<Frames>& clips, int every = 1, int padding = 2) {
    constexpr std::string_view what = "contact_sheet";
    detail::require_alike(clips, what);
    require(every > 0 && padding >= 0 && padding <= max_picture_side, what, ": cannot take every ", every,
            "th frame with ", padding, " pixels between");
    require(clips.size() <= static_cast<std::size_t>(max_picture_side), what, ": ", clips.size(),
            " clips are too many");
    const Frames& first = clips[0];
    const int rows = static_cast<int>(clips.size());
    const int columns = (first.count - 1) / every + 1;
    Frames sheet = make_frames(1, detail::grid_side(rows, first.height, padding, what),
                               detail::grid_side(columns, first.width, padding, what));
    for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns; ++column) {
            detail::paste(clips[static_cast<std::size_t>(row)], column * every, sheet, 0,
                          padding + row * (first.height + padding), padding + column * (first.width + padding));
        }
    }
    return sheet;
}

} // namespace reel
