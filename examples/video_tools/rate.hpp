#pragma once
// video_tools rate: another number of frames per second.

#include <cmath>
#include <cstdint>

#include <reel/io/video/video_stream.hpp>

#include "clip_output.hpp"
#include "options.hpp"

namespace video_tools {

struct Rate {
    ClipOutput out;
    double fps = 0;
    bool retime = false;

    explicit Rate(CLI::App& app) {
        out.add_to(app);
        app.add_option("--fps", fps, "frames per second of the result")->required()->check(CLI::Range(0.01, 1000.0));
        app.add_flag("--retime", retime, "keep every frame, so that the clip plays faster or slower");
        app.footer("Without --retime the clip lasts as long as before: the result shows at any time the frame that the "
                   "input shows then, so frames are dropped or repeated, never mixed.");
    }

    int run() {
        reel::VideoSource source(out.input);
        const double from = out.rate(source);
        reel::VideoSink sink(out.output, fps, out.encoding);
        // Result's frame k is shown from k / fps on, when the input shows floor(k * from / fps).
        std::int64_t next = 0;
        const auto times = [&](int index, const reel::Frames&) {
            int count = retime ? 1 : 0;
            for (; !retime && std::floor(static_cast<double>(next) * from / fps + 1e-9) <= index; ++next) {
                ++count;
            }
            return count;
        };
        copy_frames(source, sink, "rate", times);
        wrote(out.output, sink, fps);
        return 0;
    }
};

} // namespace video_tools
