#pragma once
// What the commands that write a clip have in common.

#include <filesystem>
#include <iostream>
#include <string>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/video/video_stream.hpp>

#include "options.hpp"

namespace video_tools {

/// What the commands that write a clip have in common.
struct ClipOutput {
    std::string input;
    std::string output;
    double source_fps = 0;
    reel::Mp4Options encoding{};

    void add_to(CLI::App& app) {
        app.add_option("INPUT", input, "a clip: mp4, mov, mkv, webm, avi, gif or mpeg")->required();
        add_output(app);
    }
    void add_output(CLI::App& app) {
        app.add_option("OUTPUT", output, "file to write; its name ends in .mp4, .mov, .avi or .gif")->required();
        add_encoding(app);
    }
    void add_encoding(CLI::App& app) {
        app.add_option("--source_fps", source_fps,
                       "frames per second that the input is taken to have; 0: what it says itself")
            ->check(CLI::Range(0.0, 1000.0))
            ->capture_default_str();
        app.add_option("--crf", encoding.crf, "quality of mp4 and mov: 0 (lossless) to 51, lower is better and larger")
            ->check(CLI::Range(0, 51))
            ->capture_default_str();
        app.add_option("--preset", encoding.preset, "x264's speed against size, ultrafast to veryslow")
            ->capture_default_str();
    }

    /// Frames per second of the input.
    [[nodiscard]] double rate(const reel::VideoSource& source, const std::filesystem::path& path) const {
        const double fps = source_fps > 0 ? source_fps : source.fps();
        reel::require(fps > 0, path.string(),
                      ": the file does not say how many frames per second it has; say it with --source_fps");
        return fps;
    }
    [[nodiscard]] double rate(const reel::VideoSource& source) const { return rate(source, input); }
};

/// Says what is in a file that was written.
inline void wrote(const std::filesystem::path& path, const reel::VideoSink& sink, double fps) {
    const int stride = sink.stride();
    std::cout << path.string() << ": " << (sink.count() + stride - 1) / stride << " frames, " << fps / stride
              << " per second";
    if (stride > 1) {
        std::cout << " (a GIF has at most " << reel::gif_max_fps << ": " << reel::gif_stride_text(stride) << ")";
    }
    std::cout << "\n";
}

/// Writes every frame of `source` to `sink`, by way of `change` (frame index, frame -> how often it is written).
template <class Source, class Change>
void copy_frames(Source& source, reel::VideoSink& sink, const std::string& label, const Change& change) {
    reel::Progress progress(label, 0);
    reel::Frames frame;
    for (int index = 0; source.next(frame); ++index) {
        program::check_stop();
        for (int times = change(index, frame); times > 0; --times) {
            sink.write(frame);
        }
        progress.step();
    }
    progress.clear();
    sink.finish();
}

} // namespace video_tools
