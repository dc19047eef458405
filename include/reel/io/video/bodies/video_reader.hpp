#pragma once
// The bodies of video_reader.hpp. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/bodies/inline.hpp>
#include <reel/io/video/clip_decoder.hpp>
#include <reel/io/video/rgb_converter.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_notes.hpp>
#include <reel/io/video/video_selection.hpp>
#include <reel/io/video/video_taken.hpp>
#include <reel/io/video/video_times.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace reel {

namespace detail {

/// Of the first frame that is taken.
inline void describe(VideoTaken& taken, const ClipDecoder& decoder, AVFrame& frame) {
    const DisplayMatrix turn = decoder.turn();
    taken.file_width = is_sideways(turn) ? frame.height : frame.width;
    taken.file_height = is_sideways(turn) ? frame.width : frame.height;
    taken.notes = picture_notes(frame, decoder.file().pixel_aspect(frame));
    if (turn != decoder.reference_turn()) {
        taken.notes.emplace_back("the file asks to be shown mirrored, which is not done, as in the reference; "
                                 "`video_tools convert` makes a clip that is");
    }
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

[[nodiscard]] REEL_VIDEO_INLINE Frames read_video(const std::filesystem::path& path, const VideoSelection& chosen,
                                                  const VideoLimits& limits, VideoTaken* taken) {
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
            detail::describe(about, decoder, *frame);
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

[[nodiscard]] REEL_VIDEO_INLINE std::int64_t count_pictures(const std::filesystem::path& path,
                                                            const VideoLimits& limits) {
    return detail::ClipDecoder(path, limits).scan().count;
}

[[nodiscard]] REEL_VIDEO_INLINE VideoInfo probe_video(const std::filesystem::path& path, const VideoLimits& limits) {
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
