#pragma once
// Decodes a video file frame by frame, trusting nothing in it. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/mp4_boxes.hpp>
#include <reel/io/video/packet_index.hpp>
#include <reel/io/video/video_display.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_input.hpp>
#include <reel/io/video/video_times.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// How much a video file may make reel do. All are generous; lower them for files from strangers.
struct VideoLimits {
    int max_side = max_picture_side;                  ///< width or height in the file, pixels
    std::int64_t max_pixels = max_picture_pixels;     ///< pixels of one frame in the file
    std::int64_t max_decoded = 1'000'000;             ///< frames decoded, the passed-over ones included
    std::uint64_t max_bytes = std::uint64_t{1} << 34; ///< bytes of RGB handed back (16 GiB)
};

namespace detail {

/// The best video stream of a file, decoded in presentation order.
class VideoDecoder {
public:
    VideoDecoder(const std::filesystem::path& path, const VideoLimits& limits,
                 const char* containers = video_containers)
        : what_(concat_text("cannot read video ", path.string())), limits_(limits), input_(path, what_) {
        open_container(containers);
        open_codec();
    }

    VideoDecoder(const VideoDecoder&) = delete;
    VideoDecoder& operator=(const VideoDecoder&) = delete;
    ~VideoDecoder() { avformat_close_input(&format_); }

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

    [[nodiscard]] const std::string& what() const { return what_; }
    [[nodiscard]] std::int64_t decoded() const { return decoded_; }
    [[nodiscard]] std::string codec_name() const { return avcodec_get_name(codec_->codec_id); }
    [[nodiscard]] std::string container_name() const { return format_->iformat->name; }

    /// When the last frame is shown, in seconds on the clock of the container, which starts with its first stream. A
    /// duration of 0 is not known.
    [[nodiscard]] PictureTime time() const { return clock_.time(); }

    /// How long the last frame of the file is shown, in seconds; 0: not known. Of an mp4, whose packets' durations are
    /// those between decoding times, the track's end says it, unless it keeps to the rate that `meter` has found.
    [[nodiscard]] double last_duration(const RateMeter& meter) const { return last_duration(meter, clock_.time()); }

    [[nodiscard]] double last_duration(const RateMeter& meter, const PictureTime& last) const {
        if (!meter.is_usual(last.duration) && std::string_view(format_->iformat->name).starts_with("mov")) {
            const auto byte_at = [&](std::int64_t at) { return input_.byte_at(at); };
            const auto end = mp4_track_end(byte_at, input_.size(), static_cast<std::uint32_t>(stream_->id));
            const double duration = end ? *end - origin() - last.start : 0;
            const double rounding = 0.0011; // of the film's clock, which often is thousandths
            if (meter.steady() && std::abs(duration - meter.usual_duration()) < rounding) {
                return meter.usual_duration();
            }
            if (duration > 0) {
                return duration;
            }
        }
        return last.duration > 0 ? last.duration : meter.usual_duration();
    }

    /// Knows the rates that the container states; whether they are true only times tell. `stride`: of the pictures that
    /// it will be given.
    [[nodiscard]] RateMeter meter(int stride = 1) const {
        std::vector<double> stated;
        for (const AVRational rate : {stream_->avg_frame_rate, stream_->r_frame_rate}) {
            if (rate.num > 0 && rate.den > 0) {
                stated.push_back(av_q2d(rate) / stride);
            }
        }
        return {std::move(stated), av_q2d(stream_->time_base)};
    }

    /// Goes through the file's packets without decoding; the decoder then is at the end.
    [[nodiscard]] PacketIndex index() {
        PacketIndex index;
        while (read_packet()) {
            if ((packet_->flags & AV_PKT_FLAG_DISCARD) != 0) {
                continue;
            }
            index.timed = index.timed && packet_->pts != AV_NOPTS_VALUE;
            const bool key = (packet_->flags & AV_PKT_FLAG_KEY) != 0 && packet_->dts != AV_NOPTS_VALUE;
            index.add(packet_->pts, packet_->duration, key ? std::optional(packet_->dts) : std::nullopt);
            require(static_cast<std::int64_t>(index.starts.size()) <= limits_.max_decoded, what_, ": it has more than ",
                    limits_.max_decoded, " frames, the limit of VideoLimits::max_decoded");
        }
        index.finish();
        return index;
    }

