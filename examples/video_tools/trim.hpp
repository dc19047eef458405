#pragma once
// video_tools trim: a part of a clip.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/video/video_stream.hpp>

#include "clip_output.hpp"
#include "options.hpp"

namespace video_tools {

/// A place in a clip: "12" is frame 12, "0.5s" the first frame that begins half a second or more after the clip's
/// beginning.
struct Position {
    std::string option;
    std::string text;
    bool in_seconds = false;
    double value = 0;

    Position(std::string name, std::string given) : option(std::move(name)), text(std::move(given)) {
        in_seconds = text.ends_with("s");
        const std::string digits = text.substr(0, text.size() - (in_seconds ? 1 : 0));
        std::size_t used = 0;
        try {
            value = digits.empty() ? -1 : std::stod(digits, &used);
        } catch (const std::exception&) { // reported below
            value = -1;
        }
        const double limit = 1e9;
        if (used != digits.size() || !(value >= 0 && value < limit) || (!in_seconds && value != std::floor(value))) {
            throw program::UsageError(option + ": \"" + text +
                                      "\" is neither a frame number (12) nor a time in seconds (0.5s); see --help");
        }
    }

    /// Whether a frame is there or later.
    [[nodiscard]] bool reached_by(std::int64_t index, const reel::PictureTime& time) const {
        return in_seconds ? time.start >= value - 1e-6 : index >= static_cast<std::int64_t>(value);
    }

    /// Whether a clip of so many frames and seconds is long enough to end here.
    [[nodiscard]] bool within(std::int64_t frames, double seconds) const {
        return in_seconds ? value <= seconds + 1e-6 : value <= static_cast<double>(frames);
    }
};

struct Trim {
    ClipOutput out;
    std::string start = "0";
    std::string end;

    explicit Trim(CLI::App& app) {
        out.add_to(app);
        app.add_option("--start", start, "first frame: a number (12), or a time in seconds (0.5s)")
            ->capture_default_str();
        app.add_option("--end", end, "the frame after the last: a number or a time; default: the clip's end");
    }

    int run() {
        const Position first("--start", start);
        const std::optional<Position> last = end.empty() ? std::nullopt : std::optional<Position>({"--end", end});
        reel::VideoSource source = out.open();
        ClipWriter sink = out.create(out.rate(source), false, ClipOutput::Sound::kept);
        reel::Progress progress("trim", 0);
        reel::PictureTime time;
        const auto ended = [&](const Position& wanted) {
            reel::fail(out.input, ": it has ", source.position(), " frames in ", time.end(), " s; ", wanted.option,
                       " is ", wanted.in_seconds ? "" : "frame ", wanted.text);
        };
        for (reel::Frames frame;;) {
            program::check_stop();
            const bool begun = sink.count() > 0 || is_next(first, source, time);
            if (!(begun ? source.next(frame) : source.skip())) {
                break;
            }
            progress.step();
            time = source.time();
            const std::int64_t index = source.position() - 1;
            if (last && last->reached_by(index, time)) {
                reel::require(sink.count() > 0, "--end ", end, " is not after --start ", start, " (which is frame ",
                              index, " or later)");
                return conclude(source, sink, progress);
            }
            if (!begun) {
                continue;
            }
            reel::PictureTime shown = clock_time(source);
            if (last && last->in_seconds && !source.steady()) { // a frame may stay for long
                shown.duration = std::min(shown.duration, last->value - time.start);
            }
            sink.write(frame, shown);
        }
        if (sink.count() == 0) {
            ended(first);
        }
        if (last && !last->within(source.position(), time.end())) {
            ended(*last);
        }
        return conclude(source, sink, progress);
    }

private:
    /// Whether the next frame is there, which begins where the last one ends.
    static bool is_next(const Position& first, const reel::VideoSource& source, const reel::PictureTime& time) {
        return first.reached_by(source.position(), {source.position() == 0 ? 0 : time.end(), 0});
    }

    int conclude(const reel::VideoSource& source, ClipWriter& sink, reel::Progress& progress) const {
        progress.clear();
        sink.finish();
        sink.tell();
        tell_joints(out.input, source);
        return 0;
    }
};

} // namespace video_tools
