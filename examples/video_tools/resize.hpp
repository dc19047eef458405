#pragma once
// video_tools resize: another width and height.

#include <reel/io/video/video_stream.hpp>

#include "clip_output.hpp"
#include "fitted_clip.hpp"
#include "options.hpp"

namespace video_tools {

struct Resize {
    ClipOutput out;
    Size size;
    bool crop = false;
    bool stretch = false;

    explicit Resize(CLI::App& app) {
        out.add_to(app);
        app.add_option("--width", size.width, "pixels; without it, it follows from the height");
        app.add_option("--height", size.height, "pixels; without it, it follows from the width");
        auto* cut = app.add_flag("--crop", crop, "fill width x height and cut off what is too much, from the middle");
        app.add_flag("--stretch", stretch, "width x height whatever the aspect")->excludes(cut);
        app.footer(
            "With width and height alone the clip keeps its aspect and fits into them. Pixels that are not square "
            "become so.");
    }

    int run() {
        const Fit fit = crop ? Fit::crop : stretch ? Fit::stretch : Fit::inside;
        if (size.width == 0 && size.height == 0) {
            throw program::UsageError("--width or --height is required; see --help");
        }
        if (fit != Fit::inside && (size.width == 0 || size.height == 0)) {
            throw program::UsageError("--crop and --stretch need --width and --height; see --help");
        }
        const Shape shape = shape_of(out.input);
        FittedClip source(out.input, shape, scaling(shape.shown(), size, fit), out.source.fps);
        ClipWriter writer = out.create(out.rate(source.source()), true, ClipOutput::Sound::kept);
        copy_frames(source, writer, "resize");
        tell_joints(out.input, source.source());
        return 0;
    }
};

} // namespace video_tools
