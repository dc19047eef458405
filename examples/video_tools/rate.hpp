#pragma once
// video_tools rate: another number of frames per second.

#include <cstdint>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/video/video_stream.hpp>

#include "clip_output.hpp"
#include "options.hpp"

namespace video_tools {

struct Rate {
    ClipOutput out;
    double fps = 0;
    bool retime = false;

    explicit Rate(CLI::App& app) {
        out.add_to(app, "--source_fps");
        app.add_option("--fps", fps, "frames per second of the result")->required()->check(CLI::Range(0.01, 1000.0));
        app.add_flag("--retime", retime, "keep every frame, so that the clip plays faster or slower");
        app.footer("Without --retime the clip lasts as long as before: by the frames' own times the nearest frames are "
                   "taken, as FFmpeg's filter fps does, so they are dropped or repeated, never mixed.");
    }

    int run() {
        reel::VideoSource source = out.open();
        reel::require(retime || source.knows_time(), out.input,
                      ": the pictures have no times; say how many there are per second with --source_fps");
        ClipWriter sink = out.create(fps, false, retime ? ClipOutput::Sound::dropped : ClipOutput::Sound::kept);
        double begin = 0;
        reel::Progress progress("rate", 0);
        for (reel::Frames frame; source.next(frame); progress.step()) {
            program::check_stop();
            // The clock of the file, as FFmpeg's filter fps has it, and not the first frame's beginning.
            const reel::PictureTime time = source.file_time();
            begin = source.position() == 1 ? time.start : begin;
            const std::int64_t places = reel::place_at(time.end(), fps) - reel::place_at(time.start, fps);
            for (std::int64_t k = retime ? 1 : places; k > 0; --k) {
                sink.write(frame, reel::PictureTime{begin + sink.count() / fps, 1 / fps});
            }
            if (sink.count() == 0) { // of a clip that is shorter than one frame of the result
                only_ = frame;
            }
        }
        progress.clear();
        if (sink.count() == 0 && only_.count > 0) {
            sink.write(only_);
        }
        sink.finish();
        sink.tell();
        tell_joints(out.input, source);
        return 0;
    }

private:
    reel::Frames only_;
};

} // namespace video_tools
