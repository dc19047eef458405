#pragma once
// A file's sound, packet by packet as it is. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/sound_part.hpp>
#include <reel/io/video/stream_joints.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_input.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// Whether a container takes a stream of sound, by FFmpeg's name: it is asked for a header that goes nowhere, for what
/// FFmpeg says of codecs is not all (FLAC in mp4 is experimental to some releases, Opus in mov to all).
[[nodiscard]] inline bool holds_sound(const char* muxer, const AVStream& sound) {
    const QuietFfmpeg quiet;
    AVFormatContext* format = nullptr;
    if (avformat_alloc_output_context2(&format, nullptr, muxer, nullptr) < 0) {
        return false;
    }
    AVStream* stream = avformat_new_stream(format, nullptr);
    const bool made = stream != nullptr && avcodec_parameters_copy(stream->codecpar, sound.codecpar) >= 0 &&
                      avio_open_dyn_buf(&format->pb) >= 0;
    bool held = false;
    if (made) {
        stream->codecpar->codec_tag = 0;
        stream->time_base = sound.time_base;
        held = avformat_write_header(format, nullptr) >= 0;
        std::uint8_t* header = nullptr;
        avio_close_dyn_buf(format->pb, &header);
        av_free(header);
    }
    avformat_free_context(format);
    return held;
}

/// That it does not.
[[nodiscard]] inline std::string lost_sound_text(std::string_view muxer, const AVStream& sound) {
    return concat_text(muxer, " cannot hold the sound (", avcodec_get_name(sound.codecpar->codec_id),
                       "), which is left out", muxer == "matroska" ? "" : "; mkv can");
}

/// The sound that a player chooses beside the file's pictures.
class SoundCopy {
public:
    explicit SoundCopy(const std::filesystem::path& path)
        : what_(concat_text("cannot read sound of ", path.string())), input_(path, what_) {
        choose(AVMEDIA_TYPE_AUDIO);
        if (stream_ != nullptr && (format_->iformat->flags & AVFMT_TS_DISCONT) != 0) {
            open_again(AVMEDIA_TYPE_VIDEO);
            find_joints();
            open_again(AVMEDIA_TYPE_AUDIO);
        }
    }
    SoundCopy(const SoundCopy&) = delete;
    SoundCopy& operator=(const SoundCopy&) = delete;
    ~SoundCopy() { avformat_close_input(&format_); }

    /// Or null.
    [[nodiscard]] const AVStream* stream() const { return stream_; }

    /// The next packet; false at the end. Sound that cannot be read ends there: the pictures say what is damaged.
    [[nodiscard]] bool next(AVPacket& packet) {
        for (;;) {
            av_packet_unref(&packet);
            if (stream_ == nullptr || av_read_frame(format_, &packet) < 0) {
                return false;
            }
            if (packet.stream_index == stream_->index && packet.pts != AV_NOPTS_VALUE && follow_joints(packet)) {
                return true;
            }
        }
    }

    /// When a packet is heard, in seconds on the file's clock.
    [[nodiscard]] double start_of(const AVPacket& packet) const {
        const double origin =
            format_->start_time == AV_NOPTS_VALUE ? 0 : static_cast<double>(format_->start_time) / AV_TIME_BASE;
        return static_cast<double>(packet.pts) * av_q2d(stream_->time_base) - origin;
    }

private:
    /// Opens the file for one stream; null where it has none of the kind.
    void choose(AVMediaType type) {
        format_ = open_local(input_, video_containers, what_);
        try {
            // Without this the parameters of some containers' sound are not known.
            require(avformat_find_stream_info(format_, nullptr) >= 0, what_, ": damaged");
        } catch (...) {
            avformat_close_input(&format_);
            throw;
        }
        const int best = av_find_best_stream(format_, type, -1, -1, nullptr, 0);
        stream_ = best >= 0 ? format_->streams[best] : nullptr;
        for (unsigned i = 0; i < format_->nb_streams; ++i) {
            format_->streams[i]->discard = static_cast<int>(i) == best ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
        }
    }

    void open_again(AVMediaType type) {
        avformat_close_input(&format_);
        avio_seek(input_.context(), 0, SEEK_SET);
        choose(type);
    }

    /// How the pictures' clock is put on where recordings were joined: sound is, too.
    void find_joints() {
        StreamJoints joints;
        const auto packet = owned(av_packet_alloc());
        while (stream_ != nullptr && av_read_frame(format_, packet.get()) >= 0) {
            if (packet->stream_index == stream_->index) {
                auto next = owned(av_packet_alloc());
                av_packet_move_ref(next.get(), packet.get());
                joints.push(std::move(next), av_q2d(stream_->time_base));
                while (joints.pop()) {
                }
            }
            av_packet_unref(packet.get());
        }
        shifts_ = joints.shifts();
    }

    /// Puts a packet's time on as the pictures' is. False for one that would be heard before the one before it: where
    /// recordings were joined, the first one's sound may be the longer one.
    [[nodiscard]] bool follow_joints(AVPacket& packet) {
        if (shifts_.empty()) {
            return true;
        }
        const double tick = av_q2d(stream_->time_base);
        const double begin = static_cast<double>(packet.pts) * tick;
        const auto off = [&](double shift) { return std::abs(begin + shift - end_); };
        for (const double shift : shifts_) {
            const bool nearer = begun_ && off(shift) < off(shift_) - 0.05;
            shift_ = nearer ? shift : shift_;
        }
        const bool later = !begun_ || begin + shift_ > last_;
        if (later) {
            packet.pts += std::llround(shift_ / tick);
            packet.dts = packet.pts;
            last_ = begin + shift_;
            begun_ = true;
            end_ = last_ + static_cast<double>(packet.duration) * tick;
        }
        return later;
    }

    std::string what_;
    QuietFfmpeg quiet_;
    VideoInput input_;
    AVFormatContext* format_ = nullptr;
    AVStream* stream_ = nullptr;
    std::vector<double> shifts_; ///< by joint, in seconds
    double shift_ = 0;           ///< of the sound at present
    double last_ = 0;            ///< the last packet's time, and its end
    double end_ = 0;
    bool begun_ = false;
};

} // namespace detail

} // namespace reel
