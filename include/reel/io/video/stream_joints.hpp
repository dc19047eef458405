#pragma once
// Where recordings were joined in one transport stream, as by `cat`. Needs FFmpeg's libraries.

#include <reel/core/ranges.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <utility>
#include <vector>

namespace reel::detail {

/// Gives the packets of one stream as if its clock never jumped. At a joint FFmpeg's counters do not fit, and it marks
/// the packets before it as damaged, which they are not: what follows is a key picture, and time jumps, or goes on as
/// if nothing were missing. A mark elsewhere is left.
class StreamJoints {
public:
    /// Takes the next packet, or at the end nothing. `tick`: of the stream's clock, in seconds.
    void push(FfmpegPointer<AVPacket> packet, double tick) {
        if (!packet) {
            ended_ = true;
            return;
        }
        const bool timed = packet->pts != AV_NOPTS_VALUE && packet->dts != AV_NOPTS_VALUE;
        if (timed && begun_ && jumps(*packet, tick)) {
            forgive();
            shift_ = end_ - packet->pts;
            shifts_.push_back(static_cast<double>(shift_) * tick);
        } else if (timed && begun_ && (packet->flags & AV_PKT_FLAG_KEY) != 0 && follows(*packet, tick) && forgive()) {
            shifts_.push_back(static_cast<double>(shift_) * tick);
        }
        if (timed) {
            packet->pts += shift_;
            packet->dts += shift_;
            duration_ = packet->duration > 0 ? packet->duration : begun_ ? packet->dts - decoded_ : 0;
            const std::int64_t end = packet->pts + std::max<std::int64_t>(duration_, 0);
            end_ = begun_ ? std::max(end_, end) : end;
            decoded_ = packet->dts;
            begun_ = true;
        }
        waiting_.push_back(std::move(packet));
    }

    /// The next packet that nothing can be found out about any more; null where more must be pushed first.
    [[nodiscard]] FfmpegPointer<AVPacket> pop() {
        if (waiting_.empty() || (!ended_ && is_marked(*waiting_.front()) && waiting_.size() <= marked_before)) {
            return nullptr;
        }
        FfmpegPointer<AVPacket> packet = std::move(waiting_.front());
        waiting_.pop_front();
        return packet;
    }

    /// Whether all packets were taken.
    [[nodiscard]] bool done() const { return ended_ && waiting_.empty(); }

    /// By how much the clock was put on at each joint so far, all together, in seconds.
    [[nodiscard]] const std::vector<double>& shifts() const { return shifts_; }

private:
    /// Parsers that cut a stream into pictures are one behind, so the mark may lie on the last picture but one.
    static constexpr std::size_t marked_before = 2;

    static bool is_marked(const AVPacket& packet) { return (packet.flags & AV_PKT_FLAG_CORRUPT) != 0; }

    /// Back, or forward by more than a picture is likely to stay for: with a mark, a second.
    [[nodiscard]] bool jumps(const AVPacket& packet, double tick) const {
        const std::int64_t now = packet.dts + shift_;
        const bool marked = ranges::any_of(waiting_, [](const auto& before) { return is_marked(*before); });
        const std::int64_t most = duration_ + static_cast<std::int64_t>((marked ? 1 : 10) / tick);
        return (packet.flags & AV_PKT_FLAG_KEY) != 0 && (now < decoded_ || now > decoded_ + most);
    }

    [[nodiscard]] bool follows(const AVPacket& packet, double tick) const {
        const std::int64_t gap = packet.dts + shift_ - decoded_ - duration_;
        return duration_ > 0 && std::abs(gap) <= std::max(static_cast<std::int64_t>(0.002 / tick), duration_ / 4);
    }

    /// Whether there was a mark.
    bool forgive() {
        bool found = false;
        for (const auto& packet : waiting_) {
            found = found || is_marked(*packet);
            packet->flags &= ~AV_PKT_FLAG_CORRUPT;
        }
        return found;
    }

    std::deque<FfmpegPointer<AVPacket>> waiting_;
    std::int64_t shift_ = 0;
    std::int64_t end_ = 0;      ///< of the latest picture
    std::int64_t decoded_ = 0;  ///< the last packet's time of decoding
    std::int64_t duration_ = 0; ///< the last packet's
    bool begun_ = false;
    bool ended_ = false;
    std::vector<double> shifts_;
};

} // namespace reel::detail
