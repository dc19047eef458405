#pragma once
// Clips of any length written one frame at a time. Needs FFmpeg's libraries (target reel::video).

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/gif_plan.hpp>
#include <reel/io/video/gif_stride.hpp>
#include <reel/io/video/mp4_plan.hpp>
#include <reel/io/video/video_encoder.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_times.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// The formats that can be written.
enum class VideoFormat { mp4, mov, mkv, avi, gif };

/// The format that a file name's extension asks for, in upper or lower case. Throws Error for any other.
[[nodiscard]] inline VideoFormat video_format(const std::filesystem::path& path) {
    std::string extension = path.extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    constexpr std::array<std::string_view, 5> known{".mp4", ".mov", ".mkv", ".avi", ".gif"};
    const auto* const found = std::find(known.begin(), known.end(), extension);
    require(found != known.end(), "cannot write video ", path.string(), ": \"", extension,
            "\" is no format reel writes; expected a name that ends in .mp4, .mov, .mkv, .avi or .gif");
    return static_cast<VideoFormat>(found - known.begin());
}

/// How a VideoSink writes.
struct SinkOptions {
    Mp4Options mp4{};
    std::pair<int, int> pixel_aspect{1, 1}; ///< width of a pixel by its height; a GIF's pixels are square
    std::filesystem::path sound{};          ///< a file whose sound is copied; the frames' times are on its clock
};

namespace detail {

/// MPEG-4 part 2 at its finest quantiser but one: H.264 with its reordered frames does not fit AVI's index. AVI cannot
/// say what its colours mean, so they are what every player then assumes.
inline EncoderPlan avi_plan(const Frames& frames, double fps, const std::string& what) {
    EncoderPlan plan;
    plan.muxer = "avi";
    plan.codec = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
    require(plan.codec != nullptr, what, ": this FFmpeg was built without the MPEG-4 encoder");
    plan.format = AV_PIX_FMT_YUV420P;
    plan.width = frames.width + frames.width % 2;
    plan.height = frames.height + frames.height % 2;
    plan.frame_rate = av_d2q(fps, 65'535); // what the codec's header can hold
    plan.time_base = av_inv_q(plan.frame_rate);
    plan.packet_ticks = 1;
    plan.codec_options = {{"flags", "+qscale"}, {"global_quality", std::to_string(2 * FF_QP2LAMBDA)}};
    return plan;
}

/// Makes the clock finer, so that frames may begin anywhere; the rate's own times stay exact.
inline void refine_time(EncoderPlan& plan) {
    plan.packet_ticks *= plan.time_base.num;
    plan.time_base.num = 1;
    while (plan.time_base.den < 10'000) {
        plan.time_base.den *= 2;
        plan.packet_ticks *= 2;
    }
}

} // namespace detail

/// A video file written frame by frame: mp4 as write_mp4 does, mov and mkv with the same stream, avi (MPEG-4 part 2) or
/// GIF as write_gif does. Only a GIF is held in memory meanwhile, for its palette is chosen over the whole clip. The
/// file appears with finish(), complete or not at all.
///
/// Frames may come at a rate, or each with its time. AVI has one rate: frames are repeated and left out there, so that
/// what is shown at any time is right to half a frame.
class VideoSink {
public:
    /// The format follows from the name (video_format). `fps`: of the frames, where they come without times, and of
    /// AVI. Throws Error when fps is not in 0..100'000 (AVI: 0..1000, GIF: from 0.0001), an option is out of range,
    /// or the file cannot be made.
    VideoSink(const std::filesystem::path& path, double fps, SinkOptions options = {})
        : format_(video_format(path)), fps_(fps), options_(std::move(options)),
          what_(concat_text("cannot write video ", path.string())), file_(path),
          stride_(is_gif() ? gif_stride(fps) : 1) {
        detail::require_rate(fps, is_avi() ? 1000.0 : highest_fps, what_);
        require(!is_gif() || fps >= detail::gif_min_fps, what_, ": ", fps, " frames per second, expected at least ",
                detail::gif_min_fps);
        require(options_.mp4.crf >= 0 && options_.mp4.crf <= 51, what_, ": crf is ", options_.mp4.crf,
                ", expected 0 to 51");
        require(!options_.mp4.lossless || (!is_gif() && !is_avi()), what_,
                ": lossless clips are mp4, mov or mkv, or folders of pictures");
        detail::require_preset(options_.mp4.preset, what_);
    }

