#pragma once
// video_tools convert: another format.

#include <reel/io/video/video_stream.hpp>

#include "clip_output.hpp"
#include "options.hpp"

namespace video_tools {

struct Convert {
    ClipOutput out;

    explicit Convert(CLI::App& app) {
        out.add_to(app);
        app.footer(
            "mp4 and mov: H.264 with BT.709 colours. avi: MPEG-4 part 2. gif: 255 colours, at most 50 frames per "
            "second: of faster clips every n-th. Sound is not kept.");
    }

    int run() {
        reel::VideoSource source(out.input);
        const double fps = out.rate(source);
        reel::VideoSink sink(out.output, fps, out.encoding);
        copy_frames(source, sink, "convert", [](int, const reel::Frames&) { return 1; });
        wrote(out.output, sink, fps);
        return 0;
    }
};

} // namespace video_tools
