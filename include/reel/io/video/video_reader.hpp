#pragma once
// Clips from video files, chosen and resized as the reference does it. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/clip_decoder.hpp>
#include <reel/io/video/rgb_converter.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_notes.hpp>
#include <reel/io/video/video_times.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace reel {

/// Which frames of a video, and how large.
struct VideoSelection {
    int start = 0;      ///< index of the first frame taken (sample_start_idx)
    int stride = 1;     ///< distance between frames taken (sample_frame_rate)
    int max_frames = 0; ///< how many; 0 takes all there are (n_sample_frames)
    int width = 0;      ///< pixels; 0 with height 0 keeps the file's size
    int height = 0;     ///< pixels
    double fps = 0;     ///< frames per second that the file is taken to have; 0: by its own times
};

/// What read_video took of a video.
struct VideoTaken {
    int file_width = 0;             ///< pixels as they are shown, but for their aspect
    int file_height = 0;            ///< pixels
    double first = 0;               ///< when the first frame taken is shown, in seconds from the clip's first frame
    double last = 0;                ///< and the last one
    std::int64_t decoded = 0;       ///< frames: of a long clip not all those before the last one taken
    bool timed = true;              ///< whether times are known: not of a folder of pictures
    double clock = 0;               ///< the first frame's time on the clock of the file, as SoundPart has it; seconds
    std::vector<std::string> notes; ///< sentences: what is to be known of this file's pictures
    ClipTimes times{.fps = 0};      ///< of the frames taken; each has its own where neighbours are not evenly spaced

    void describe(const detail::ClipDecoder& decoder, AVFrame& frame) {
        const detail::DisplayMatrix turn = decoder.turn();
        file_width = detail::is_sideways(turn) ? frame.height : frame.width;
        file_height = detail::is_sideways(turn) ? frame.width : frame.height;
        notes = detail::picture_notes(frame, decoder.file().pixel_aspect(frame));
        if (turn != decoder.reference_turn()) {
            notes.emplace_back("the file asks to be shown mirrored, which is not done, as in the reference; "
                               "`video_tools convert` makes a clip that is");
        }
    }
};

/// What is in a video file.
struct VideoInfo {
    int frames = 0;        ///< frames that decode, counted
    int width = 0;         ///< pixels, as shown (after rotation)
    int height = 0;        ///< pixels, as shown (after rotation)
    double fps = 0.0;      ///< frames per second by the frames' times; 0 when they have none
    double seconds = 0.0;  ///< from the first frame's beginning to the last one's end; 0 when they have no times
    std::string codec;     ///< FFmpeg's name, such as "mpeg4"
    std::string container; ///< FFmpeg's name, such as "mov,mp4,m4a,3gp,3g2,mj2"
};

namespace detail {

inline void check_selection(const VideoSelection& chosen, const VideoLimits& limits, const std::string& what) {
    require(chosen.start >= 0, what, ": start (sample_start_idx) is ", chosen.start, ", expected 0 or more");
    require(chosen.stride >= 1, what, ": stride (sample_frame_rate) is ", chosen.stride, ", expected 1 or more");
    require(chosen.max_frames >= 0, what, ": max_frames (n_sample_frames) is ", chosen.max_frames,
            ", expected 1 or more, or 0 for all");
    require(chosen.width >= 0 && chosen.height >= 0 && (chosen.width == 0) == (chosen.height == 0) &&
                chosen.width <= max_picture_side && chosen.height <= max_picture_side,
            what, ": cannot resize to ", chosen.width, "x", chosen.height, "; expected 1 to ", max_picture_side,
            " for both, or 0 for both to keep the size");
    require(static_cast<std::uint64_t>(chosen.max_frames) * static_cast<std::uint64_t>(chosen.width) *
                    static_cast<std::uint64_t>(chosen.height) * 3U <=
                limits.max_bytes,
            what, ": ", chosen.max_frames, " frames of ", chosen.width, "x", chosen.height, " are above the limit of ",
            limits.max_bytes, " bytes");
}

[[noreturn]] inline void too_few_frames(const VideoSelection& chosen, std::int64_t decoded, int taken,
                                        const std::string& what) {
    if (taken == 0) {
        require(decoded > 0, what, ": no frame of it decodes");
        fail(what, ": it has ", decoded, " frames, so none is left from start (sample_start_idx) ", chosen.start,
             "; lower it below ", decoded);
    }
    fail(what, ": it has ", decoded, " frames; from start (sample_start_idx) ", chosen.start,
         " with stride (sample_frame_rate) ", chosen.stride, " they give ", taken, ", but max_frames ",
         "(n_sample_frames) asks for ", chosen.max_frames, "; lower one of the three");
}

/// How long the frame that was taken last is shown, in seconds: until the next one. 0 where it is not known, and with a
/// stride, where others lie between it and what would be taken next, unless nothing else tells how far that is.
[[nodiscard]] inline double last_share(ClipDecoder& decoder, AVFrame& frame, const RateMeter& meter,
                                       const VideoSelection& chosen) {
    if (chosen.stride > 1 || chosen.fps > 0) {
        return meter.count() == 1 && !meter.steady() ? decoder.time().duration * chosen.stride : 0;
    }
    const PictureTime last = decoder.time();
    try {
        if (decoder.next(frame)) {
            return decoder.time().start - last.start;
        }
    } catch (const Error&) { // a frame that is not taken is no matter
        return last.duration;
    }
    return decoder.last_duration(meter);
}

/// Times of neighbours that began at `starts`, the last one shown for `share` seconds (0: as long as any other): evenly
/// where they and their end keep to a rate.
[[nodiscard]] inline ClipTimes times_of(const std::vector<double>& starts, double share, const RateMeter& meter) {
    ClipTimes times{.fps = meter.rate(share)};
    RateMeter with_end = meter;
    with_end.add(starts.back() + (share > 0 ? share : meter.usual_duration()));
    if (starts.size() < 2 || (with_end.steady() && with_end.steady() == meter.steady())) {
        return times;
    }
    for (std::size_t i = 0; i < starts.size(); ++i) {
        const double exact = meter.steady() ? static_cast<double>(i) / *meter.steady() : starts[i] - starts.front();
        if (i > 0) {
            times.each.back().duration = exact - times.each.back().start;
        }
        times.each.push_back({exact, share > 0 ? share : meter.usual_duration()});
    }
    return times;
}

} // namespace detail