    /// Appends frame `index` of a clip, at the rate. The first one sets the size. Throws Error when another has another
    /// size.
    void write(const Frames& frames, int index = 0) {
        write(frames, index, {static_cast<double>(count_) / fps_, 1 / fps_});
    }

    /// Appends frame `index` of a clip, shown from time.start on; the first one's is where the clip begins.
    void write(const Frames& frames, int index, PictureTime time) {
        (void)frames.frame(index);
        if (!graph_) {
            begin_ = time.start;
            open(frames);
        }
        require(frames.width == width_ && frames.height == height_, what_, ": frame ", count_, " is ", frames.width,
                "x", frames.height, ", those before it are ", width_, "x", height_);
        time.start -= begin_;
        ++count_;
        end_ = std::max(end_, time.end());
        if (is_gif()) {
            write_gif_frame(frames, index, time.start);
        } else if (is_avi()) {
            write_places(frames, index, time);
        } else {
            encode(frames, index, ticks(time.start));
        }
    }

    /// Ends the clip and gives the file its name. Throws Error when no frame was written.
    void finish() {
        require(count_ > 0, what_, ": there is no frame to write");
        if (is_gif()) {
            write_gif_frames();
            encoder_->finish();
        } else if (is_avi()) {
            encoder_->finish(0, end_);
        } else {
            encoder_->finish(std::max<std::int64_t>(ticks(end_) - last_ticks_, 1), end_);
        }
        file_.commit();
    }

    /// Frames given so far.
    [[nodiscard]] int count() const { return count_; }

    /// Those of them that are in the file: of a GIF less, where they are faster than it shows them; in an AVI less or
    /// more.
    [[nodiscard]] int shown() const { return is_gif() ? shown_ : is_avi() ? places_ : count_; }

    /// What of the sound could not be copied, and why, in a sentence; "" where all could or there is none.
    [[nodiscard]] std::string lost_sound() const { return encoder_ ? encoder_->lost_sound() : std::string(); }

    /// How long they last, in seconds.
    [[nodiscard]] double seconds() const { return end_; }

private:
    [[nodiscard]] bool is_gif() const { return format_ == VideoFormat::gif; }
    [[nodiscard]] bool is_avi() const { return format_ == VideoFormat::avi; }

    [[nodiscard]] std::int64_t ticks(double seconds) const { return std::llround(seconds / av_q2d(plan_.time_base)); }

    void open(const Frames& frames) {
        require(frames.width <= max_picture_side && frames.height <= max_picture_side, what_, ": ", frames.width, "x",
                frames.height, " is larger than ", max_picture_side, " pixels a side");
        width_ = frames.width;
        height_ = frames.height;
        if (is_gif()) {
            plan_.width = width_;
            plan_.height = height_;
            plan_.time_base = AVRational{1, 100};
        } else if (is_avi()) {
            plan_ = detail::avi_plan(frames, fps_, what_);
        } else {
            plan_ = detail::mp4_plan(frames, fps_, options_.mp4, what_);
            if (format_ == VideoFormat::mkv) {
                plan_.muxer = "matroska";
                plan_.muxer_options.clear();
            }
            plan_.muxer = format_ == VideoFormat::mov ? "mov" : plan_.muxer;
            detail::refine_time(plan_);
        }
        plan_.pixel_aspect = AVRational{options_.pixel_aspect.first, options_.pixel_aspect.second};
        plan_.sound = {options_.sound, begin_};
        graph_.emplace(*detail::to_avframe(frames, 0, plan_.width, plan_.height), plan_.time_base,
                       is_gif() ? detail::gif_filters : detail::yuv_filters(plan_), what_);
        if (!is_gif()) {
            encoder_.emplace(file_.temporary_path(), plan_, what_);
        }
    }

