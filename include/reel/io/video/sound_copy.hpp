#pragma once
// A file's sound, packet by packet as it is. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_input.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace reel {

/// The sound that a clip takes along: that of a file, from when its first picture is shown on the file's clock
/// (VideoSource::origin, and its time). Empty path: none.
struct SoundPart {
    std::filesystem::path path;
    double begin = 0; ///< seconds
};

namespace detail {

/// The sound that a player chooses beside the file's pictures.
class SoundCopy {
public:
    explicit SoundCopy(const std::filesystem::path& path)
        : what_(concat_text("cannot read sound of ", path.string())), input_(path, what_) {
        format_ = open_local(input_, video_containers, what_);
        try {
            // Without this the parameters of some containers' sound are not known.
            require(avformat_find_stream_info(format_, nullptr) >= 0, what_, ": damaged");
        } catch (...) {
            avformat_close_input(&format_);
            throw;
        }
        const int best = av_find_best_stream(format_, AVMEDIA_TYPE_AUDIO, -1, -1, nullptr, 0);
        stream_ = best >= 0 ? format_->streams[best] : nullptr;
        for (unsigned i = 0; i < format_->nb_streams; ++i) {
            format_->streams[i]->discard = static_cast<int>(i) == best ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
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
            if (packet.stream_index == stream_->index && packet.pts != AV_NOPTS_VALUE) {
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
    std::string what_;
    QuietFfmpeg quiet_;
    VideoInput input_;
    AVFormatContext* format_ = nullptr;
    AVStream* stream_ = nullptr;
};

} // namespace detail
} // namespace reel
