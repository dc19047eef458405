#pragma once
// Encodes frames into a file through FFmpeg; write_mp4 and write_gif say how. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/sound_copy.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// The most frames per second that are written.
inline constexpr double highest_fps = 100'000.0;

} // namespace reel

namespace reel::detail {

/// Options by name, for a codec or a muxer.
using FfmpegOptions = std::vector<std::pair<std::string, std::string>>;

/// Owns FFmpeg's list of options, and tells which of them nobody understood.
class FfmpegDictionary {
public:
    explicit FfmpegDictionary(const FfmpegOptions& options) {
        for (const auto& [name, value] : options) {
            av_dict_set(&entries_, name.c_str(), value.c_str(), 0);
        }
    }
    FfmpegDictionary(const FfmpegDictionary&) = delete;
    FfmpegDictionary& operator=(const FfmpegDictionary&) = delete;
    ~FfmpegDictionary() { av_dict_free(&entries_); }

    AVDictionary** get() { return &entries_; }

    void require_used(const std::string& what) const {
        const AVDictionaryEntry* left = av_dict_get(entries_, "", nullptr, AV_DICT_IGNORE_SUFFIX);
        require(left == nullptr, what, ": this FFmpeg does not know the option ", left ? left->key : "");
    }

private:
    AVDictionary* entries_ = nullptr;
};

/// How a file is encoded.
struct EncoderPlan {
    const char* muxer = nullptr;
    const AVCodec* codec = nullptr;
    AVPixelFormat format = AV_PIX_FMT_NONE;
    int width = 0;
    int height = 0;
    AVRational time_base{1, 1};
    AVRational frame_rate{0, 1};
    AVRational pixel_aspect{1, 1};
    bool bt709 = false;            ///< say that colours are BT.709, limited range
    SoundPart sound{};             ///< copied along where the container can hold it
    std::int64_t packet_ticks = 0; ///< how long a frame lasts, in time_base; 0 leaves that to the muxer
    std::int64_t bit_rate = 0;     ///< for encoders without a quality setting
    FfmpegOptions codec_options;
    FfmpegOptions muxer_options;
};

/// The fields of AVCodecContext and AVFrame that carry colour have the same names.
template <class Target>
void mark_bt709(Target& target) {
    target.colorspace = AVCOL_SPC_BT709;
    target.color_primaries = AVCOL_PRI_BT709;
    target.color_trc = AVCOL_TRC_BT709;
    target.color_range = AVCOL_RANGE_MPEG;
}

/// Writes encoded frames into a file FFmpeg opens itself. One thread and no date, so that the same frames give the
/// same bytes.
class FrameEncoder {
public:
    FrameEncoder(const std::filesystem::path& file, const EncoderPlan& plan, std::string what)
        : what_(std::move(what)), packet_ticks_(plan.packet_ticks), sound_begin_(plan.sound.begin),
          packet_(owned(av_packet_alloc())) {
        // The prefix keeps a colon in the path from being read as a protocol.
        const std::string url = concat_text("file:", file.string());
        open_container(plan, url);
        open_codec(plan);
        open_sound(plan);
        int code = open_file(plan, url);
        if (code < 0 && sound_) { // the sound is not worth the clip
            leave_sound(concat_text("the sound is left out: the container refuses it: ", ffmpeg_error(code)));
            open_container(plan, url);
            code = open_file(plan, url);
        }
        check(code, "writing the header");
    }

    /// Encodes one frame, or with nullptr the end.
    void write(const AVFrame* frame) {
        check(avcodec_send_frame(codec_.get(), frame), "encoding");
        for (;;) {
            const int code = avcodec_receive_packet(codec_.get(), packet_.get());
            if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) {
                return;
            }
            check(code, "encoding");
            if (packet_->duration == 0) {
                packet_->duration = packet_ticks_;
            }
            packet_->stream_index = stream_->index;
            const double start = static_cast<double>(packet_->pts) * av_q2d(codec_->time_base);
            av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
            check(av_interleaved_write_frame(format_.get(), packet_.get()), "writing");
            if (start >= 0 && sound_) {
                write_sound(start);
            }
        }
    }