    /// Where the container's first stream begins, by its own numbers; seconds.
    [[nodiscard]] double origin() const {
        return format_->start_time == AV_NOPTS_VALUE ? 0 : static_cast<double>(format_->start_time) / AV_TIME_BASE;
    }

    /// A time or duration of the index in seconds.
    [[nodiscard]] double seconds(std::int64_t ticks) const {
        return static_cast<double>(ticks) * av_q2d(stream_->time_base);
    }

    /// Whether packets and pictures are known to be as many, so that index() may be sought by.
    [[nodiscard]] bool is_indexed() const {
        const std::string_view container = format_->iformat->name;
        const AVCodecID codec = codec_->codec_id;
        return (container.starts_with("mov") || container.starts_with("matroska")) &&
               (codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC || codec == AV_CODEC_ID_MPEG4 ||
                codec == AV_CODEC_ID_VP9 || codec == AV_CODEC_ID_AV1 || codec == AV_CODEC_ID_MJPEG ||
                codec == AV_CODEC_ID_PRORES || codec == AV_CODEC_ID_FFV1);
    }

    /// Goes on with a key picture, number `number` of the clip: next() gives it. False where the file does not give
    /// exactly that one; then the decoder is of no more use.
    [[nodiscard]] bool seek(const PacketIndex::Key& key, std::int64_t number) {
        if (av_seek_frame(format_, stream_->index, key.decoded, AVSEEK_FLAG_BACKWARD) < 0) {
            return false;
        }
        avcodec_flush_buffers(codec_.get());
        sought_ = owned(av_frame_alloc());
        for (int passed = 0; passed < 1000; ++passed) { // those before it, which may lack what they refer to
            int code = avcodec_receive_frame(codec_.get(), sought_.get());
            if (code == AVERROR(EAGAIN)) {
                const bool more = read_packet();
                static_cast<void>(avcodec_send_packet(codec_.get(), more ? packet_.get() : nullptr));
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

    /// How the pictures are to be turned and mirrored.
    [[nodiscard]] DisplayMatrix display_matrix() const {
        const std::uint8_t* matrix = nullptr;
        std::size_t size = 0;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
        const AVCodecParameters& parameters = *stream_->codecpar;
        if (const AVPacketSideData* data = av_packet_side_data_get(
                parameters.coded_side_data, parameters.nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX)) {
            matrix = data->data;
            size = data->size;
        }
#else
        matrix = av_stream_get_side_data(stream_, AV_PKT_DATA_DISPLAYMATRIX, &size);
#endif
        return matrix != nullptr ? detail::display_matrix({matrix, size}) : upright;
    }

    /// Width of a pixel by its height, before it is turned.
    [[nodiscard]] AVRational pixel_aspect(AVFrame& frame) const {
        const AVRational aspect = av_guess_sample_aspect_ratio(format_, stream_, &frame);
        return aspect.num > 0 && aspect.den > 0 ? aspect : AVRational{1, 1};
    }

private:
    void open_container(const char* containers) {
        format_ = open_local(input_, containers, what_);
        try {
            find_stream();
        } catch (...) {
            avformat_close_input(&format_); // the destructor does not run when a constructor throws
            throw;
        }
    }

    void find_stream() {
        // FFmpeg decodes a little here, in decoders of its own that must keep to the limits too.
        std::vector<AVDictionary*> options(format_->nb_streams, nullptr);
        for (AVDictionary*& entry : options) {
            av_dict_set_int(&entry, "max_pixels", limits_.max_pixels, 0);
        }
        const int known = avformat_find_stream_info(format_, options.empty() ? nullptr : options.data());
        for (AVDictionary*& entry : options) {
            av_dict_free(&entry);
        }
        require(known >= 0, what_, ": damaged (FFmpeg: ", ffmpeg_error(known), ")");
        const int best = av_find_best_stream(format_, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
        require(best >= 0, what_, ": it holds no pictures that this FFmpeg can decode");
        for (unsigned i = 0; i < format_->nb_streams; ++i) {
            format_->streams[i]->discard = static_cast<int>(i) == best ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
        }
        stream_ = format_->streams[best];
        check_size(stream_->codecpar->width, stream_->codecpar->height);
        check_complete();
    }

    /// An mp4 cut short keeps its index; reading on would quietly end the clip early.
    void check_complete() const {
        for (int i = 0; i < avformat_index_get_entries_count(stream_); ++i) {
            const AVIndexEntry* entry = avformat_index_get_entry(stream_, i);
            require(entry == nullptr || entry->pos <= input_.size() - entry->size, what_,
                    ": the file is cut off: its index places frame ", i, " at byte ", entry->pos, ", the file has ",
                    input_.size(), "; copy it again");
        }
    }

    void check_size(int width, int height) const {
        require(width <= limits_.max_side && height <= limits_.max_side &&
                    std::int64_t{width} * height <= limits_.max_pixels,
                what_, ": its frames are ", width, "x", height, ", above the limit of ", limits_.max_side,
                " pixels a side and ", limits_.max_pixels, " pixels in all");
    }

    void open_codec() {
        try {
            const AVCodec* decoder = avcodec_find_decoder(stream_->codecpar->codec_id);
            require(decoder != nullptr, what_, ": this FFmpeg has no decoder for ",
                    avcodec_get_name(stream_->codecpar->codec_id));
            codec_ = owned(avcodec_alloc_context3(decoder));
            const int copied = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
            require(copied >= 0, what_, ": ", ffmpeg_error(copied));
            codec_->pkt_timebase = stream_->time_base;
            codec_->max_pixels = limits_.max_pixels;
            codec_->thread_count = 0; // as many as there are cores; the frames are the same for any number
            const int opened = avcodec_open2(codec_.get(), decoder, nullptr);
            require(opened >= 0, what_, ": the ", decoder->name, " decoder refuses it: ", ffmpeg_error(opened));
            packet_ = owned(av_packet_alloc());
        } catch (...) {
            avformat_close_input(&format_);
            throw;
        }
    }

    /// The next packet of the stream; false, with an empty one, at the end.
    bool read_packet() {
        for (;;) {
            av_packet_unref(packet_.get());
            const int code = av_read_frame(format_, packet_.get());
            if (code == AVERROR_EOF) {
                return false;
            }
            if (code < 0) {
                damaged(ffmpeg_error(code));
            }
            if (packet_->stream_index == stream_->index) {
                return true;
            }
        }
    }

    void feed() {
        static_cast<void>(read_packet());
        if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) {
            damaged("the container marks it so, or it is cut off");
        }
        // An empty packet at the end asks the decoder for the frames it still holds.
        const int sent = avcodec_send_packet(codec_.get(), packet_->data != nullptr ? packet_.get() : nullptr);
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
        require(decoded_ <= limits_.max_decoded, what_, ": it has more than ", limits_.max_decoded,
                " frames, the limit of VideoLimits::max_decoded");
    }

    void note_time(const AVFrame& frame) {
        const double tick = av_q2d(stream_->time_base);
        const AVRational guess = av_guess_frame_rate(format_, stream_, nullptr);
        std::optional<double> start;
        if (frame.best_effort_timestamp != AV_NOPTS_VALUE) {
            const std::int64_t begin =
                av_rescale_q(std::llround(origin() * AV_TIME_BASE), AVRational{1, AV_TIME_BASE}, stream_->time_base);
            start = static_cast<double>(frame.best_effort_timestamp - begin) * tick;
        }
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
        const std::int64_t duration = frame.duration;
#else
        const std::int64_t duration = frame.pkt_duration;
#endif
        clock_.note(start, static_cast<double>(std::max<std::int64_t>(duration, 0)) * tick,
                    {.tick = tick,
                     .usual = guess.num > 0 && guess.den > 0 ? 1 / av_q2d(guess) : tick,
                     .may_jump = (format_->iformat->flags & AVFMT_TS_DISCONT) != 0});
    }

    [[noreturn]] void damaged(std::string_view reason) const {
        fail(what_, ": damaged after frame ", decoded_, " (", reason, "); copy it again or encode it anew");
    }

    std::string what_;
    VideoLimits limits_;
    QuietFfmpeg quiet_;
    VideoInput input_;
    AVFormatContext* format_ = nullptr;
    AVStream* stream_ = nullptr;
    FfmpegPointer<AVCodecContext> codec_;
    FfmpegPointer<AVPacket> packet_;
    FfmpegPointer<AVFrame> sought_; ///< decoded by seek(), for next()
    std::int64_t decoded_ = 0;
    FrameClock clock_;
};

} // namespace detail
} // namespace reel
