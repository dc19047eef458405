#pragma once
// video_tools frames: frames as PNG files.

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/pictures/frame_folder.hpp>
#include <reel/io/video/video_stream.hpp>
#include <reel/io/video/video_writer.hpp>

#include "clip_input.hpp"
#include "options.hpp"

namespace video_tools {

struct ExtractFrames {
    std::string input;
    std::string output;
    int every = 1;
    std::vector<std::int64_t> list;

    explicit ExtractFrames(CLI::App& app) {
        app.add_option("INPUT", input, "a clip")->required();
        app.add_option("FOLDER", output,
                       "where to write frame-00000.png, ...; made if it is not there, replaced if it holds nothing but "
                       "such pictures")
            ->required();
        auto* step = app.add_option("--every", every, "every so many frames, from the first")
                         ->check(CLI::Range(1, 1'000'000'000))
                         ->capture_default_str();
        app.add_option("--list", list, "these frames alone, with commas between; the first is 0")
            ->delimiter(',')
            ->allow_extra_args(false)
            ->check(CLI::Range(std::int64_t{0}, std::int64_t{1'000'000'000}))
            ->excludes(step);
    }

    int run() {
        std::sort(list.begin(), list.end());
        list.erase(std::unique(list.begin(), list.end()), list.end());
        const Shape shape = shape_of(input);
        reel::require_other_clip(output, input);
        reel::FrameFolder folder(output);
        reel::VideoSource source = open_clip(input, shape, with_square_pixels(shape)); // as PNG's are
        reel::Progress progress("frames", list.empty() ? 0 : static_cast<std::size_t>(list.back()) + 1);
        reel::Frames frame;
        int written = 0;
        while (list.empty() || source.position() <= list.back()) {
            program::check_stop();
            const std::int64_t index = source.position();
            const bool wanted = list.empty() ? index % every == 0 : std::binary_search(list.begin(), list.end(), index);
            if (!(wanted ? source.next(frame) : source.skip())) {
                break;
            }
            if (wanted) {
                folder.write(frame, 0, index);
                ++written;
            }
            progress.step();
        }
        progress.clear();
        reel::require(list.empty() || source.position() > list.back(), input, ": it has ", source.position(),
                      " frames, so there is no frame ", list.empty() ? 0 : list.back(), " (the first is 0)");
        folder.commit();
        std::cout << reel::terminal_text(output) << ": " << written << " of " << source.position() << " frames\n";
        return 0;
    }
};

} // namespace video_tools