    /// Ends the clip and closes the file. Without it the file is useless. `last_ticks`: how long the last frame lasts,
    /// in time_base; 0: as long as any other. `seconds`: of the clip, where its sound ends.
    void finish(std::int64_t last_ticks = 0, double seconds = 0) {
        packet_ticks_ = last_ticks > 0 ? last_ticks : packet_ticks_;
        write(nullptr);
        if (sound_) {
            write_sound(seconds);
        }
        close();
    }

    /// What of the sound could not be copied, and why, in a sentence; or "".
    [[nodiscard]] const std::string& lost_sound() const { return lost_sound_; }

private:
    void close() {
        check(av_write_trailer(format_.get()), "writing");
        avio_flush(format_->pb);
        check(format_->pb->error, "writing");
        check(avio_closep(&format_->pb), "closing");
    }

    struct FreeOutput {
        void operator()(AVFormatContext* format) const {
            avio_closep(&format->pb);
            avformat_free_context(format);
        }
    };

    void check(int code, std::string_view doing) const {
        require(code >= 0, what_, ": ", doing, " failed: ", ffmpeg_error(code));
    }

    void open_container(const EncoderPlan& plan, const std::string& url) {
        AVFormatContext* made = nullptr;
        check(avformat_alloc_output_context2(&made, nullptr, plan.muxer, url.c_str()), "preparing the container");
        format_.reset(made);
    }

    void open_codec(const EncoderPlan& plan) {
        codec_ = owned(avcodec_alloc_context3(plan.codec));
        codec_->width = plan.width;
        codec_->height = plan.height;
        codec_->pix_fmt = plan.format;
        codec_->time_base = plan.time_base;
        codec_->framerate = plan.frame_rate;
        codec_->bit_rate = plan.bit_rate;
        codec_->sample_aspect_ratio = plan.pixel_aspect;
        codec_->thread_count = 1;
        codec_->flags |= AV_CODEC_FLAG_BITEXACT;
        if (plan.bt709) {
            mark_bt709(*codec_);
        }
        if ((format_->oformat->flags & AVFMT_GLOBALHEADER) != 0) {
            codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
        }
        FfmpegDictionary options(plan.codec_options);
        check(avcodec_open2(codec_.get(), plan.codec, options.get()),
              concat_text("opening the encoder ", plan.codec->name));
        options.require_used(what_);
    }

