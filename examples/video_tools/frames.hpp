#pragma once
// video_tools frames: frames as PNG files.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_stream.hpp>

#include "fitted_clip.hpp"
#include "options.hpp"

namespace video_tools {

struct ExtractFrames {
    std::string input;
    std::string output;
    int every = 1;
    std::vector<std::int64_t> list;

    explicit ExtractFrames(CLI::App& app) {
        app.add_option("INPUT", input, "a clip")->required();
        app.add_option("FOLDER", output, "where to write frame-00000.png, ...; made if it is not there")->required();
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
        reel::SourceOptions options;
        if (shape.aspect.first != shape.aspect.second) { // PNG's pixels are square
            options.width = shape.shown().width;
            options.height = shape.shown().height;
        }
        reel::VideoSource source(input, options);
        std::optional<reel::AtomicFolder> fresh; // all frames or nothing; a folder that is there gets them one by one
        const std::filesystem::path path = output;
        const std::filesystem::path folder = path.has_filename() ? path : path.parent_path(); // of "frames/"
        if (std::filesystem::exists(folder)) {
            reel::make_output_folder(folder);
        } else {
            fresh.emplace(folder);
        }
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
                std::ostringstream name;
                name << "frame-" << std::setw(5) << std::setfill('0') << index << ".png";
                reel::write_png((fresh ? fresh->path() : folder) / name.str(), frame);
                ++written;
            }
            progress.step();
        }
        progress.clear();
        reel::require(list.empty() || source.position() > list.back(), input, ": it has ", source.position(),
                      " frames, so there is no frame ", list.empty() ? 0 : list.back(), " (the first is 0)");
        if (fresh) {
            fresh->commit();
        }
        std::cout << output << ": " << written << " of " << source.position() << " frames\n";
        return 0;
    }
};

} // namespace video_tools
