#pragma once
// What the commands that write a clip have in common.

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/pictures/frame_folder.hpp>
#include <reel/io/video/video_stream.hpp>
#include <reel/io/video/video_writer.hpp>

#include "clip_input.hpp"
#include "fitted_clip.hpp"
#include "options.hpp"

namespace video_tools {

/// A clip that is written: a file, or with --frames a folder of PNGs.
class ClipWriter {
public:
    ClipWriter(const std::filesystem::path& path, double fps, const reel::SinkOptions& options, bool frames)
        : path_(path), fps_(fps) {
        if (frames) {
            folder_.emplace(path);
        } else {
            sink_.emplace(path, fps, options);
        }
    }

    /// At the rate, or from time.start on.
    void write(const reel::Frames& frame, const std::optional<reel::PictureTime>& time = std::nullopt) {
        if (sink_) {
            time ? sink_->write(frame, 0, *time) : sink_->write(frame);
        } else {
            folder_->write(frame, 0, count_);
            begin_ = count_ == 0 && time ? time->start : begin_;
            seconds_ = time ? time->end() - begin_ : (count_ + 1) / fps_;
        }
        ++count_;
    }

    void finish() {
        if (sink_) {
            sink_->finish();
        } else {
            reel::require(count_ > 0, "cannot write ", path_.string(), ": there is no frame to write");
            folder_->commit();
        }
    }

    [[nodiscard]] int count() const { return count_; }
    [[nodiscard]] double seconds() const { return sink_ ? sink_->seconds() : seconds_; }

    /// Says what is in the file.
    void tell() const {
        const int shown = sink_ ? sink_->shown() : count_;
        std::cout << reel::terminal_text(path_.string()) << ": " << shown << " frames, " << shown / seconds()
                  << " per second";
        if (sink_ && shown < count_ && reel::video_format(path_) == reel::VideoFormat::gif) {
            std::cout << " (of " << count_ << ": a GIF has at most " << reel::gif_max_fps << ")";
        }
        std::cout << "\n";
        if (sink_ && !sink_->lost_sound().empty()) {
            std::cerr << "note: " << reel::terminal_text(path_.string()) << ": " << sink_->lost_sound() << '\n';
        }
    }

private:
    std::filesystem::path path_;
    double fps_;
    std::optional<reel::VideoSink> sink_;
    std::optional<reel::FrameFolder> folder_;
    int count_ = 0;
    double begin_ = 0;
    double seconds_ = 0;
};

/// What the commands that write a clip have in common.
struct ClipOutput {
    static constexpr const char* kinds = "a clip: mp4, mov, mkv, webm, avi, gif or mpeg; or a folder of pictures, or a "
                                         "pattern (frame-%05d.png)";
    std::string input;
    std::string output;
    ClipRate source;
    bool frames = false;
    bool no_audio = false;
    reel::Mp4Options encoding{};

    void add_to(CLI::App& app, const char* fps_name = "--source_fps,--fps") {
        app.add_option("INPUT", input, kinds)->required();
        app.add_option("OUTPUT", output, "file to write; its name ends in .mp4, .mov, .mkv, .avi or .gif")->required();
        add_encoding(app, fps_name);
        app.add_flag("--no_audio", no_audio, "leave the sound out, which is else copied as it is");
    }
    void add_encoding(CLI::App& app, const char* fps_name = "--source_fps,--fps") {
        source.add_to(app, fps_name);
        app.add_flag("--frames", frames, "OUTPUT is a folder, for frame-00000.png, ...");
        app.add_flag("--lossless", encoding.lossless, "mp4, mov and mkv: every pixel as it is (H.264 in RGB)");
        app.add_option("--crf", encoding.crf, "quality of mp4, mov and mkv: 0 to 51, lower is better and larger")
            ->check(CLI::Range(0, 51))
            ->capture_default_str();
        app.add_option("--preset", encoding.preset, "x264's speed against size, ultrafast to veryslow")
            ->capture_default_str();
    }

    /// Whether the output's pixels are square whatever the input's are.
    [[nodiscard]] bool square() const { return frames || reel::video_format(output) == reel::VideoFormat::gif; }

    /// The input, with its pixels made square where the output's are.
    [[nodiscard]] reel::VideoSource open() const {
        const Shape shape = shape_of(input);
        return open_clip(input, shape,
                         square() ? with_square_pixels(shape, source.fps) : reel::SourceOptions{.fps = source.fps});
    }

    enum class Sound {
        kept,   ///< unless --no_audio
        dropped ///< the output's times are others
    };

    /// The output. `squared`: its pixels have been made square.
    [[nodiscard]] ClipWriter create(double fps, bool squared, Sound sound) const {
        if (frames) { // a file takes its own place only once it is whole
            reel::require_other_clip(output, input);
        }
        reel::SinkOptions options{.mp4 = encoding};
        if (!squared && !square()) {
            options.pixel_aspect = shape_of(input).aspect;
        }
        if (sound == Sound::kept && !no_audio && source.fps == 0 && std::filesystem::is_regular_file(input)) {
            options.sound = input;
        }
        return {output, fps, options, frames};
    }

    /// Frames per second of the input, on the average.
    [[nodiscard]] double rate(const reel::VideoSource& opened) const { return source.of(opened, input); }
};

/// A frame's time on the clock of its file.
[[nodiscard]] inline reel::PictureTime clock_time(const reel::VideoSource& source) {
    return {source.origin() + source.time().start, source.time().duration};
}
[[nodiscard]] inline reel::PictureTime clock_time(const FittedClip& clip) {
    return clock_time(clip.source());
}

/// Writes every frame of `source` to `writer` with its time.
template <class Source>
void copy_frames(Source& source, ClipWriter& writer, const std::string& label) {
    {
        reel::Progress progress(label, 0);
        for (reel::Frames frame; source.next(frame); progress.step()) {
            program::check_stop();
            writer.write(frame, clock_time(source));
        }
        progress.clear();
    }
    writer.finish();
    writer.tell();
}

} // namespace video_tools
