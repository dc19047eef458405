#pragma once
// A part of a clip that is cut out, edited at another size, and laid back. No other library.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include <reel/core/ranges.hpp>
#include <reel/io/pictures/bicubic.hpp>
#include <reel/pipelines/clip_options.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

/// A rectangle of a picture's pixels.
struct PixelBox {
    int left = 0;
    int top = 0;
    int width = 0;
    int height = 0;

    bool operator==(const PixelBox&) const = default;
};

/// The smallest rectangle outside of which nothing may change in any frame. Throws Error where nothing may at all.
[[nodiscard]] inline PixelBox bounds_of(const PixelMask& mask) {
    int left = mask.width;
    int top = mask.height;
    int right = -1;
    int bottom = -1;
    for (int f = 0; f < mask.count; ++f) {
        const auto frame = mask.frame(f);
        for (int y = 0; y < mask.height; ++y) {
            const auto row = frame.subspan(static_cast<std::size_t>(y) * static_cast<std::size_t>(mask.width),
                                           static_cast<std::size_t>(mask.width));
            const auto first = ranges::find_if(row, [](std::uint8_t value) { return value > 0; });
            if (first == row.end()) {
                continue;
            }
            const auto last = std::find_if(row.rbegin(), row.rend(), [](std::uint8_t value) { return value > 0; });
            left = std::min(left, static_cast<int>(first - row.begin()));
            right = std::max(right, mask.width - 1 - static_cast<int>(last - row.rbegin()));
            top = std::min(top, y);
            bottom = y;
        }
    }
    require(right >= 0, "bounds_of: no pixel may change");
    return {left, top, right - left + 1, bottom - top + 1};
}

/// How a crop is chosen.
struct CropRequest {
    PictureSize clip{};  ///< what is cut from
    PictureSize model{}; ///< what it is resized to
    double context = 0;  ///< as PasteOptions has it
};

/// The least share of the model's sides that a crop may have: smaller ones would be enlarged to nothing but blur.
inline constexpr int crop_enlarged_at_most = 8;

/// What is cut out around a mask's bounds: grown by the context, made the model's aspect (to whole pixels) by growing
/// further, and kept inside of the clip, by shifting it and, where it is larger than the clip, by less context. Throws
/// Error that starts with `where` when no such crop holds the mask, or it is too small to be edited.
[[nodiscard]] inline PixelBox crop_around(const PixelBox& mask, const CropRequest& request, const std::string& where) {
    const PictureSize clip = request.clip;
    const PictureSize model = request.model;
    const double grown = 1 + 2 * request.context;
    const double wanted = std::max(mask.width * grown / model.width, mask.height * grown / model.height);
    const double most = std::min(double(clip.width) / model.width, double(clip.height) / model.height);
    const auto side = [&](double scale, int of, int at_most) {
        return std::clamp(static_cast<int>(std::ceil(scale * of - 1e-6)), 1, at_most);
    };
    const auto crop_at = [&](double scale) {
        return PixelBox{0, 0, side(scale, model.width, clip.width), side(scale, model.height, clip.height)};
    };
    PixelBox crop = crop_at(std::min(wanted, most));
    if (crop.width < mask.width || crop.height < mask.height) {
        fail(where, ": the mask spans ", mask.width, "x", mask.height, " pixels of the clip's ", clip.width, "x",
             clip.height, ", but for an edit at ", model.width, "x", model.height, " at most ", crop.width, "x",
             crop.height,
             " can be cut out undistorted; use a smaller mask, or a width and height more like the clip's");
    }
    require(crop.width * crop_enlarged_at_most >= model.width && crop.height * crop_enlarged_at_most >= model.height,
            where, ": only ", crop.width, "x", crop.height, " pixels are cut out around the mask, to be edited at ",
            model.width, "x", model.height,
            "; expected at least an eighth of that: more context, a larger mask, or "
            "a smaller width and height");
    const auto begin = [](int at, int span, int length, int end) {
        return std::clamp(at - (length - span) / 2, 0, end - length);
    };
    crop.left = begin(mask.left, mask.width, crop.width, clip.width);
    crop.top = begin(mask.top, mask.height, crop.height, clip.height);
    return crop;
}

