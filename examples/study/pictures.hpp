#pragma once
// Pictures of a study's results: sheets of frames with words under them, and clips small enough for a report.

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/pictures/bicubic.hpp>
#include <reel/io/pictures/enlarge.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/text_drawing.hpp>

namespace study {

inline constexpr int picture_side = 160; ///< pixels, of the frames in sheets and small clips

/// A clip whose longer side has at most `side` pixels. One that has less than half of them is enlarged, each pixel
/// becoming a square.
[[nodiscard]] inline reel::Frames fitted(const reel::Frames& clip, int side) {
    const int longer = std::max(clip.width, clip.height);
    if (longer > side) {
        const auto scaled = [&](int length) {
            return std::max(1, static_cast<int>(std::lround(static_cast<double>(length) * side / longer)));
        };
        return reel::resize_bicubic(clip, scaled(clip.height), scaled(clip.width));
    }
    const int factor = side / longer;
    return factor == 1 ? clip : reel::enlarged(clip, factor);
}

/// Frames at equal distances, the first and the last among them; all where there are no more than `most`.
[[nodiscard]] inline reel::Frames some_frames(const reel::Frames& clip, int most) {
    if (clip.count <= most) {
        return clip;
    }
    reel::Frames some = reel::make_frames(most, clip.height, clip.width, clip.fps);
    for (int i = 0; i < most; ++i) {
        const int from = most == 1 ? 0 : (i * (clip.count - 1) + (most - 1) / 2) / (most - 1);
        reel::ranges::copy(clip.frame(from), some.frame(i).begin());
    }
    return some;
}

struct SheetRow {
    reel::Frames frames;
    std::string caption;
};

/// Rows of frames, each above its caption, black on white. Frames of all rows are of one size.
[[nodiscard]] inline reel::Frames captioned_sheet(const std::vector<SheetRow>& rows) {
    constexpr int gap = 4;
    const reel::Frames& first = rows.front().frames;
    const int width = std::max(120, first.count * (first.width + gap) + gap);
    const int letters = (width - 2 * gap) / reel::text_advance;
    int height = gap;
    for (const SheetRow& row : rows) {
        height += first.height + 2 * gap +
                  reel::text_line_height * static_cast<int>(reel::wrap_text(row.caption, letters).size());
    }
    reel::Frames sheet = reel::make_frames(1, height, width);
    reel::ranges::fill(sheet.rgb, std::uint8_t{255});
    int top = gap;
    for (const SheetRow& row : rows) {
        for (int i = 0; i < row.frames.count; ++i) {
            reel::detail::paste(row.frames, i, sheet, 0, top, gap + i * (first.width + gap));
        }
        top += first.height + gap;
        for (const std::string& line : reel::wrap_text(row.caption, letters)) {
            reel::draw_text(sheet, 0, line, {.top = top, .left = gap, .colour = {}});
            top += reel::text_line_height;
        }
        top += gap;
    }
    return sheet;
}

} // namespace study
