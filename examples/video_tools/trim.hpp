#pragma once
// video_tools trim: a part of a clip.

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/video/video_stream.hpp>

#include "clip_output.hpp"
#include "options.hpp"

namespace video_tools {

/// "12" is frame 12, "0.5s" the first frame that begins half a second or more after the clip's beginning.
inline std::int64_t frame_number(const std::string& text, double fps, const std::string& option) {
    const bool seconds = text.ends_with("s");
    const std::string digits = text.substr(0, text.size() - (seconds ? 1 : 0));
    double value = -1;
    std::size_t used = 0;
    try {
        value = std::stod(digits, &used);
    } catch (const std::exception&) { // reported below
    }
    const double limit = 1e9;
    if (digits.empty() || used != digits.size() || !(value >= 0 && value < limit) ||
        (!seconds && value != std::floor(value))) {
        throw program::UsageError(option + ": \"" + text +
                                  "\" is neither a frame number (12) nor a time in seconds (0.5s); see --help");
    }
    return static_cast<std::int64_t>(seconds ? std::ceil(value * fps - 1e-6) : value);
}

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
        reel::VideoSource source(out.input);
        const double fps = out.rate(source);
        const std::int64_t first = frame_number(start, fps, "--start");
        const std::optional<std::int64_t> last =
            end.empty() ? std::nullopt : std::optional(frame_number(end, fps, "--end"));
        reel::require(!last || *last > first, "--end ", end, " (frame ", last.value_or(0), ") is not after --start ",
                      start, " (frame ", first, ")");
        reel::VideoSink sink(out.output, fps, out.encoding);
        reel::Progress progress("trim", last ? static_cast<std::size_t>(*last) : 0);
        reel::Frames frame;
        const auto ended = [&](std::int64_t wanted, const std::string& option) {
            reel::fail(out.input, ": it has ", source.position(), " frames at ", fps, " per second; ", option,
                       " is frame ", wanted);
        };
        for (; source.position() < first; progress.step()) {
            program::check_stop();
            if (!source.skip()) {
                ended(first, "--start");
            }
        }
        while (!last || source.position() < *last) {
            program::check_stop();
            if (!source.next(frame)) {
                if (last || sink.count() == 0) {
                    ended(last.value_or(first), last ? "--end" : "--start");
                }
                break;
            }
            sink.write(frame);
            progress.step();
        }
        progress.clear();
        sink.finish();
        wrote(out.output, sink, fps);
        return 0;
    }
};

} // namespace video_tools