namespace detail {

template <class Picture>
void require_inside(const PixelBox& box, const Picture& of) {
    require(box.left >= 0 && box.top >= 0 && box.width > 0 && box.height > 0 && box.left + box.width <= of.width &&
                box.top + box.height <= of.height,
            "cut: ", box.width, "x", box.height, " pixels at ", box.left, ",", box.top, " of ", of.width, "x",
            of.height, "; expected a part of it");
}

/// Copies [count, height, width * channels] of a part.
inline void cut_rows(const std::uint8_t* from, std::uint8_t* to, const PixelBox& box, PictureSize of, int channels) {
    const auto row = static_cast<std::size_t>(box.width * channels);
    for (int y = 0; y < box.height; ++y) {
        const auto at = static_cast<std::size_t>(box.top + y) * static_cast<std::size_t>(of.width) +
                        static_cast<std::size_t>(box.left);
        std::copy_n(from + at * static_cast<std::size_t>(channels), row, to + static_cast<std::size_t>(y) * row);
    }
}

} // namespace detail

/// A part of every frame. Throws Error for one that is not inside.
[[nodiscard]] inline Frames cut(const Frames& clip, const PixelBox& box) {
    require_frames(clip, "cut");
    detail::require_inside(box, clip);
    Frames part = make_frames(clip.count, box.height, box.width, clip.fps);
    for (int f = 0; f < clip.count; ++f) {
        detail::cut_rows(clip.frame(f).data(), part.frame(f).data(), box, {clip.width, clip.height}, 3);
    }
    return part;
}

/// The same of a mask.
[[nodiscard]] inline PixelMask cut(const PixelMask& mask, const PixelBox& box) {
    detail::require_inside(box, mask);
    PixelMask part(mask.count, box.height, box.width);
    for (int f = 0; f < mask.count; ++f) {
        detail::cut_rows(mask.frame(f).data(), part.frame(f).data(), box, {mask.width, mask.height}, 1);
    }
    return part;
}

/// Frame `index` of a mask that was cut, as a mask of the whole picture; around it nothing may change.
[[nodiscard]] inline PixelMask uncut(const PixelMask& part, int index, const PixelBox& box, PictureSize whole) {
    PixelMask mask(1, whole.height, whole.width);
    detail::require_inside(box, mask);
    const auto from = part.frame(index);
    for (int y = 0; y < box.height; ++y) {
        const auto row = static_cast<std::size_t>(box.width);
        ranges::copy(from.subspan(static_cast<std::size_t>(y) * row, row),
                     mask.values.begin() + std::ptrdiff_t{box.top + y} * whole.width + box.left);
    }
    return mask;
}

/// A mask for the same pictures at another size: each pixel may change as much as any may that it covers.
[[nodiscard]] inline PixelMask resized(const PixelMask& mask, int height, int width) {
    PixelMask result(mask.count, height, width);
    for (int f = 0; f < mask.count; ++f) {
        const auto from = mask.frame(f);
        const auto to = result.frame(f);
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                std::uint8_t most = 0; // pixel i of n covers i * m / n to (i + 1) * m / n of m
                for (int v = y * mask.height / height; v * height < (y + 1) * mask.height; ++v) {
                    for (int u = x * mask.width / width; u * width < (x + 1) * mask.width; ++u) {
                        most = std::max(most, from[static_cast<std::size_t>(v) * static_cast<std::size_t>(mask.width) +
                                                   static_cast<std::size_t>(u)]);
                    }
                }
                to[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)] = most;
            }
        }
    }
    return result;
}

/// An edit of what was cut out.
struct EditLayer {
    Frames edited{}; ///< at the model's size
    Frames shares{}; ///< how much of each of its pixels is the edit's, in grey; without frames: all
};

/// Lays frame `index` of an edit, resized to the crop, into a clip's frame, as far as a mask of the crop lets it.
inline void paste(Frames& frame, const PixelBox& crop, const PixelMask& allowed, const EditLayer& edit, int index) {
    detail::require_inside(crop, frame);
    const auto at_crop = [&](const Frames& frames) {
        const auto bytes = frames.frame(index);
        return resize_bicubic({1, frames.height, frames.width, {bytes.begin(), bytes.end()}, frames.fps}, crop.height,
                              crop.width);
    };
    const Frames edited = at_crop(edit.edited);
    const Frames shares = edit.shares.count > 0 ? at_crop(edit.shares) : Frames();
    const auto mask = allowed.frame(index);
    std::size_t at = 0;
    for (int y = 0; y < crop.height; ++y) {
        for (int x = 0; x < crop.width; ++x, ++at) {
            const int share = shares.count > 0 ? shares.rgb[3 * at] : PixelMask::whole;
            detail::mix_pixel(frame.pixel(0, crop.top + y, crop.left + x), edited.rgb.data() + 3 * at, mask[at] * share,
                              PixelMask::whole * PixelMask::whole);
        }
    }
}

} // namespace reel
