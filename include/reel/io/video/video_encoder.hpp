#pragma once
// Encodes frames into a file through FFmpeg; write_mp4 and write_gif say how. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
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
    bool bt709 = false;            ///< say that colours are BT.709, limited range
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
        : what_(std::move(what)), packet_ticks_(plan.packet_ticks), packet_(owned(av_packet_alloc())) {
        AVFormatContext* made = nullptr;
        // The prefix keeps a colon in the path from being read as a protocol.
        const std::string url = concat_text("file:", file.string());
        check(avformat_alloc_output_context2(&made, nullptr, plan.muxer, url.c_str()), "preparing the container");
        format_.reset(made);
        open_codec(plan);
        open_file(plan, url);
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
            av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
            check(av_interleaved_write_frame(format_.get(), packet_.get()), "writing");
        }
    }

    /// Ends the clip and closes the file. Without it the file is useless.
    void finish() {
        write(nullptr);
        check(av_write_trailer(format_.get()), "writing");
        avio_flush(format_->pb);
        check(format_->pb->error, "writing");
        check(avio_closep(&format_->pb), "closing");
    }

private:
    struct FreeOutput {
        void operator()(AVFormatContext* format) const {
            avio_closep(&format->pb);
            avformat_free_context(format);
        }
    };

    void check(int code, std::string_view doing) const {
        require(code >= 0, what_, ": ", doing, " failed: ", ffmpeg_error(code));
    }

    void open_codec(const EncoderPlan& plan) {
        codec_ = owned(avcodec_alloc_context3(plan.codec));
        codec_->width = plan.width;
        codec_->height = plan.height;
        codec_->pix_fmt = plan.format;
        codec_->time_base = plan.time_base;
        codec_->framerate = plan.frame_rate;
        codec_->bit_rate = plan.bit_rate;
        codec_->sample_aspect_ratio = AVRational{1, 1};
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

    void open_file(const EncoderPlan& plan, const std::string& url) {
        stream_ = avformat_new_stream(format_.get(), nullptr);
        require(stream_ != nullptr, what_, ": out of memory");
        stream_->time_base = plan.time_base;
        stream_->avg_frame_rate = plan.frame_rate;
        check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), "describing the stream");
        format_->flags |= AVFMT_FLAG_BITEXACT;
        check(avio_open(&format_->pb, url.c_str(), AVIO_FLAG_WRITE), "opening the file");
        FfmpegDictionary options(plan.muxer_options);
        check(avformat_write_header(format_.get(), options.get()), "writing the header");
        options.require_used(what_);
    }

    QuietFfmpeg quiet_;
    std::string what_;
    std::int64_t packet_ticks_ = 0;
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
