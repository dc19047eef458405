#pragma once
// What surrounds a mask, cut out of a clip, and its edits laid back at the clip's own size. Needs FFmpeg's libraries
// (target reel::video). Of full-size frames two are held at a time, of masks a byte a pixel.

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <reel/io/video/chosen_frames.hpp>
#include <reel/io/video/video_sink.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/paste.hpp>
#include <reel/pipelines/paste_options.hpp>
#include <reel/pipelines/user_mask.hpp>

namespace reel {

/// What cut_out() cuts, and how it is asked for.
struct CutRequest {
    const TuneTrainData& data; ///< the clip, which of its frames, and the size that they are edited at
    ClipOptions reading{};
    const UserMaskOptions& mask;
    PasteOptions paste{};
    std::filesystem::path sound{}; ///< whole_sound(), or none
};

/// The file whose sound goes along with a whole clip: its own, where it has its own times and mp4s can hold it; else
/// "". `tell`: where they cannot, a line on stderr says so.
[[nodiscard]] inline std::filesystem::path whole_sound(const std::filesystem::path& clip, const ClipOptions& reading,
                                                       bool tell) {
    std::error_code ignored;
    return reading.fps == 0 && std::filesystem::is_regular_file(clip, ignored) ? sound_for_mp4({clip}, tell).path
                                                                               : std::filesystem::path();
}

namespace detail {

/// The frames of a clip that are edited, at its own size.
[[nodiscard]] inline VideoSelection full_size(const CutRequest& request) {
    return {.start = request.data.sample_start_idx,
            .stride = request.data.sample_frame_rate,
            .max_frames = request.data.n_sample_frames,
            .fps = request.reading.fps};
}

/// The user's mask at the clip's own size.
[[nodiscard]] inline PixelMask full_size_mask(const CutRequest& request, PictureSize size, const KeyLocator& locate) {
    const Frames shape{request.data.n_sample_frames, size.height, size.width, {}, 0};
    std::optional<ChosenFrames> frames;
    const auto luminance = [&](int /*in order*/) {
        if (!frames) {
            frames.emplace(request.data.video_path, full_size(request));
        }
        Frames frame;
        require(frames->next(frame), request.data.video_path, ": it has fewer frames than before");
        return metrics::luminance(frame, 0);
    };
    return user_mask(request.mask, {shape, size, &request.data, request.reading, luminance}, locate);
}

} // namespace detail

/// Makes a clip that was read (`source.file` is its own size) what surrounds the user's mask, resized to the size that
/// it is edited at. Returns where that may change; `source.pasting` says where it lies, and how much of the clip's own
/// pixels may change. Throws Error that starts with `locate("paste")` for a mask of which nothing can be cut out, and
/// as user_mask() does.
[[nodiscard]] inline PixelMask cut_out(SourceClip& source, const CutRequest& request,
                                       const KeyLocator& locate = bare_key) {
    const TuneTrainData& data = request.data;
    const PictureSize size = source.file;
    const std::string where = locate("paste");
    const PixelMask mask = detail::full_size_mask(request, size, locate);
    require(ranges::any_of(mask.values, [](std::uint8_t value) { return value < PixelMask::whole; }), where,
            ": the mask fills all frames, so there is nothing around it to keep; use a smaller mask, or no ", where);
    Pasting pasting{.clip = data.video_path,
                    .sound = request.sound,
                    .fps = request.reading.fps,
                    .start = data.sample_start_idx,
                    .stride = data.sample_frame_rate,
                    .size = size};
    pasting.crop = crop_around(bounds_of(mask), {size, {data.width, data.height}, request.paste.context}, where);
    pasting.allowed = cut(mask, pasting.crop);
    Frames part;
    ChosenFrames frames(data.video_path, detail::full_size(request));
    for (Frames frame; frames.next(frame);) {
        const Frames cut_out = resize_bicubic(cut(frame, pasting.crop), data.height, data.width);
        part.rgb.insert(part.rgb.end(), cut_out.rgb.begin(), cut_out.rgb.end());
    }
    source.frames = {data.n_sample_frames, data.height, data.width, std::move(part.rgb), source.frames.fps};
    source.pasting = std::move(pasting);
    return resized(source.pasting->allowed, data.height, data.width);
}

/// Says on a line of stdout what was cut out, and of what the result is made.
inline void tell_cut(const SourceClip& source) {
    const Pasting& pasting = *source.pasting;
    const PixelBox& crop = pasting.crop;
    std::cout << "cut out around the mask: " << crop.width << "x" << crop.height << " pixels at " << crop.left << ","
              << crop.top << ", edited at " << source.frames.width << "x" << source.frames.height
              << "; results have all " << count_pictures(pasting.clip) << " pictures of the clip, "
              << source.frames.count << " of them edited (" << pasting.start << " to "
              << pasting.start + (source.frames.count - 1) * pasting.stride
              << (pasting.stride == 1 ? "" : ", " + gif_stride_text(pasting.stride)) << "), the others as they are\n";
}

/// The part of a clip as JSON, of a clip of {"width", "height"}.
[[nodiscard]] inline nlohmann::json crop_json(const Pasting& pasting) {
    const PixelBox& crop = pasting.crop;
    return {{"left", crop.left},
            {"top", crop.top},
            {"width", crop.width},
            {"height", crop.height},
            {"clip", {{"width", pasting.size.width}, {"height", pasting.size.height}}}};
}

/// Goes through a whole clip with an edit laid into it: `take(frame, source)` is given each frame, a clip of one frame
/// at the clip's own size, whose time the source says. Returns what of the pixels outside of the mask is not the clip's
/// own, of all frames.
template <class Take>
OutsideMask paste_into(const Pasting& pasting, const EditLayer& edit, const Take& take) {
    VideoSource source(pasting.clip, {.fps = pasting.fps, .mirror = false});
    OutsideMask found;
    Frames result;
    int next = 0; // of the edit's frames
    for (Frames own; source.next(own);) {
        const std::int64_t index = source.position() - 1;
        if (next == edit.edited.count || index != pasting.start + std::int64_t{next} * pasting.stride) {
            found.pixels += std::int64_t{own.height} * own.width;
            take(own, source);
            continue;
        }
        result = own;
        paste(result, pasting.crop, pasting.allowed, edit, next);
        found += count_outside(own, result, uncut(pasting.allowed, next++, pasting.crop, {own.width, own.height}));
        take(result, source);
    }
    require(next == edit.edited.count, pasting.clip.string(), ": it has fewer frames than before");
    return found;
}

namespace detail {

/// Writes the clip with an edit as an mp4. Returns as paste_into() does.
[[nodiscard]] inline OutsideMask write_pasted_mp4(const std::filesystem::path& file, const Pasting& pasting,
                                                  const EditLayer& edit, const Mp4Options& options) {
    std::optional<VideoSink> sink;
    double fps = 0;
    const OutsideMask found = paste_into(pasting, edit, [&](const Frames& frame, const VideoSource& source) {
        if (!sink) {
            const double scanned = source.scan().fps;
            fps = scanned > 0 ? scanned : fps_of(frame);
            sink.emplace(file, fps,
                         SinkOptions{.mp4 = {.lossless = options.lossless},
                                     .pixel_aspect = source.pixel_aspect(),
                                     .sound = pasting.sound});
        }
        const double start = source.origin() + source.time().start;
        const double place = sink->count();
        sink->write(frame, 0,
                    source.knows_time() ? PictureTime{start, source.time().duration}
                                        : PictureTime{place / fps, 1 / fps});
    });
    sink->finish();
    if (const std::string lost = sink->lost_sound(); !lost.empty()) {
        std::cerr << "note: " << terminal_text(file.string()) << ": " << terminal_text(lost) << '\n';
    }
    return found;
}

} // namespace detail

/// Writes STEM.mp4, the whole clip with an edit laid into it, and where it is wished for the folder STEM of its
/// pictures, as write_clip() does. Returns as paste_into() does.
template <class Write>
OutsideMask write_pasted(const std::filesystem::path& stem, const Pasting& pasting, const EditLayer& edit,
                         const ClipOutput& output, const Write& write) {
    OutsideMask found;
    write(stem.string() + ".mp4", [&](const std::filesystem::path& file) {
        found = detail::write_pasted_mp4(file, pasting, edit, output.mp4());
    });
    if (output.frames) {
        write(stem, [&](const std::filesystem::path& path) {
            FrameFolder folder(path);
            int count = 0;
            found = paste_into(pasting, edit,
                               [&](const Frames& frame, const VideoSource&) { folder.write(frame, 0, count++); });
            folder.commit();
        });
    }
    return found;
}

} // namespace reel
