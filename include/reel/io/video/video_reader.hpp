#pragma once
// Clips from video files, chosen and resized as the reference does it. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_decoder.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>

namespace reel {

/// Which frames of a video, and how large.
struct VideoSelection {
    int start = 0;      ///< index of the first frame taken (sample_start_idx)
    int stride = 1;     ///< distance between frames taken (sample_frame_rate)
    int max_frames = 0; ///< how many; 0 takes all there are (n_sample_frames)
    int width = 0;      ///< pixels; 0 with height 0 keeps the file's size
    int height = 0;     ///< pixels
};

/// What is in a video file.
struct VideoInfo {
    int frames = 0;        ///< frames that decode, counted
    int width = 0;         ///< pixels, as shown (after rotation)
    int height = 0;        ///< pixels, as shown (after rotation)
    double fps = 0.0;      ///< frames per second, 0 when the file does not say
    std::string codec;     ///< FFmpeg's name, such as "mpeg4"
    std::string container; ///< FFmpeg's name, such as "mov,mp4,m4a,3gp,3g2,mj2"
};

namespace detail {

inline bool is_sideways(int rotation) {
    return rotation == 90 || rotation == 270;
}

/// Decoded frames to RGB of one size. swscale's plain bilinear filter (it averages over the shrunk pixel's area),
/// resizing and converting colours in one pass, is what decord does: byte-equal results.
class RgbConverter {
public:
    RgbConverter(std::string what, int rotation, int width, int height)
        : what_(std::move(what)), rotation_(rotation), width_(width), height_(height),
          output_(owned(av_frame_alloc())) {}

    /// Appends the frame's pixels. Size 0x0 takes that of the first frame for all.
    void append(AVFrame& frame, Frames& frames) {
        if (width_ == 0) {
            width_ = is_sideways(rotation_) ? frame.height : frame.width;
            height_ = is_sideways(rotation_) ? frame.width : frame.height;
        }
        frames.width = width_;
        frames.height = height_;
        prepare(frame);
        frame.pts = frames.count;
        graph_->push(&frame);
        require(graph_->pull(*output_), what_, ": converting frame ", frames.count, " to RGB gave nothing");
        const std::size_t row = frames.row_bytes();
        const std::size_t at = frames.rgb.size();
        frames.rgb.resize(at + frames.frame_bytes());
        for (int y = 0; y < height_; ++y) {
            std::memcpy(frames.rgb.data() + at + static_cast<std::size_t>(y) * row,
                        output_->data[0] + static_cast<std::ptrdiff_t>(y) * output_->linesize[0], row);
        }
        ++frames.count;
    }

private:
    /// A stream may change its size or pixel format on the way.
    void prepare(const AVFrame& frame) {
        if (graph_ && frame.width == input_width_ && frame.height == input_height_ && frame.format == input_format_) {
            return;
        }
        const char* turn = rotation_ == 90    ? "transpose=clock,"
                           : rotation_ == 180 ? "hflip,vflip,"
                           : rotation_ == 270 ? "transpose=cclock,"
                                              : "";
        graph_.emplace(frame, AVRational{1, 1},
                       concat_text(turn, "scale=", width_, ":", height_, ":flags=bilinear,format=rgb24"), what_);
        input_width_ = frame.width;
        input_height_ = frame.height;
        input_format_ = frame.format;
    }

    std::string what_;
    int rotation_;
    int width_;
    int height_;
    int input_width_ = 0;
    int input_height_ = 0;
    int input_format_ = -1;
    FfmpegPointer<AVFrame> output_;
    std::optional<FilterGraph> graph_;
};

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

} // namespace detail

/// Reads frames start, start + stride, ... of a video, `max_frames` of them, each resized to width x height without
/// cropping and without keeping the aspect. Frames are counted as they decode; what the container claims is not
/// believed. A file that asks to be shown rotated by a quarter turn is rotated. The result's fps is the file's divided
/// by the stride. Frame choice and pixels agree with decord 0.6.0, which the reference uses (see docs/video.md).
///
/// Only local regular files are read, and nothing that a file refers to. Throws Error when the file is missing, no
/// video, damaged or above the limits, or has fewer frames than asked.
[[nodiscard]] inline Frames read_video(const std::filesystem::path& path, const VideoSelection& chosen = {},
                                       const VideoLimits& limits = {}) {
    detail::check_selection(chosen, limits, concat_text("cannot read video ", path.string()));
    detail::VideoDecoder decoder(path, limits);
    detail::RgbConverter converter(decoder.what(), decoder.rotation(), chosen.width, chosen.height);
    const auto frame = detail::owned(av_frame_alloc());
    Frames frames;
    frames.fps = decoder.fps() / chosen.stride;
    std::int64_t wanted = chosen.start;
    while ((chosen.max_frames == 0 || frames.count < chosen.max_frames) && decoder.next(*frame)) {
        if (decoder.decoded() - 1 != wanted) {
            continue;
        }
        converter.append(*frame, frames);
        wanted += chosen.stride;
        require(frames.rgb.size() <= limits.max_bytes, decoder.what(), ": its frames are above the limit of ",
                limits.max_bytes, " bytes; choose fewer frames or a smaller size");
    }
    if (frames.count == 0 || frames.count < chosen.max_frames) {
        detail::too_few_frames(chosen, decoder.decoded(), frames.count, decoder.what());
    }
    return frames;
}

/// Decodes a whole video and says what is in it. Throws Error as read_video does.
[[nodiscard]] inline VideoInfo probe_video(const std::filesystem::path& path, const VideoLimits& limits = {}) {
    detail::VideoDecoder decoder(path, limits);
    const auto frame = detail::owned(av_frame_alloc());
    VideoInfo info;
    while (decoder.next(*frame)) {
        if (info.frames++ == 0) {
            const bool sideways = detail::is_sideways(decoder.rotation());
            info.width = sideways ? frame->height : frame->width;
            info.height = sideways ? frame->width : frame->height;
        }
    }
    require(info.frames > 0, decoder.what(), ": no frame of it decodes");
    info.fps = decoder.fps();
    info.codec = decoder.codec_name();
    info.container = decoder.container_name();
    return info;
}

} // namespace reel
