#pragma once
// What the commands that read a clip have in common.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_stream.hpp>

#include "options.hpp"

namespace video_tools {

struct Size {
    int width = 0;
    int height = 0;
};

/// What a clip's first frame says of its shape.
struct Shape {
    Size size;                      ///< pixels of the file, after turning
    std::pair<int, int> aspect;     ///< width of a pixel by its height
    std::vector<std::string> notes; ///< sentences about its kind

    /// The size with square pixels.
    [[nodiscard]] Size shown() const {
        const double width = static_cast<double>(size.width) * aspect.first / aspect.second;
        return {static_cast<int>(std::clamp<long>(std::lround(width), 1, reel::max_picture_side)), size.height};
    }
};

[[nodiscard]] inline Shape shape_of(const std::filesystem::path& path) {
    reel::VideoSource source(path);
    (void)source.skip();
    return {{source.file_width(), source.file_height()}, source.pixel_aspect(), source.notes()};
}

/// A clip's size as it is shown, in square pixels.
[[nodiscard]] inline Size size_of(const std::filesystem::path& path) {
    return shape_of(path).shown();
}

/// How a clip of this shape is read with square pixels. `fps`: what it is taken to have, 0: its own times.
[[nodiscard]] inline reel::SourceOptions with_square_pixels(const Shape& shape, double fps = 0) {
    reel::SourceOptions options{.fps = fps};
    if (shape.aspect.first != shape.aspect.second) {
        options.width = shape.shown().width;
        options.height = shape.shown().height;
    }
    return options;
}

/// Opens a clip whose pictures a command shows. What is to be known of them is said on stderr.
[[nodiscard]] inline reel::VideoSource open_clip(const std::filesystem::path& path, const Shape& shape,
                                                 const reel::SourceOptions& options) {
    for (const std::string& note : shape.notes) {
        std::cerr << "note: " << reel::terminal_text(path.string()) << ": " << reel::terminal_text(note) << '\n';
    }
    return reel::VideoSource(path, options);
}

/// What is known of a clip only once it was read.
inline void tell_joints(const std::filesystem::path& path, const reel::VideoSource& clip) {
    if (const std::string note = clip.joint_note(); !note.empty()) {
        std::cerr << "note: " << reel::terminal_text(path.string()) << ": " << reel::terminal_text(note) << '\n';
    }
}

/// How fast clips are taken to be, of every command that goes by time.
struct ClipRate {
    double fps = 0;

    void add_to(CLI::App& app, const char* name = "--source_fps,--fps") {
        app.add_option(
               name, fps,
               "frames per second that the input is taken to have, as of a folder of pictures; 0: its own times")
            ->check(CLI::Range(0.0, 1000.0))
            ->capture_default_str();
    }

    /// Frames per second of a clip, on the average.
    [[nodiscard]] double of(const reel::VideoSource& source, const std::filesystem::path& path) const {
        const double found = fps > 0 ? fps : source.scan().fps;
        reel::require(found > 0, path.string(),
                      ": the file does not say how many frames per second it has; say it with --source_fps");
        return found;
    }
};

} // namespace video_tools
