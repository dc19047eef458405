#pragma once
// Boxes and polygons, as people type them, as pixels that may change. No other library.

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/number_text.hpp>
#include <reel/core/ranges.hpp>
#include <reel/pipelines/clip_options.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

/// A polygon in shares of a picture's width and height: points x, y, from the upper left corner.
struct MaskShape {
    std::vector<double> points{}; ///< x, y, x, y, ...
    std::optional<int> frame{};   ///< the frame that it is a key frame of
};

namespace detail {

/// "1,2.5,3@4": numbers, and the frame behind "@".
struct TypedShape {
    std::vector<double> numbers{};
    std::optional<int> frame{};
};

[[nodiscard]] inline TypedShape read_shape(const std::string& text, const std::string& where, const char* expected) {
    TypedShape shape;
    const auto at = text.find('@');
    if (at != std::string::npos) {
        int frame = 0;
        require(is_number(std::string_view(text).substr(at + 1), frame) && frame >= 0, where, " \"", text,
                "\": behind @ expected a frame's number, from 0, found \"", text.substr(at + 1), "\"");
        shape.frame = frame;
    }
    std::string_view rest = std::string_view(text).substr(0, at);
    while (true) {
        const auto comma = rest.find(',');
        std::string_view word = rest.substr(0, comma);
        word.remove_prefix(std::min(word.find_first_not_of(' '), word.size()));
        word.remove_suffix(word.size() - std::min(word.find_last_not_of(' ') + 1, word.size()));
        double value = 0;
        require(is_number(word, value) && std::isfinite(value), where, " \"", text, "\": expected ", expected,
                ", found \"", word, "\" for a number");
        shape.numbers.push_back(value);
        if (comma == std::string_view::npos) {
            return shape;
        }
        rest.remove_prefix(comma + 1);
    }
}

/// Numbers of which none is above 1 are shares of the picture already.
inline void make_shares(std::vector<double>& points, PictureSize size) {
    if (ranges::any_of(points, [](double value) { return value > 1; })) {
        for (std::size_t i = 0; i < points.size(); ++i) {
            points[i] /= i % 2 == 0 ? size.width : size.height;
        }
    }
}

} // namespace detail

/// "x,y,width,height" in pixels of a picture of that size or, where no number is above 1, in shares of it; "@FRAME"
/// behind makes it a key frame. Throws Error that starts with `where`.
[[nodiscard]] inline MaskShape read_mask_box(const std::string& text, PictureSize size, const std::string& where) {
    constexpr const char* expected = "x,y,width,height, and maybe @FRAME";
    detail::TypedShape typed = detail::read_shape(text, where, expected);
    require(typed.numbers.size() == 4, where, " \"", text, "\": expected ", expected, ", found ", typed.numbers.size(),
            " numbers");
    require(typed.numbers[2] > 0 && typed.numbers[3] > 0, where, " \"", text,
            "\": expected a width and a height above 0");
    detail::make_shares(typed.numbers, size);
    const double left = typed.numbers[0];
    const double top = typed.numbers[1];
    const double right = left + typed.numbers[2];
    const double bottom = top + typed.numbers[3];
    return {{left, top, right, top, right, bottom, left, bottom}, typed.frame};
}

/// "x,y,x,y,x,y,...": three corners or more, as read_mask_box() has it.
[[nodiscard]] inline MaskShape read_mask_polygon(const std::string& text, PictureSize size, const std::string& where) {
    constexpr const char* expected = "x,y of three corners or more, as in 10,10,90,10,50,80, and maybe @FRAME";
    detail::TypedShape typed = detail::read_shape(text, where, expected);
    require(typed.numbers.size() >= 6 && typed.numbers.size() % 2 == 0, where, " \"", text, "\": expected ", expected,
            ", found ", typed.numbers.size(), " numbers");
    detail::make_shares(typed.numbers, size);
    return {std::move(typed.numbers), typed.frame};
}

namespace detail {

/// Pixels whose centres lie inside, by the even-odd rule, may change.
inline void fill_polygon(PixelMask& mask, int f, const std::vector<double>& points) {
    std::vector<double> crossings;
    for (int y = 0; y < mask.height; ++y) {
        const double v = (y + 0.5) / mask.height;
        crossings.clear();
        for (std::size_t i = 0; i < points.size(); i += 2) {
            const std::size_t next = (i + 2) % points.size();
            const double y0 = points[i + 1];
            const double y1 = points[next + 1];
            if ((y0 <= v) != (y1 <= v)) {
                crossings.push_back(points[i] + (v - y0) / (y1 - y0) * (points[next] - points[i]));
            }
        }
        ranges::sort(crossings);
        for (std::size_t i = 0; i + 1 < crossings.size(); i += 2) {
            const auto pixel = [&](double u) {
                return static_cast<int>(std::clamp(std::ceil(u * mask.width - 0.5), 0.0, double(mask.width)));
            };
            const auto row = mask.frame(f).subspan(static_cast<std::size_t>(y) * static_cast<std::size_t>(mask.width),
                                                   static_cast<std::size_t>(mask.width));
            std::fill(row.begin() + pixel(crossings[i]), row.begin() + pixel(crossings[i + 1]), PixelMask::whole);
        }
    }
}

/// The points at a frame: between two key frames linearly, before the first and after the last as there.
[[nodiscard]] inline std::vector<double> points_at(const std::vector<MaskShape>& keys, int f) {
    const auto later = ranges::find_if(keys, [&](const MaskShape& key) { return *key.frame >= f; });
    if (later == keys.end()) {
        return keys.back().points;
    }
    if (later == keys.begin()) {
        return later->points;
    }
    const MaskShape& before = *std::prev(later);
    const double share = double(f - *before.frame) / (*later->frame - *before.frame);
    std::vector<double> points = before.points;
    for (std::size_t i = 0; i < points.size(); ++i) {
        points[i] += share * (later->points[i] - points[i]);
    }
    return points;
}

} // namespace detail

/// Lets the pixels inside of shapes change: of those without a frame in all frames, of key frames on the way between
/// them. Throws Error that starts with `where` for key frames that no way leads between.
inline void draw_shapes(PixelMask& mask, const std::vector<MaskShape>& shapes, const std::string& where) {
    std::vector<MaskShape> keys;
    for (const MaskShape& shape : shapes) {
        if (shape.frame) {
            require(*shape.frame < mask.count, where, ": @", *shape.frame, ", but the clip has ", mask.count,
                    " frames, 0 to ", mask.count - 1);
            keys.push_back(shape);
        } else {
            for (int f = 0; f < mask.count; ++f) {
                detail::fill_polygon(mask, f, shape.points);
            }
        }
    }
    if (keys.empty()) {
        return;
    }
    ranges::stable_sort(keys, {}, [](const MaskShape& key) { return *key.frame; });
    for (std::size_t i = 1; i < keys.size(); ++i) {
        require(keys[i - 1].frame != keys[i].frame, where, ": two for frame ", *keys[i].frame, "; expected one");
        require(keys[i - 1].points.size() == keys[i].points.size(), where, ": ", keys[i - 1].points.size() / 2,
                " corners at frame ", *keys[i - 1].frame, " and ", keys[i].points.size() / 2, " at frame ",
                *keys[i].frame, "; expected as many");
    }
    for (int f = 0; f < mask.count; ++f) {
        detail::fill_polygon(mask, f, detail::points_at(keys, f));
    }
}

} // namespace reel
