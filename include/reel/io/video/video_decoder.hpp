#pragma once
// Decodes a video file frame by frame, trusting nothing in it. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/packet_index.hpp>
#include <reel/io/video/video_container.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_input.hpp>
#include <reel/io/video/video_times.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace reel::detail {

/// The best video stream of a file, decoded in presentation order.
class VideoDecoder : public VideoContainer {
public:
    VideoDecoder(const std::filesystem::path& path, const VideoLimits& limits,
                 const char* containers = video_containers)
        : VideoContainer(path, limits, containers) {
        open_codec();
    }

    /// Decodes the next frame; false at the end. Throws Error when the file is damaged.
    [[nodiscard]] bool next(AVFrame& frame) {
        if (sought_) {
            av_frame_unref(&frame);
            av_frame_move_ref(&frame, sought_.get());
            sought_.reset();
            accept(frame);
            return true;
        }
        for (;;) {
            const int code = avcodec_receive_frame(codec_.get(), &frame);
            if (code == 0) {
                accept(frame);
                return true;
            }
            if (code == AVERROR_EOF) {
                return false;
            }
            if (code != AVERROR(EAGAIN)) {
                damaged(ffmpeg_error(code));
            }
            feed();
        }
    }

    [[nodiscard]] std::int64_t decoded() const { return decoded_; }
    [[nodiscard]] std::string codec_name() const { return avcodec_get_name(codec_->codec_id); }

    /// When the last frame is shown, in seconds on the clock of the container, which starts with its first stream. A
    /// duration of 0 is not known.
    [[nodiscard]] PictureTime time() const { return clock_.time(); }

    using VideoContainer::last_duration;
    /// Of the last frame decoded, the last of the file.
    [[nodiscard]] double last_duration(const RateMeter& meter) const { return last_duration(meter, clock_.time()); }

    /// Whether packets and pictures are known to be as many, so that index() may be sought by.
    [[nodiscard]] bool is_indexed() const {
        const std::string_view container = format()->iformat->name;
        const AVCodecID codec = codec_->codec_id;
        return (container.starts_with("mov") || container.starts_with("matroska")) &&
               (codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC || codec == AV_CODEC_ID_MPEG4 ||
                codec == AV_CODEC_ID_VP9 || codec == AV_CODEC_ID_AV1 || codec == AV_CODEC_ID_MJPEG ||
                codec == AV_CODEC_ID_PRORES || codec == AV_CODEC_ID_FFV1);
    }

    /// Goes on with a key picture, number `number` of the clip: next() gives it. False where the file does not give
    /// exactly that one; then the decoder is of no more use.
    [[nodiscard]] bool seek(const PacketIndex::Key& key, std::int64_t number) {
        if (av_seek_frame(format(), stream()->index, key.decoded, AVSEEK_FLAG_BACKWARD) < 0) {
            return false;
        }
        avcodec_flush_buffers(codec_.get());
        sought_ = owned(av_frame_alloc());
        for (int passed = 0; passed < 1000; ++passed) { // those before it, which may lack what they refer to
            int code = avcodec_receive_frame(codec_.get(), sought_.get());
            if (code == AVERROR(EAGAIN)) {
                const bool more = read_packet();
                static_cast<void>(avcodec_send_packet(codec_.get(), more ? packet() : nullptr));
                continue;
            }
            if (code < 0 || sought_->best_effort_timestamp > key.start) {
                return false;
            }
            if (sought_->best_effort_timestamp == key.start) {
                decoded_ = number;
                return true;
            }
        }
        return false;
    }

private:
    void open_codec() {
        const AVCodec* decoder = avcodec_find_decoder(stream()->codecpar->codec_id);
        require(decoder != nullptr, what(), ": this FFmpeg has no decoder for ",
                avcodec_get_name(stream()->codecpar->codec_id));
        codec_ = owned(avcodec_alloc_context3(decoder));
        const int copied = avcodec_parameters_to_context(codec_.get(), stream()->codecpar);
        require(copied >= 0, what(), ": ", ffmpeg_error(copied));
        codec_->pkt_timebase = stream()->time_base;
        codec_->max_pixels = limits().max_pixels;
        codec_->thread_count = 0; // as many as there are cores; the frames are the same for any number
        const int opened = avcodec_open2(codec_.get(), decoder, nullptr);
        require(opened >= 0, what(), ": the ", decoder->name, " decoder refuses it: ", ffmpeg_error(opened));
    }

    void feed() {
        static_cast<void>(read_packet());
        if ((packet()->flags & AV_PKT_FLAG_CORRUPT) != 0) {
            damaged("the container marks it so, or it is cut off");
        }
        // An empty packet at the end asks the decoder for the frames it still holds.
        const int sent = avcodec_send_packet(codec_.get(), packet()->data != nullptr ? packet() : nullptr);
        if (sent < 0) {
            damaged(ffmpeg_error(sent));
        }
    }

    void accept(const AVFrame& frame) {
        if (frame.decode_error_flags != 0) {
            damaged("the decoder had to guess parts of it");
        }
        check_size(frame.width, frame.height);
        note_time(frame);
        ++decoded_;
        require(decoded_ <= limits().max_decoded, what(), ": it has more than ", limits().max_decoded,
                " frames, the limit of VideoLimits::max_decoded");
    }

    void note_time(const AVFrame& frame) {
        const double tick = av_q2d(stream()->time_base);
        const AVRational guess = av_guess_frame_rate(format(), stream(), nullptr);
        std::optional<double> start;
        if (frame.best_effort_timestamp != AV_NOPTS_VALUE) {
            const std::int64_t begin =
                av_rescale_q(std::llround(origin() * AV_TIME_BASE), AVRational{1, AV_TIME_BASE}, stream()->time_base);
            start = static_cast<double>(frame.best_effort_timestamp - begin) * tick;
        }
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
        const std::int64_t duration = frame.duration;
#else
        const std::int64_t duration = frame.pkt_duration;
#endif
        clock_.note(
            start, static_cast<double>(std::max<std::int64_t>(duration, 0)) * tick,
            {.tick = tick, .usual = guess.num > 0 && guess.den > 0 ? 1 / av_q2d(guess) : tick, .may_jump = may_jump()});
    }

    FfmpegPointer<AVCodecContext> codec_;
    FfmpegPointer<AVFrame> sought_; ///< decoded by seek(), for next()
    FrameClock clock_;
};

} // namespace reel::detail
