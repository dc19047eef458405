#pragma once
// Clips of any length read one frame at a time, as they are shown. Needs FFmpeg's libraries (target reel::video).

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/clip_decoder.hpp>
#include <reel/io/video/rgb_converter.hpp>
#include <reel/io/video/video_notes.hpp>
#include <reel/io/video/video_reader.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace reel {

/// How a VideoSource reads.
struct SourceOptions {
    int width = 0;  ///< pixels; 0 with height 0: as they are in the file
    int height = 0; ///< pixels
    double fps = 0; ///< frames per second that the clip is taken to have; 0: its own times
    VideoLimits limits{};
    bool mirror = true; ///< where a file asks for it; false: turned alone, as read_video does it
};

/// A clip read frame by frame without holding more than two, turned and mirrored as the file asks to be shown. The clip
/// is a file, a folder of pictures or a pattern (picture_files).
///
///     VideoSource source("clip.mov");
///     for (Frames frame; source.next(frame);) { ... source.time() ... }
class VideoSource {
public:
    /// Throws Error as read_video does.
    explicit VideoSource(const std::filesystem::path& path, const SourceOptions& options = {})
        : decoder_(checked(path, options), options.limits, options.fps), meter_(decoder_.meter()),
          converter_(decoder_.what(), options.width, options.height), mirror_(options.mirror) {}

    /// Puts the next frame into `frame`, a clip of one frame; false at the end. Throws Error when the file is damaged,
    /// and at the end of a file of which no frame decodes.
    [[nodiscard]] bool next(Frames& frame) {
        if (!skip()) {
            return false;
        }
        frame.rgb.clear();
        frame.count = 0;
        frame.fps = meter_.steady().value_or(0);
        converter_.append(*current_, turn_, frame);
        return true;
    }

    /// Passes over a frame: it is decoded and checked, but not converted. False at the end.
    [[nodiscard]] bool skip() {
        if (!started_) {
            started_ = true;
            look_ahead();
        }
        if (ahead_error_) {
            throw Error(*ahead_error_);
        }
        if (!has_ahead_) {
            require(position_ > 0, decoder_.what(), ": no frame of it decodes");
            return false;
        }
        std::swap(current_, ahead_);
        const PictureTime stated = ahead_time_;
        turn_ = ahead_turn_;
        look_ahead();
        note(stated);
        ++position_;
        return true;
    }

    /// Frames passed so far.
    [[nodiscard]] std::int64_t position() const { return position_; }

    /// When the last frame is shown: from the first one's beginning, until the next one's. Times that keep to a steady
    /// rate are exact where the file rounds them.
    [[nodiscard]] PictureTime time() const { return time_; }

    /// The same as the file has it, on its own clock, rounded as it may be.
    [[nodiscard]] PictureTime file_time() const { return file_time_; }

    /// The first frame's time on the clock of the file, whose zero is where its first stream begins; in seconds.
    [[nodiscard]] double origin() const { return origin_; }

    /// Whether times are known: of a folder of pictures only with a rate given.
    [[nodiscard]] bool knows_time() const { return decoder_.knows_time(); }

    /// Frames per second of those passed so far; 0 where times are not known.
    [[nodiscard]] double rate() const { return knows_time() ? meter_.rate(time_.duration) : 0; }

    /// Whether all frames so far keep to one rate.
    [[nodiscard]] bool steady() const { return meter_.steady().has_value(); }

    /// Frames and rate of the whole clip by its packets' times, for which the file is read once more, without decoding.
    [[nodiscard]] detail::PacketTimes scan() const { return decoder_.scan(); }

    /// Size of the last frame as the file has it (after turning), in pixels; 0 before the first.
    [[nodiscard]] int file_width() const { return width_; }
    [[nodiscard]] int file_height() const { return height_; }

    /// Width of a pixel by its height (after turning), as a fraction; 1:1 before the first frame.
    [[nodiscard]] std::pair<int, int> pixel_aspect() const { return aspect_; }

    /// Sentences: what is to be known of the first frame's kind.
    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

    /// A sentence where the clip so far is of recordings that were joined; else "".
    [[nodiscard]] std::string joint_note() const { return detail::joint_note(decoder_.file().joints()); }

    /// FFmpeg's names, such as "h264" and "mov,mp4,m4a,3gp,3g2,mj2".
    [[nodiscard]] std::string codec() const { return decoder_.file().codec_name(); }
    [[nodiscard]] std::string container() const { return decoder_.file().container_name(); }

private:
    static const std::filesystem::path& checked(const std::filesystem::path& path, const SourceOptions& options) {
        VideoSelection size;
        size.width = options.width;
        size.height = options.height;
        detail::check_selection(size, options.limits, concat_text("cannot read video ", path.string()));
        return path;
    }

    /// The frame after the current one says how long that is shown. What is wrong with it is its own matter.
    void look_ahead() {
        has_ahead_ = false;
        try {
            has_ahead_ = decoder_.next(*ahead_);
            ahead_time_ = decoder_.time();
            ahead_turn_ = mirror_ ? decoder_.turn() : decoder_.reference_turn();
        } catch (const Error& error) {
            ahead_error_ = error.what();
        }
    }

    void note(const PictureTime& stated) {
        const bool sideways = detail::is_sideways(turn_);
        if (position_ == 0) {
            const AVRational aspect = decoder_.file().pixel_aspect(*current_);
            aspect_ = sideways ? std::pair(aspect.den, aspect.num) : std::pair(aspect.num, aspect.den);
            notes_ = detail::picture_notes(*current_, AVRational{1, 1});
            origin_ = stated.start;
        }
        width_ = sideways ? current_->height : current_->width;
        height_ = sideways ? current_->width : current_->height;
        meter_.add(stated.start);
        const double end = has_ahead_
                               ? ahead_time_.start
                               : stated.start + (ahead_error_ ? stated.duration : decoder_.last_duration(meter_));
        file_time_ = {stated.start, end - stated.start};
        time_ = {stated.start - origin_, end - stated.start};
        if (const auto fps = meter_.steady()) {
            time_.start = static_cast<double>(position_) / *fps;
            time_.duration = meter_.is_usual(time_.duration) ? 1 / *fps : std::max(end - origin_ - time_.start, 0.0);
        }
    }

    detail::ClipDecoder decoder_;
    detail::RateMeter meter_;
    detail::RgbConverter converter_;
    bool mirror_;
    detail::FfmpegPointer<AVFrame> current_ = detail::owned(av_frame_alloc());
    detail::FfmpegPointer<AVFrame> ahead_ = detail::owned(av_frame_alloc());
    detail::DisplayMatrix turn_ = detail::upright; ///< of the current frame
    detail::DisplayMatrix ahead_turn_ = detail::upright;
    PictureTime ahead_time_;
    bool started_ = false;
    bool has_ahead_ = false;
    std::optional<std::string> ahead_error_;
    std::int64_t position_ = 0;
    PictureTime time_;
    PictureTime file_time_;
    double origin_ = 0;
    int width_ = 0;
    int height_ = 0;
    std::pair<int, int> aspect_{1, 1};
    std::vector<std::string> notes_;
};

} // namespace reel
