#pragma once
// video_tools count: what a clip is.

#include <iostream>
#include <string>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/video/video_stream.hpp>

#include "options.hpp"

namespace video_tools {

struct Count {
    std::vector<std::string> inputs;
    bool json = false;

    explicit Count(CLI::App& app) {
        app.add_option("INPUT", inputs, "clips")->required();
        app.add_flag("--json", json, "a JSON list instead of a line for each clip");
    }

    int run() {
        nlohmann::json all = nlohmann::json::array();
        for (const std::string& input : inputs) {
            reel::VideoSource source(input);
            {
                reel::Progress progress("count", 0);
                while (source.skip()) {
                    program::check_stop();
                    progress.step();
                }
            }
            const double fps = source.fps();
            const double seconds = fps > 0 ? static_cast<double>(source.position()) / fps : 0;
            if (json) {
                all.push_back({{"file", input},
                               {"frames", source.position()},
                               {"width", source.file_width()},
                               {"height", source.file_height()},
                               {"fps", fps > 0 ? nlohmann::json(fps) : nlohmann::json()},
                               {"seconds", fps > 0 ? nlohmann::json(seconds) : nlohmann::json()},
                               {"codec", source.codec()},
                               {"container", source.container()}});
                continue;
            }
            std::cout << input << ": " << source.position() << " frames, " << source.file_width() << "x"
                      << source.file_height() << ", ";
            if (fps > 0) {
                std::cout << fps << " per second, " << seconds << " s, ";
            } else {
                std::cout << "unknown rate, ";
            }
            std::cout << source.codec() << " in " << source.container() << "\n";
        }
        if (json) {
            std::cout << reel::json_text(all, "the clips", 2) << "\n";
        }
        return 0;
    }
};

} // namespace video_tools
