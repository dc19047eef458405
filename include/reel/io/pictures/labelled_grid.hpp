#pragma once
// Pictures in rows and columns that have names. No other library.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/pictures/text_drawing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace reel {

/// A table of pictures: `cells` has a row for each of `rows` and in it a picture for each of `columns`; one without
/// frames leaves its place white.
struct LabelledGrid {
    std::vector<std::string> rows;
    std::vector<std::string> columns;
    std::vector<std::vector<Frames>> cells;
};

/// The table as one picture, black on white: rows' names on the left, columns' above. Of clips, the middle frame.
/// Pictures must be of one size. Throws Error otherwise, and where there are too few or none.
[[nodiscard]] inline Frames labelled_grid(const LabelledGrid& grid) {
    constexpr std::string_view what = "labelled_grid";
    constexpr int gap = 6;
    constexpr int glyph_height = text_line_height - 2;
    require(!grid.rows.empty() && !grid.columns.empty() && grid.cells.size() == grid.rows.size(), what, ": ",
            grid.rows.size(), " names of rows, ", grid.columns.size(), " of columns and ", grid.cells.size(), " rows");
    const Frames* first = nullptr;
    int left = 0;
    int width = 0;
    for (const std::string& name : grid.rows) {
        left = std::max(left, text_width(name) + 2 * gap);
    }
    for (const std::string& name : grid.columns) {
        width = std::max(width, text_width(name));
    }
    for (std::size_t row = 0; row < grid.cells.size(); ++row) {
        require(grid.cells[row].size() == grid.columns.size(), what, ": row ", row, " has ", grid.cells[row].size(),
                " pictures, expected ", grid.columns.size());
        for (const Frames& picture : grid.cells[row]) {
            if (picture.count > 0) {
                first = first == nullptr ? &picture : first;
                require(picture.height == first->height && picture.width == first->width, what, ": pictures of ",
                        first->width, "x", first->height, " and of ", picture.width, "x", picture.height);
            }
        }
    }
    require(first != nullptr, what, ": no pictures were given");
    const int top = glyph_height + 2 * gap;
    const int across = std::max(width, first->width) + gap;
    const int down = first->height + gap;
    Frames sheet = make_frames(1, top + static_cast<int>(grid.rows.size()) * down,
                               left + static_cast<int>(grid.columns.size()) * across);
    std::fill(sheet.rgb.begin(), sheet.rgb.end(), std::uint8_t{255});
    for (std::size_t column = 0; column < grid.columns.size(); ++column) {
        const int x = left + static_cast<int>(column) * across;
        draw_text(sheet, 0, grid.columns[column], {.top = gap, .left = x, .colour = {}});
    }
    for (std::size_t row = 0; row < grid.rows.size(); ++row) {
        const int y = top + static_cast<int>(row) * down;
        draw_text(sheet, 0, grid.rows[row], {.top = y + (first->height - glyph_height) / 2, .left = gap, .colour = {}});
        for (std::size_t column = 0; column < grid.columns.size(); ++column) {
            const Frames& picture = grid.cells[row][column];
            if (picture.count > 0) {
                detail::paste(picture, picture.count / 2, sheet, 0, y, left + static_cast<int>(column) * across);
            }
        }
    }
    return sheet;
}

} // namespace reel
