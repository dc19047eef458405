#pragma once
// When pictures are shown, and how many a second that makes. No other library.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace reel {

/// When a picture of a clip is shown, in seconds.
struct PictureTime {
    double start = 0;
    double duration = 0;

    [[nodiscard]] double end() const { return start + duration; }
};

/// When the pictures of a clip are shown: evenly, or each at a time of its own.
struct ClipTimes {
    double fps = 8;                  ///< frames per second, on the average
    std::vector<PictureTime> each{}; ///< in order, the first at 0; empty: evenly at `fps`

    /// Those of a clip of `count` pictures: where they are of another number, evenly.
    [[nodiscard]] ClipTimes of(int count) const {
        return {fps, each.size() == static_cast<std::size_t>(count) ? each : std::vector<PictureTime>()};
    }
};

/// The picture's place at another rate: where its time, rounded to the nearest place, is. So does FFmpeg's filter fps.
/// A picture fills the places from its start's to its end's.
[[nodiscard]] inline std::int64_t place_at(double seconds, double fps) {
    return static_cast<std::int64_t>(std::floor(seconds * fps + 0.5 + 1e-6));
}

namespace detail {

/// What a file's packets say of its pictures.
struct PacketTimes {
    std::int64_t count = 0;
    double fps = 0;
    std::size_t joints = 0; ///< of recordings that were joined
};

/// Follows the times of decoded pictures. Those that are missing continue at the rate of before, and so do those of
/// streams whose clock jumps, as where recordings are joined.
class FrameClock {
public:
    struct Container {
        double tick = 0;       ///< what times are rounded to, in seconds
        double usual = 0;      ///< how long a picture may be shown where nothing else is known
        bool may_jump = false; ///< whether its clock may jump forwards, too
    };

    /// `start`: by the container, or nothing; `duration`: 0 where it is not known.
    void note(std::optional<double> start, double duration, const Container& container) {
        const double usual = time_.duration > 0 ? time_.duration : container.usual;
        const double expected = begun_ ? time_.end() + (time_.duration > 0 ? 0 : usual) : 0;
        double now = start ? *start + shift_ : expected;
        if (begun_ && start && (now < time_.start - 1 || (container.may_jump && now > expected + 10))) {
            shift_ += expected - now;
            now = expected;
        }
        if (begun_) {
            now = std::max(now, time_.start + std::min(container.tick, usual) / 2);
        }
        time_ = {now, duration};
        begun_ = true;
    }

    [[nodiscard]] PictureTime time() const { return time_; }

private:
    PictureTime time_;
    double shift_ = 0;
    bool begun_ = false;
};

/// What a clip may have been made with, in frames per second, where its container states no rate; the likeliest first.
[[nodiscard]] inline std::vector<double> usual_rates() {
    std::vector<double> rates{30, 25, 24, 60, 50, 20, 16, 15, 12, 10, 8, 5, 4};
    for (const double television : {24.0, 30.0, 60.0, 12.0, 15.0}) {
        rates.push_back(television / 1.001);
    }
    for (const double part : {1.0, 0.5}) { // whole numbers before what lies between them
        for (double rate = part; rate <= 100; rate += 1) {
            rates.push_back(rate);
        }
    }
    return rates;
}

/// Where the rates come from that a RateMeter is given: from the clip, or they are guesses, which nothing speaks for
/// before there are two pictures.
enum class RateSource { stated, guessed };

/// Finds the rate of pictures from their times, which come one by one. Containers round times, so a rate that is stated
/// is believed, and is exact, as long as no picture is further from it than the rounding.
class RateMeter {
public:
    RateMeter() = default;
    /// `rates`: frames per second, the likeliest first; `tick`: what times are rounded to, in seconds.
    RateMeter(std::vector<double> rates, double tick, RateSource source = RateSource::stated)
        : kept_(std::move(rates)), guessed_(source == RateSource::guessed), coarse_(tick >= 0.005),
          tolerance_((coarse_ ? 0.51 : 1.01) * tick + 1e-9) {}

    /// A picture that is shown from `start` on.
    void add(double start) {
        first_ = count_ == 0 ? start : first_;
        gap_ = count_ == 0 ? 0 : start - last_;
        last_ = start;
        if (coarse_ && count_ == 1 && start > first_) { // where the rounding is as large, a rate that needs none
            kept_.insert(kept_.begin(), 1 / (start - first_));
            exact_ = true;
        }
        const auto error = [&](double fps) { return std::abs(start - first_ - static_cast<double>(count_) / fps); };
        if (exact_ && error(kept_.front()) > 1e-6) {
            kept_.erase(kept_.begin());
            exact_ = false;
        }
        std::erase_if(kept_, [&](double fps) { return error(fps) > tolerance_; });
        ++count_;
    }

    [[nodiscard]] std::int64_t count() const { return count_; }

    /// The likeliest rate that every picture so far keeps to.
    [[nodiscard]] std::optional<double> steady() const {
        return kept_.empty() || (guessed_ && count_ < 2) ? std::nullopt : std::optional(kept_.front());
    }

    /// How long the last picture is shown where nothing says so: as long as the one before it, or those before it on
    /// the average if that is less; 0: not known.
    [[nodiscard]] double usual_duration() const {
        if (const auto fps = steady()) {
            return 1 / *fps;
        }
        return count_ > 1 ? std::min((last_ - first_) / static_cast<double>(count_ - 1), gap_) : 0.0;
    }

    /// Whether a duration is that of the steady rate.
    [[nodiscard]] bool is_usual(double duration) const {
        return steady() && std::abs(duration - 1 / *steady()) <= tolerance_;
    }

    /// Frames per second: the steady rate, or else the pictures by the time they take. `last_duration`: of the last
    /// picture, 0 where it is not known. 0 where nothing is known.
    [[nodiscard]] double rate(double last_duration) const {
        if (count_ == 1 && last_duration > 0 && !is_usual(last_duration)) {
            return 1 / last_duration;
        }
        if (const auto fps = steady()) {
            return *fps;
        }
        const double seconds = last_ - first_ + (last_duration > 0 ? last_duration : usual_duration());
        return seconds > 0 ? static_cast<double>(count_) / seconds : 0.0;
    }

private:
    std::vector<double> kept_;
    bool guessed_ = false;
    bool coarse_ = false;
    bool exact_ = false; ///< the first of `kept_` is that of the first two pictures
    double tolerance_ = 0;
    std::int64_t count_ = 0;
    double first_ = 0;
    double last_ = 0;
    double gap_ = 0; ///< between the last two
};

} // namespace detail
} // namespace reel
