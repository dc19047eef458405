#pragma once
// What video_tools and others do to clips frame by frame: fit them into a size, write under them, lay them out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/pictures/text_drawing.hpp>
#include <reel/io/video/video_stream.hpp>

namespace clip_tools {

struct Size {
    int width = 0;
    int height = 0;
};

enum class Fit {
    inside, ///< keep the aspect; the result may be smaller in one direction
    crop,   ///< keep the aspect; cut off what is too much, equally on both sides
    stretch ///< do not keep the aspect
};

/// A clip scaled to `scaled`, of which the middle `result` is kept.
struct Scaling {
    Size scaled;
    Size result;
};

/// How a clip of size `from` becomes one of size `to`, of which one side may be 0: it follows from the aspect then,
/// and is even where that is no worse than odd, as mp4 wants it. Throws reel::Error when both are 0 or one is negative
/// or too large.
[[nodiscard]] inline Scaling scaling(Size from, Size to, Fit fit) {
    const auto check = [](int side) {
        reel::require(side >= 0 && side <= reel::max_picture_side, "a width or height of ", side,
                      " pixels, expected 1 to ", reel::max_picture_side);
    };
    check(to.width);
    check(to.height);
    reel::require(to.width > 0 || to.height > 0, "neither width nor height is given");
    const double by_width = static_cast<double>(to.width) / from.width;
    const double by_height = static_cast<double>(to.height) / from.height;
    const auto scaled = [&](double factor) {
        const auto side = [&](int length) {
            const double exact = length * factor;
            reel::require(exact < reel::max_picture_side + 1.0, from.width, "x", from.height, " becomes larger than ",
                          reel::max_picture_side, " pixels a side");
            const int even = 2 * static_cast<int>(std::lround(exact / 2));
            return std::abs(even - exact) <= 1 && even > 0 ? even : std::max(1, static_cast<int>(std::lround(exact)));
        };
        return Size{side(from.width), side(from.height)};
    };
    if (to.width == 0 || to.height == 0) {
        Size size = scaled(std::max(by_width, by_height));
        (to.width == 0 ? size.height : size.width) = to.width == 0 ? to.height : to.width;
        return {size, size};
    }
    if (fit == Fit::stretch) {
        return {to, to};
    }
    Size size = scaled(fit == Fit::inside ? std::min(by_width, by_height) : std::max(by_width, by_height));
    if (fit == Fit::inside) {
        size = {std::min(size.width, to.width), std::min(size.height, to.height)};
        return {size, size};
    }
    return {{std::max(size.width, to.width), std::max(size.height, to.height)}, to};
}

/// The middle of a frame. `frame` must be at least `size`.
[[nodiscard]] inline reel::Frames centre(const reel::Frames& frame, Size size) {
    if (frame.width == size.width && frame.height == size.height) {
        return frame;
    }
    reel::Frames result = reel::make_frames(1, size.height, size.width, frame.fps);
    const int top = (frame.height - size.height) / 2;
    const int left = (frame.width - size.width) / 2;
    for (int y = 0; y < size.height; ++y) {
        std::copy_n(frame.pixel(0, top + y, left), result.row_bytes(), result.pixel(0, y, 0));
    }
    return result;
}

/// A clip's size, from its first frame.
[[nodiscard]] inline Size size_of(const std::filesystem::path& path) {
    reel::VideoSource source(path);
    (void)source.skip();
    return {source.file_width(), source.file_height()};
}

/// A clip read frame by frame in another size.
class FittedClip {
public:
    FittedClip(const std::filesystem::path& path, const Scaling& scaling)
        : source_(path, scaling.scaled.width, scaling.scaled.height), size_(scaling.result) {}

    FittedClip(const std::filesystem::path& path, Size size)
        : FittedClip(path, scaling(size_of(path), size, Fit::crop)) {}

    [[nodiscard]] bool next(reel::Frames& frame) {
        if (!source_.next(scaled_)) {
            return false;
        }
        frame = centre(scaled_, size_);
        return true;
    }
    [[nodiscard]] bool skip() { return source_.skip(); }

    [[nodiscard]] const reel::VideoSource& source() const { return source_; }

private:
    reel::VideoSource source_;
    reel::Frames scaled_;
    Size size_;
};

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
        reel::detail::paste(frame.frame(0), frame.height, frame.width, sheet, 0, top(cell), left(cell));
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
            reel::draw_text(sheet, 0, line, y, x, style_.text_size, {style_.ink, style_.ink, style_.ink});
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

/// `before` to the right of a line that moves from one side to the other and back within `period` seconds, `after` to
/// the left of it. Both frames must be of one size.
[[nodiscard]] inline reel::Frames wipe(const reel::Frames& before, const reel::Frames& after, double seconds,
                                       double period) {
    reel::Frames result = before;
    const double part = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * seconds / period);
    const int split = static_cast<int>(std::lround(part * before.width));
    for (int y = 0; y < before.height; ++y) {
        std::copy_n(after.pixel(0, y, 0), 3 * split, result.pixel(0, y, 0));
        for (int x = std::max(0, split - 1); x < std::min(split + 1, before.width); ++x) {
            std::fill_n(result.pixel(0, y, x), 3, std::uint8_t{255});
        }
    }
    return result;
}

} // namespace clip_tools
