#pragma once
// Clips of any length, one frame at a time. Needs FFmpeg's libraries (target reel::video).

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_decoder.hpp>
#include <reel/io/video/video_encoder.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/video/video_writer.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace reel {

/// A video file read frame by frame: what read_video reads, without holding more than one frame.
///
///     VideoSource source("clip.mov");
///     for (Frames frame; source.next(frame);) { ... }
class VideoSource {
public:
    /// Frames come resized to width x height, or with 0x0 as they are in the file. Throws Error as read_video does.
    explicit VideoSource(const std::filesystem::path& path, int width = 0, int height = 0,
                         const VideoLimits& limits = {})
        : decoder_(checked(path, width, height, limits), limits),
          converter_(decoder_.what(), decoder_.rotation(), width, height), decoded_(detail::owned(av_frame_alloc())) {}

    /// Puts the next frame into `frame`, a clip of one frame; false at the end. Throws Error when the file is damaged,
    /// and at the end of a file of which no frame decodes.
    [[nodiscard]] bool next(Frames& frame) {
        if (!skip()) {
            return false;
        }
        frame.rgb.clear();
        frame.count = 0;
        frame.fps = fps();
        converter_.append(*decoded_, frame);
        return true;
    }

    /// Passes over a frame: it is decoded and checked, but not converted. False at the end.
    [[nodiscard]] bool skip() {
        if (decoder_.next(*decoded_)) {
            const bool sideways = detail::is_sideways(decoder_.rotation());
            width_ = sideways ? decoded_->height : decoded_->width;
            height_ = sideways ? decoded_->width : decoded_->height;
            return true;
        }
        require(decoder_.decoded() > 0, decoder_.what(), ": no frame of it decodes");
        return false;
    }

    /// Frames passed so far.
    [[nodiscard]] std::int64_t position() const { return decoder_.decoded(); }

    /// Size of the last frame as the file has it (after rotation), in pixels; 0 before the first.
    [[nodiscard]] int file_width() const { return width_; }
    [[nodiscard]] int file_height() const { return height_; }

    /// Frames per second as the container states it, 0 when it does not.
    [[nodiscard]] double fps() const { return decoder_.fps(); }

    /// FFmpeg's names, such as "h264" and "mov,mp4,m4a,3gp,3g2,mj2".
    [[nodiscard]] std::string codec() const { return decoder_.codec_name(); }
    [[nodiscard]] std::string container() const { return decoder_.container_name(); }

private:
    static const std::filesystem::path& checked(const std::filesystem::path& path, int width, int height,
                                                const VideoLimits& limits) {
        VideoSelection size;
        size.width = width;
        size.height = height;
        detail::check_selection(size, limits, concat_text("cannot read video ", path.string()));
        return path;
    }

    detail::VideoDecoder decoder_;
    detail::RgbConverter converter_;
    detail::FfmpegPointer<AVFrame> decoded_;
    int width_ = 0;
    int height_ = 0;
};

/// The formats that can be written.
enum class VideoFormat { mp4, mov, avi, gif };

/// The format that a file name's extension asks for, in upper or lower case. Throws Error for any other.
[[nodiscard]] inline VideoFormat video_format(const std::filesystem::path& path) {
    std::string extension = path.extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    constexpr std::array<std::string_view, 4> known{".mp4", ".mov", ".avi", ".gif"};
    const auto* const found = std::find(known.begin(), known.end(), extension);
    require(found != known.end(), "cannot write video ", path.string(), ": \"", extension,
            "\" is no format reel writes; expected a name that ends in .mp4, .mov, .avi or .gif");
    return static_cast<VideoFormat>(found - known.begin());
}

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

} // namespace detail