/// Reads frames start, start + stride, ... of a video, `max_frames` of them, each resized to width x height without
/// cropping and without keeping the aspect. Frames are counted as they decode; what the container claims is not
/// believed. A file that asks to be shown rotated by a quarter turn is rotated, and not mirrored; pictures of a folder
/// are both, each as its Exif orientation says. The result's fps is that of the frames taken, by their times. Frame
/// choice and pixels agree with decord 0.6.0, which the reference uses (see docs/video.md).
///
/// `path` may also be a folder of pictures, or a pattern such as "frame-%05d.png" (see picture_files); their fps is
/// `chosen.fps`, or 0. Only local regular files are read, and nothing that a file refers to. `taken` is told what was
/// taken. Throws Error when the file is missing, no video, damaged or above the limits, or has fewer frames than asked.
[[nodiscard]] inline Frames read_video(const std::filesystem::path& path, const VideoSelection& chosen = {},
                                       const VideoLimits& limits = {}, VideoTaken* taken = nullptr) {
    const std::string what = concat_text("cannot read video ", path.string());
    detail::check_selection(chosen, limits, what);
    detail::ClipDecoder decoder(path, limits, chosen.fps);
    detail::RgbConverter converter(what, chosen.width, chosen.height);
    const auto frame = detail::owned(av_frame_alloc());
    detail::RateMeter meter = decoder.meter(chosen.stride);
    VideoTaken about;
    Frames frames;
    double origin = 0;
    std::vector<double> starts;
    std::int64_t wanted = chosen.start;
    while ((chosen.max_frames == 0 || frames.count < chosen.max_frames) && decoder.next(*frame)) {
        ++about.decoded;
        origin = decoder.decoded() == 1 ? decoder.time().start : origin;
        if (decoder.decoded() - 1 != wanted) {
            decoder.skip_to(wanted);
            continue;
        }
        if (frames.count == 0) {
            about.first = decoder.time().start - origin;
            about.clock = decoder.time().start;
            about.describe(decoder, *frame);
        }
        starts.push_back(decoder.time().start);
        meter.add(starts.back());
        converter.append(*frame, decoder.reference_turn(), frames);
        wanted += chosen.stride;
        if (chosen.max_frames == 0 || frames.count < chosen.max_frames) {
            decoder.skip_to(wanted);
        }
        require(frames.rgb.size() <= limits.max_bytes, what, ": its frames are above the limit of ", limits.max_bytes,
                " bytes; choose fewer frames or a smaller size");
    }
    if (frames.count == 0 || frames.count < chosen.max_frames) {
        detail::too_few_frames(chosen, decoder.decoded(), frames.count, what);
    }
    about.last = starts.back() - origin;
    if (const std::string note = detail::joint_note(decoder.file().joints()); !note.empty()) {
        about.notes.push_back(note);
    }
    about.timed = decoder.knows_time();
    if (about.timed) {
        const double share = detail::last_share(decoder, *frame, meter, chosen);
        about.times = chosen.stride > 1 ? ClipTimes{meter.rate(share)} : detail::times_of(starts, share, meter);
    }
    frames.fps = about.times.fps;
    if (taken != nullptr) {
        *taken = about;
    }
    return frames;
}

/// How many pictures a clip has, by its packets, without decoding. Throws Error as read_video does.
[[nodiscard]] inline std::int64_t count_pictures(const std::filesystem::path& path, const VideoLimits& limits = {}) {
    return detail::ClipDecoder(path, limits).scan().count;
}

/// Decodes a whole video and says what is in it. Throws Error as read_video does.
[[nodiscard]] inline VideoInfo probe_video(const std::filesystem::path& path, const VideoLimits& limits = {}) {
    detail::ClipDecoder decoder(path, limits);
    detail::RateMeter meter = decoder.meter();
    const auto frame = detail::owned(av_frame_alloc());
    VideoInfo info;
    PictureTime last;
    double origin = 0;
    while (decoder.next(*frame)) {
        last = decoder.time();
        meter.add(last.start);
        if (info.frames++ == 0) {
            origin = last.start;
            const bool sideways = detail::is_sideways(decoder.turn());
            info.width = sideways ? frame->height : frame->width;
            info.height = sideways ? frame->width : frame->height;
        }
    }
    require(info.frames > 0, decoder.what(), ": no frame of it decodes");
    if (decoder.knows_time()) {
        last.duration = decoder.last_duration(meter);
        info.fps = meter.rate(last.duration);
        info.seconds = last.end() - origin;
    }
    info.codec = decoder.file().codec_name();
    info.container = decoder.file().container_name();
    return info;
}

} // namespace reel