    void encode(const Frames& frames, int index, std::int64_t ticks) {
        const auto rgb = detail::to_avframe(frames, index, plan_.width, plan_.height);
        rgb->pts = count_ == 1 ? ticks : std::max(ticks, last_ticks_ + 1);
        last_ticks_ = rgb->pts;
        graph_->push(rgb.get());
        require(graph_->pull(*converted_), what_, ": converting frame ", count_ - 1, " gave nothing");
        if (plan_.bt709) {
            detail::mark_bt709(*converted_);
        }
        converted_->pict_type = AV_PICTURE_TYPE_NONE;
        encoder_->write(converted_.get());
    }

    /// At one rate: the frame fills the places of its time.
    void write_places(const Frames& frames, int index, const PictureTime& time) {
        const std::int64_t end = std::max<std::int64_t>(place_at(time.end(), fps_), count_ == 1 ? 1 : 0);
        for (; places_ < end; ++places_) {
            encode(frames, index, places_);
        }
    }

    void write_gif_frame(const Frames& frames, int index, double start) {
        const std::int64_t hundredth = std::llround(100 * start);
        const auto place = static_cast<std::int64_t>(std::floor(start * fps_ / stride_ + 1e-6));
        const bool shown = starts_.empty() || (hundredth >= starts_.back() + 2 && (stride_ == 1 || place > gif_place_));
        if (!shown) {
            return;
        }
        gif_place_ = place;
        repeat_gif_frame(hundredth);
        starts_.push_back(hundredth);
        last_gif_ = detail::to_avframe(frames, index, plan_.width, plan_.height);
        last_gif_->pts = hundredth;
        graph_->push(last_gif_.get());
        shown_ += 1;
    }

    /// Writes the last frame again where it is shown for longer than GIF can count.
    void repeat_gif_frame(std::int64_t until) {
        while (!starts_.empty() && until - starts_.back() > detail::gif_longest_delay) {
            starts_.push_back(starts_.back() + detail::gif_longest_delay);
            last_gif_->pts = starts_.back();
            graph_->push(last_gif_.get());
        }
    }

    /// The palette is ready once all frames are known, and so is the last delay, which the file's beginning needs.
    void write_gif_frames() {
        repeat_gif_frame(std::llround(100 * end_));
        graph_->push(nullptr);
        const std::int64_t last_delay = detail::gif_last_delay(starts_.back(), std::llround(100 * end_));
        encoder_.emplace(file_.temporary_path(), detail::gif_plan(width_, height_, fps_ / stride_, last_delay, what_),
                         what_);
        std::size_t written = 0;
        for (; graph_->pull(*converted_) && written < starts_.size(); ++written) {
            converted_->pts = starts_[written];
            encoder_->write(converted_.get());
        }
        require(written == starts_.size(), what_, ": ", starts_.size(), " frames became ", written);
    }

    VideoFormat format_;
    double fps_;
    SinkOptions options_;
    std::string what_;
    detail::QuietFfmpeg quiet_;
    AtomicFile file_;
    int stride_;
    detail::EncoderPlan plan_;
    std::optional<detail::FilterGraph> graph_;
    std::optional<detail::FrameEncoder> encoder_;
    detail::FfmpegPointer<AVFrame> converted_ = detail::owned(av_frame_alloc());
    int width_ = 0;
    int height_ = 0;
    int count_ = 0;
    double begin_ = 0; ///< the first frame's time as it came
    double end_ = 0;   ///< of what was written so far, seconds from the first frame
    std::int64_t last_ticks_ = 0;
    int places_ = 0;                   ///< of an AVI, filled so far
    std::int64_t gif_place_ = 0;       ///< of a GIF of a fast clip: the last that is shown
    std::vector<std::int64_t> starts_; ///< of a GIF's frames, in hundredths of a second
    int shown_ = 0;                    ///< of a GIF
    detail::FfmpegPointer<AVFrame> last_gif_;
};

} // namespace reel