/// A video file written frame by frame: mp4 as write_mp4 does, mov with the same stream, avi (MPEG-4 part 2) or GIF as
/// write_gif does. Only a GIF is held in memory meanwhile, for its palette is chosen over the whole clip. The file
/// appears with finish(), complete or not at all.
class VideoSink {
public:
    /// The format follows from the name (video_format). Throws Error when fps is not in 0..100'000 (AVI: 0..1000, GIF:
    /// 0.01..100'000), an option is out of range, or the file cannot be made.
    VideoSink(const std::filesystem::path& path, double fps, Mp4Options options = {})
        : format_(video_format(path)), fps_(fps), options_(std::move(options)),
          what_(concat_text("cannot write video ", path.string())), file_(path),
          stride_(is_gif() ? gif_stride(fps) : 1) {
        detail::require_rate(fps, format_ == VideoFormat::avi ? 1000.0 : highest_fps, what_);
        require(!is_gif() || fps >= 0.01, what_, ": ", fps, " frames per second, expected at least 0.01");
        require(options_.crf >= 0 && options_.crf <= 51, what_, ": crf is ", options_.crf, ", expected 0 to 51");
        detail::require_preset(options_.preset, what_);
    }

    /// Appends frame `index` of a clip. The first one sets the size. Throws Error when another has another size.
    void write(const Frames& frames, int index = 0) {
        (void)frames.frame(index);
        if (!graph_) {
            open(frames);
        }
        require(frames.width == width_ && frames.height == height_, what_, ": frame ", count_, " is ", frames.width,
                "x", frames.height, ", those before it are ", width_, "x", height_);
        if (count_ % stride_ != 0) {
            ++count_;
            return;
        }
        const auto rgb = detail::to_avframe(frames, index, plan_.width, plan_.height);
        rgb->pts = is_gif() ? detail::gif_time(count_, fps_) : count_;
        graph_->push(rgb.get());
        ++count_;
        if (!is_gif()) {
            require(graph_->pull(*converted_), what_, ": converting frame ", count_ - 1, " gave nothing");
            if (plan_.bt709) {
                detail::mark_bt709(*converted_);
            }
            converted_->pict_type = AV_PICTURE_TYPE_NONE;
            encoder_->write(converted_.get());
        }
    }

    /// Ends the clip and gives the file its name. Throws Error when no frame was written.
    void finish() {
        require(count_ > 0, what_, ": there is no frame to write");
        if (is_gif()) {
            write_gif_frames();
        }
        encoder_->finish();
        file_.commit();
    }

    /// Frames given so far.
    [[nodiscard]] int count() const { return count_; }

    /// Every so many of them are in the file: of a GIF of a fast clip (gif_stride), else 1.
    [[nodiscard]] int stride() const { return stride_; }

private:
    [[nodiscard]] bool is_gif() const { return format_ == VideoFormat::gif; }

    void open(const Frames& frames) {
        require(frames.width <= max_picture_side && frames.height <= max_picture_side, what_, ": ", frames.width, "x",
                frames.height, " is larger than ", max_picture_side, " pixels a side");
        width_ = frames.width;
        height_ = frames.height;
        if (is_gif()) {
            plan_.width = width_;
            plan_.height = height_;
            plan_.time_base = AVRational{1, 100};
        } else if (format_ == VideoFormat::avi) {
            plan_ = detail::avi_plan(frames, fps_, what_);
        } else {
            plan_ = detail::mp4_plan(frames, fps_, options_, what_);
            plan_.muxer = format_ == VideoFormat::mov ? "mov" : plan_.muxer;
        }
        graph_.emplace(*detail::to_avframe(frames, 0, plan_.width, plan_.height), plan_.time_base,
                       is_gif() ? detail::gif_filters : detail::yuv_filters(plan_), what_);
        if (!is_gif()) {
            encoder_.emplace(file_.temporary_path(), plan_, what_);
        }
    }

    /// The palette is ready once all frames are known, and so is the last delay, which the file's beginning needs.
    void write_gif_frames() {
        graph_->push(nullptr);
        const int shown = (count_ + stride_ - 1) / stride_;
        const std::int64_t last_delay =
            detail::gif_last_delay(detail::gif_time((shown - 1) * stride_, fps_), detail::gif_time(count_, fps_));
        encoder_.emplace(file_.temporary_path(), detail::gif_plan(width_, height_, fps_ / stride_, last_delay, what_),
                         what_);
        int written = 0;
        for (; graph_->pull(*converted_); ++written) {
            converted_->pts = detail::gif_time(written * stride_, fps_);
            encoder_->write(converted_.get());
        }
        require(written == shown, what_, ": ", shown, " frames became ", written);
    }

    VideoFormat format_;
    double fps_;
    Mp4Options options_;
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
};

} // namespace reel
