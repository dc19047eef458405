#pragma once
// The mask that a user gives, as pixels of a clip and of its latents. Needs FFmpeg's libraries (target reel::video).

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <reel/io/pictures/bicubic.hpp>
#include <reel/io/video/chosen_frames.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/follow_mask.hpp>
#include <reel/pipelines/mask_shapes.hpp>
#include <reel/pipelines/user_mask_options.hpp>

namespace reel {

/// The clip that a mask is for.
struct MaskedClip {
    const Frames& frames;              ///< how many, and of what size; pixels only where `luminance` gives none
    PictureSize file{};                ///< of the clip as it is: what boxes are in pixels of
    const TuneTrainData* of = nullptr; ///< how it was read, so that a mask as long as the file can be read alike
    ClipOptions reading{};
    std::function<metrics::Plane(int)> luminance{}; ///< of a frame, which are asked for in their order; see follow()
};

namespace detail {

/// Lets what is white in a picture change.
inline void add_white(std::span<std::uint8_t> mask, std::span<const std::uint8_t> picture) {
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (int{picture[3 * i]} + picture[3 * i + 1] + picture[3 * i + 2] >= 3 * 128) {
            mask[i] = PixelMask::whole;
        }
    }
}

/// The same in all frames.
inline void add_white(PixelMask& mask, const Frames& picture) {
    for (int f = 0; f < mask.count; ++f) {
        add_white(mask.frame(f), picture.frame(0));
    }
}

/// Which pictures of a mask's file are the clip's frames: one for all, one for each, or the same as were taken of the
/// clip's own file.
[[nodiscard]] inline VideoSelection pictures_of_mask(const std::string& path, const MaskedClip& clip) {
    const Frames& frames = clip.frames;
    std::error_code ignored;
    const auto pictures = count_pictures(path);
    const bool own = clip.of != nullptr && pictures > 1 && pictures != frames.count &&
                     std::filesystem::exists(clip.of->video_path, ignored) &&
                     pictures == count_pictures(clip.of->video_path);
    require(own || pictures == 1 || pictures == frames.count, path, ": a mask of ", pictures, " pictures for ",
            frames.count, " frames; expected 1, ", frames.count, ", or as many as the clip's file has");
    VideoSelection chosen{
        .max_frames = pictures == 1 ? 1 : frames.count, .width = frames.width, .height = frames.height};
    if (own) {
        chosen.start = clip.of->sample_start_idx;
        chosen.stride = clip.of->sample_frame_rate;
        chosen.fps = clip.reading.fps;
    }
    return chosen;
}

/// Adds what is white in a file.
inline void add_mask_file(PixelMask& mask, const std::string& path, const MaskedClip& clip) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored) && is_picture_name(path)) {
        require(path.ends_with(".png") || path.ends_with(".PNG"), path,
                ": expected a PNG, a GIF, a video or a folder of pictures for a mask");
        return add_white(mask, resize_bicubic(read_png(path), mask.height, mask.width));
    }
    const VideoSelection chosen = pictures_of_mask(path, clip);
    ChosenFrames pictures(path, chosen);
    for (Frames white; pictures.next(white);) {
        if (chosen.max_frames == 1) {
            return add_white(mask, white);
        }
        add_white(mask.frame(pictures.taken() - 1), white.frame(0));
    }
}

template <class Read>
void add_mask_shapes(PixelMask& mask, const std::vector<std::string>& typed, const std::string& where,
                     const Read& read) {
    std::vector<MaskShape> shapes;
    for (const std::string& text : typed) {
        shapes.push_back(read(text));
    }
    draw_shapes(mask, shapes, where);
}

} // namespace detail

/// Where the user lets a clip change; everywhere() where they give no mask. Frames in which nothing may are told of on
/// stderr. Throws Error that starts with `locate(option)`, or names the file, for a mask that does not fit or is empty.
[[nodiscard]] inline PixelMask user_mask(const UserMaskOptions& options, const MaskedClip& clip,
                                         const KeyLocator& locate = bare_key) {
    if (!options.given()) {
        return {};
    }
    const Frames& frames = clip.frames;
    PixelMask mask(frames.count, frames.height, frames.width);
    if (!options.file.empty()) {
        detail::add_mask_file(mask, options.file, clip);
    }
    const PictureSize size = clip.file.width > 0 ? clip.file : PictureSize{frames.width, frames.height};
    const std::string box = locate("mask_box");
    detail::add_mask_shapes(mask, options.boxes, box,
                            [&](const std::string& text) { return read_mask_box(text, size, box); });
    const std::string polygon = locate("mask_polygon");
    detail::add_mask_shapes(mask, options.polygons, polygon,
                            [&](const std::string& text) { return read_mask_polygon(text, size, polygon); });
    if (options.follow) {
        require(mask.pixels(0) > 0, locate("mask_follow"), ": nothing of the first frame may change");
        if (clip.luminance) {
            follow(mask, clip.luminance);
        } else {
            follow(mask, frames);
        }
    }
    grow(mask, options.grow);
    std::vector<int> still;
    for (int f = 0; f < mask.count; ++f) {
        if (mask.pixels(f) == 0) {
            still.push_back(f);
        }
    }
    require(static_cast<int>(still.size()) < mask.count, options.file.empty() ? "the mask" : options.file,
            ": no pixel may change; expected ",
            options.file.empty() ? concat_text("a shape inside of the clip's ", size.width, "x", size.height, " pixels")
                                 : std::string("something white"));
    if (!still.empty()) {
        std::cerr << "note: the mask leaves " << still.size() << " of " << mask.count
                  << " frames as they are, the first of them frame " << still.front() << '\n';
    }
    feather(mask, options.feather);
    return mask;
}

/// The latents' pixels [frames, h, w, 1] that may change: those of which any pixel of the picture may. Undefined for a
/// mask that is everywhere().
[[nodiscard]] inline AnyTensor latent_mask(Cpu& cpu, const PixelMask& mask, const Shape& latents) {
    if (mask.everywhere()) {
        return {};
    }
    require(latents.rank() == 4 && latents[0] == mask.count && latents[1] > 0 && latents[2] > 0 &&
                mask.height % latents[1] == 0 && mask.width % latents[2] == 0,
            "latent_mask: a mask of ", mask.count, " frames of ", mask.width, "x", mask.height, " for latents ",
            latents, "; expected as many frames and sides that divide the mask's");
    const Shape shape = latents.with(3, 1);
    std::vector<float> values(static_cast<std::size_t>(shape.size()));
    const auto step_y = static_cast<int>(mask.height / latents[1]);
    const auto step_x = static_cast<int>(mask.width / latents[2]);
    for (int f = 0; f < mask.count; ++f) {
        const auto frame = mask.frame(f);
        for (int y = 0; y < mask.height; ++y) {
            for (int x = 0; x < mask.width; ++x) {
                if (frame[static_cast<std::size_t>(y) * static_cast<std::size_t>(mask.width) +
                          static_cast<std::size_t>(x)] > 0) {
                    values[static_cast<std::size_t>((f * latents[1] + y / step_y) * latents[2] + x / step_x)] = 1;
                }
            }
        }
    }
    return Tensor<float, Cpu>::from_host(cpu, shape, std::span<const float>(values));
}

} // namespace reel
