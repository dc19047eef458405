#pragma once
// Frames above their captions, laid out on a sheet.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/pictures/text_drawing.hpp>

#include "fitted_clip.hpp"

namespace video_tools {

/// Paper and ink.
struct Style {
    std::uint8_t paper = 255;
    std::uint8_t ink = 0;
    int gap = 4;           ///< pixels between cells and around text
    int text_size = 1;     ///< pixels a side of a letter's points
    int caption_lines = 0; ///< room for so many lines at least, where there are captions
};

/// Frames above their captions, in a row of cells of one width and height.
class Cells {
public:
    /// `captions` has a text for each cell, or none at all.
    Cells(int columns, int rows, Size cell, const std::vector<std::string>& captions, const Style& style)
        : columns_(columns), cell_(cell), style_(style) {
        caption_lines_ = captions.empty() ? 0 : style.caption_lines;
        for (const std::string& caption : captions) {
            captions_.push_back(lines_of(caption, cell, style));
            caption_lines_ = std::max(caption_lines_, static_cast<int>(captions_.back().size()));
        }
        pitch_ = cell.height + caption_height() + style.gap;
        const std::int64_t width = std::int64_t{columns} * (cell.width + style.gap) - style.gap;
        const std::int64_t height = std::int64_t{rows} * pitch_ - style.gap;
        reel::require(width <= reel::max_picture_side && height <= reel::max_picture_side, "a sheet of ", width, "x",
                      height, " is larger than ", reel::max_picture_side, " pixels a side; use fewer or smaller cells");
        empty_ = reel::make_frames(1, static_cast<int>(height), static_cast<int>(width));
        std::fill(empty_.rgb.begin(), empty_.rgb.end(), style.paper);
        for (std::size_t i = 0; i < captions_.size(); ++i) {
            write_caption(empty_, static_cast<int>(i), captions_[i]);
        }
    }

    /// A caption's lines below a cell.
    [[nodiscard]] static std::vector<std::string> lines_of(const std::string& caption, Size cell, const Style& style) {
        const int letters = (cell.width + style.text_size) / (reel::text_advance * style.text_size);
        return reel::wrap_text(caption, std::max(1, letters));
    }

    /// The sheet without frames.
    [[nodiscard]] const reel::Frames& empty() const { return empty_; }

    void place(reel::Frames& sheet, int cell, const reel::Frames& frame) const {
        reel::detail::paste(frame, 0, sheet, 0, top(cell), left(cell));
    }

private:
    [[nodiscard]] int caption_height() const {
        return caption_lines_ == 0 ? 0 : style_.gap + caption_lines_ * reel::text_line_height * style_.text_size;
    }
    [[nodiscard]] int top(int cell) const { return cell / columns_ * pitch_; }
    [[nodiscard]] int left(int cell) const { return cell % columns_ * (cell_.width + style_.gap); }

    void write_caption(reel::Frames& sheet, int cell, const std::vector<std::string>& lines) const {
        int y = top(cell) + cell_.height + style_.gap;
        for (const std::string& line : lines) {
            const int x = left(cell) + std::max(0, (cell_.width - reel::text_width(line, style_.text_size)) / 2);
            reel::draw_text(
                sheet, 0, line,
                {.top = y, .left = x, .size = style_.text_size, .colour = {style_.ink, style_.ink, style_.ink}});
            y += reel::text_line_height * style_.text_size;
        }
    }

    int columns_;
    Size cell_;
    Style style_;
    std::vector<std::vector<std::string>> captions_;
    int caption_lines_ = 0;
    int pitch_ = 0;
    reel::Frames empty_;
};

} // namespace video_tools
