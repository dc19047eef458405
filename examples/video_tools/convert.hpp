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
        app.footer("mp4, mov and mkv: H.264 with BT.709 colours. avi: MPEG-4 part 2, at one rate. gif: 255 colours, at "
                   "most 50 "
                   "frames per second: of faster clips every n-th.");
    }

    int run() {
        reel::VideoSource source = out.open();
        ClipWriter writer = out.create(out.rate(source), false, ClipOutput::Sound::kept);
        copy_frames(source, writer, "convert");
        tell_joints(out.input, source);
        return 0;
    }
};

} // namespace video_tools