    /// Writes the header; returns what FFmpeg says to it.
    [[nodiscard]] int open_file(const EncoderPlan& plan, const std::string& url) {
        stream_ = new_stream();
        stream_->time_base = plan.time_base;
        stream_->avg_frame_rate = plan.frame_rate;
        stream_->sample_aspect_ratio = plan.pixel_aspect;
        check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), "describing the stream");
        if (sound_) {
            sound_stream_ = new_stream();
            check(avcodec_parameters_copy(sound_stream_->codecpar, sound_->stream()->codecpar), "describing the sound");
            sound_stream_->codecpar->codec_tag = 0;
            sound_stream_->time_base = sound_->stream()->time_base;
        }
        format_->flags |= AVFMT_FLAG_BITEXACT;
        check(avio_open(&format_->pb, url.c_str(), AVIO_FLAG_WRITE), "opening the file");
        FfmpegDictionary options(plan.muxer_options);
        const int code = avformat_write_header(format_.get(), options.get());
        if (code >= 0) {
            options.require_used(what_);
        }
        return code;
    }

    [[nodiscard]] AVStream* new_stream() const {
        AVStream* stream = avformat_new_stream(format_.get(), nullptr);
        require(stream != nullptr, what_, ": out of memory");
        return stream;
    }

    /// Whatever is wrong with the sound, the pictures go on without it.
    void leave_sound(std::string why) {
        lost_sound_ = std::move(why);
        sound_.reset();
        has_sound_ = false;
    }

    void open_sound(const EncoderPlan& plan) {
        if (plan.sound.path.empty()) {
            return;
        }
        try {
            sound_.emplace(plan.sound.path);
        } catch (const Error& error) {
            leave_sound(concat_text("the sound is left out: ", error.what()));
            return;
        }
        const AVStream* from = sound_->stream();
        if (from == nullptr) {
            sound_.reset();
            return;
        }
        if (!holds_sound(format_->oformat->name, *from)) {
            leave_sound(lost_sound_text(format_->oformat->name, *from));
            return;
        }
        sound_packet_ = owned(av_packet_alloc());
        has_sound_ = sound_->next(*sound_packet_);
    }

    /// Copies the sound that begins before a time of the clip. mp4 and mov hide what lies a little before the clip,
    /// which decoders need to begin with.
    void write_sound(double until) {
        const bool hides =
            std::string_view(format_->oformat->name) == "mp4" || std::string_view(format_->oformat->name) == "mov";
        const double before = hides ? -0.06 : -1e-6;
        for (; has_sound_; has_sound_ = sound_->next(*sound_packet_)) {
            const double start = sound_->start_of(*sound_packet_) - sound_begin_;
            if (start >= until) {
                return;
            }
            if (start < before) {
                continue;
            }
            const AVRational from = sound_->stream()->time_base;
            const std::int64_t shift =
                std::llround((start - static_cast<double>(sound_packet_->pts) * av_q2d(from)) / av_q2d(from));
            sound_packet_->pts += shift;
            sound_packet_->dts = sound_packet_->pts;
            sound_packet_->stream_index = sound_stream_->index;
            sound_packet_->pos = -1;
            av_packet_rescale_ts(sound_packet_.get(), from, sound_stream_->time_base);
            if (last_sound_) { // clocks that stand still or go back are refused; ffmpeg moves such packets, too
                const bool may_stand = (format_->oformat->flags & AVFMT_TS_NONSTRICT) != 0;
                sound_packet_->dts = std::max(sound_packet_->dts, *last_sound_ + (may_stand ? 0 : 1));
                sound_packet_->pts = sound_packet_->dts;
            }
            last_sound_ = sound_packet_->dts;
            const int code = av_interleaved_write_frame(format_.get(), sound_packet_.get());
            check(format_->pb->error, "writing"); // a full disk is not the sound's fault
            if (code < 0) {
                has_sound_ = false;
                lost_sound_ = concat_text("the sound ends after ", std::max(start, 0.0),
                                          " s, where the container refuses it: ", ffmpeg_error(code));
                return;
            }
        }
    }

    QuietFfmpeg quiet_;
    std::string what_;
    std::int64_t packet_ticks_ = 0;
    double sound_begin_ = 0;
    std::string lost_sound_;
    std::optional<SoundCopy> sound_;
    FfmpegPointer<AVPacket> sound_packet_;
    AVStream* sound_stream_ = nullptr;
    bool has_sound_ = false;
    std::optional<std::int64_t> last_sound_; ///< when the last packet begins
    FfmpegPointer<AVPacket> packet_;
    std::unique_ptr<AVFormatContext, FreeOutput> format_;
    FfmpegPointer<AVCodecContext> codec_;
    AVStream* stream_ = nullptr;
};

/// Frame `index` as an FFmpeg frame of RGB of width x height, at least the clip's size: the last column and row are
/// repeated to fill the rest.
[[nodiscard]] inline FfmpegPointer<AVFrame> to_avframe(const Frames& frames, int index, int width, int height) {
    auto frame = owned(av_frame_alloc());
    frame->format = AV_PIX_FMT_RGB24;
    frame->width = width;
    frame->height = height;
    frame->sample_aspect_ratio = AVRational{1, 1};
    require(av_frame_get_buffer(frame.get(), 0) >= 0, "FFmpeg is out of memory");
    for (int y = 0; y < height; ++y) {
        std::uint8_t* row = frame->data[0] + static_cast<std::ptrdiff_t>(y) * frame->linesize[0];
        std::memcpy(row, frames.pixel(index, std::min(y, frames.height - 1), 0), frames.row_bytes());
        for (int x = frames.width; x < width; ++x) {
            std::memcpy(row + std::ptrdiff_t{3} * x, row + std::ptrdiff_t{3} * (frames.width - 1), 3);
        }
    }
    return frame;
}

inline void require_rate(double fps, double highest, const std::string& what) {
    require(fps > 0.0 && fps <= highest, what, ": ", fps, " frames per second, expected above 0 and at most ", highest);
}

} // namespace reel::detail
