#pragma once
// A video file's container: its pictures' stream, packets and times, trusting nothing in it. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/exif_orientation.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/matroska_end.hpp>
#include <reel/io/video/mp4_boxes.hpp>
#include <reel/io/video/packet_index.hpp>
#include <reel/io/video/stream_joints.hpp>
#include <reel/io/video/video_display.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_input.hpp>
#include <reel/io/video/video_selection.hpp>
#include <reel/io/video/video_times.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// The best video stream of a file, packet by packet.
class VideoContainer {
public:
    VideoContainer(const std::filesystem::path& path, const VideoLimits& limits, const char* containers)
        : what_(concat_text("cannot read video ", path.string())), limits_(limits),
          is_picture_(containers == picture_containers), input_(path, what_) {
        open_container(containers);
    }

    VideoContainer(const VideoContainer&) = delete;
    VideoContainer& operator=(const VideoContainer&) = delete;
    ~VideoContainer() { avformat_close_input(&format_); }

    [[nodiscard]] const std::string& what() const { return what_; }
    [[nodiscard]] std::string container_name() const { return format_->iformat->name; }

    /// How long the last frame of the file is shown, in seconds; 0: not known. Of an mp4, whose packets' durations are
    /// those between decoding times, the track's end says it, unless it keeps to the rate that `meter` has found; of a
    /// Matroska file, whose packets seldom have one of their own, the end that its tags or its head state.
    [[nodiscard]] double last_duration(const RateMeter& meter, const PictureTime& last) const {
        if (const auto end = stated_end(meter, last)) {
            const double duration = *end - origin() - last.start;
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
    /// it will be given. A GIF states none: what FFmpeg says of it is made of the first delays, by each version in
    /// another way.
    [[nodiscard]] RateMeter meter(int stride = 1) const {
        const bool states_rate = container_name() != "gif";
        std::vector<double> rates = states_rate ? std::vector<double>() : usual_rates();
        for (const AVRational rate : {stream_->avg_frame_rate, stream_->r_frame_rate}) {
            if (states_rate && rate.num > 0 && rate.den > 0) {
                rates.push_back(av_q2d(rate));
            }
        }
        for (double& rate : rates) {
            rate /= stride;
        }
        return {std::move(rates), av_q2d(stream_->time_base), states_rate ? RateSource::stated : RateSource::guessed};
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

    /// How many recordings were joined in what was read so far, less one.
    [[nodiscard]] std::size_t joints() const { return joints_.shifts().size(); }

    /// A time or duration of the index in seconds.
    [[nodiscard]] double seconds(std::int64_t ticks) const {
        return static_cast<double>(ticks) * av_q2d(stream_->time_base);
    }

    /// How the pictures are to be turned and mirrored.
    [[nodiscard]] DisplayMatrix display_matrix() const {
        if (is_picture_) { // not all of FFmpeg's versions tell it, and none of all formats
            return exif_matrix(exif_orientation([&](std::int64_t at) { return input_.byte_at(at); }));
        }
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

protected:
    [[nodiscard]] AVFormatContext* format() const {
        return format_;
    }
    [[nodiscard]] AVStream* stream() const {
        return stream_;
    }
    [[nodiscard]] AVPacket* packet() const {
        return packet_.get();
    }
    [[nodiscard]] const VideoLimits& limits() const {
        return limits_;
    }

    void check_size(int width, int height) const {
        require(width <= limits_.max_side && height <= limits_.max_side &&
                    std::int64_t{width} * height <= limits_.max_pixels,
                what_, ": its frames are ", width, "x", height, ", above the limit of ", limits_.max_side,
                " pixels a side and ", limits_.max_pixels, " pixels in all");
    }

    /// The next packet of the stream, joints mended; false, with an empty one, at the end.
    bool read_packet() {
        if (!may_jump()) {
            return read_next();
        }
        for (;;) {
            if (auto packet = joints_.pop()) {
                av_packet_unref(packet_.get());
                av_packet_move_ref(packet_.get(), packet.get());
                return true;
            }
            const bool more = !joints_.done() && read_next();
            if (!more && joints_.done()) {
                av_packet_unref(packet_.get());
                return false;
            }
            auto packet = more ? owned(av_packet_alloc()) : nullptr;
            if (more) {
                av_packet_move_ref(packet.get(), packet_.get());
            }
            joints_.push(std::move(packet), av_q2d(stream_->time_base));
        }
    }

    [[nodiscard]] bool may_jump() const {
        return (format_->iformat->flags & AVFMT_TS_DISCONT) != 0;
    }

    [[noreturn]] void damaged(std::string_view reason) const {
        fail(what_, ": damaged after frame ", decoded_, " (", reason, "); copy it again or encode it anew");
    }

    std::int64_t decoded_ = 0; ///< pictures so far

private:
    /// When the pictures end, in the container's own numbers, where it says so better than the last packet does.
    [[nodiscard]] std::optional<double> stated_end(const RateMeter& meter, const PictureTime& last) const {
        const std::string_view container = format_->iformat->name;
        const auto byte_at = [&](std::int64_t at) { return input_.byte_at(at); };
        if (container.starts_with("mov") && !meter.is_usual(last.duration)) {
            return mp4_track_end(byte_at, input_.size(), static_cast<std::uint32_t>(stream_->id));
        }
        if (!container.starts_with("matroska") || !matroska_is_whole(byte_at, input_.size())) {
            return std::nullopt;
        }
        if (const auto end = tagged_end()) {
            return end;
        }
        // A packet's duration is that of all pictures unless it has its own.
        const double common = stream_->avg_frame_rate.num > 0 ? 1 / av_q2d(stream_->avg_frame_rate) : 0;
        const bool own = last.duration > 0 && std::abs(last.duration - common) > 0.0011;
        const bool alone = format_->nb_streams == 1 && origin() == 0 && format_->duration > 0 &&
                           format_->duration_estimation_method == AVFMT_DURATION_FROM_STREAM;
        return alone && !own ? std::optional(static_cast<double>(format_->duration) / AV_TIME_BASE) : std::nullopt;
    }

    /// By the tag that Matroska's writers give a track. mkvmerge's counts from the track's beginning.
    [[nodiscard]] std::optional<double> tagged_end() const {
        const AVDictionaryEntry* tag = av_dict_get(stream_->metadata, "DURATION", nullptr, AV_DICT_IGNORE_SUFFIX);
        const auto seconds = tag != nullptr ? matroska_seconds(tag->value) : std::nullopt;
        const bool by_mkvmerge =
            av_dict_get(stream_->metadata, "_STATISTICS_TAGS", nullptr, AV_DICT_IGNORE_SUFFIX) != nullptr;
        const bool late = by_mkvmerge && stream_->start_time != AV_NOPTS_VALUE;
        return seconds ? std::optional(*seconds + (late ? this->seconds(stream_->start_time) : 0)) : std::nullopt;
    }

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
        const int best = clip_stream(format_, what_);
        for (unsigned i = 0; i < format_->nb_streams; ++i) {
            format_->streams[i]->discard = static_cast<int>(i) == best ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
        }
        stream_ = format_->streams[best];
        check_size(stream_->codecpar->width, stream_->codecpar->height);
        check_complete();
    }

    /// An mp4 cut short keeps its index, and a Matroska file its length; reading on would quietly end the clip early.
    void check_complete() const {
        if (std::string_view(format_->iformat->name).starts_with("matroska")) {
            const auto missing = matroska_missing([&](std::int64_t at) { return input_.byte_at(at); }, input_.size());
            require(missing.value_or(0) <= 0, what_, ": the file is cut off: its head says that ", missing.value_or(0),
                    " bytes more are in it; copy it again");
        }
        for (int i = 0; i < avformat_index_get_entries_count(stream_); ++i) {
            const AVIndexEntry* entry = avformat_index_get_entry(stream_, i);
            require(entry == nullptr || entry->pos <= input_.size() - entry->size, what_,
                    ": the file is cut off: its index places frame ", i, " at byte ", entry->pos, ", the file has ",
                    input_.size(), "; copy it again");
        }
    }

    /// The next packet of the stream; false, with an empty one, at the end.
    bool read_next() {
        for (;;) {
            av_packet_unref(packet_.get());
            const int code = av_read_frame(format_, packet_.get());
            // FFmpeg looks for another picture after the last part of an MPJPEG, and calls the file's end damaged.
            const bool no_more =
                code == AVERROR_INVALIDDATA && container_name() == "mpjpeg" && avio_feof(format_->pb) != 0;
            if (code == AVERROR_EOF || no_more) {
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

    std::string what_;
    VideoLimits limits_;
    bool is_picture_;
    QuietFfmpeg quiet_;
    VideoInput input_;
    AVFormatContext* format_ = nullptr;
    AVStream* stream_ = nullptr;
    FfmpegPointer<AVPacket> packet_ = owned(av_packet_alloc());
    StreamJoints joints_;
};

} // namespace detail
} // namespace reel
