#pragma once
// video_tools count: what a clip is.

#include <iostream>
#include <string>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/failed_writes.hpp>
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
        reel::FailedWrites failed; // reads, here
        for (const std::string& input : inputs) {
            if (!failed.attempt([&] { all.push_back(counted(input)); })) {
                std::cout.flush();
                std::cerr << "video_tools: error: " << failed.messages().back() << std::endl;
            }
        }
        if (json) {
            std::cout << reel::json_text(all, "the clips", 2) << "\n";
        }
        return failed.messages().empty() ? 0 : program::failed;
    }

private:
    [[nodiscard]] nlohmann::json counted(const std::string& input) const {
        reel::VideoSource source(input);
        {
            reel::Progress progress("count", 0);
            while (source.skip()) {
                program::check_stop();
                progress.step();
            }
        }
        const double fps = source.rate();
        const double seconds = fps > 0 ? source.time().end() : 0;
        const auto [wide, high] = source.pixel_aspect();
        if (!json) {
            std::cout << input << ": " << source.position() << " frames, " << source.file_width() << "x"
                      << source.file_height() << ", ";
            if (wide != high) {
                std::cout << wide << ":" << high << " pixels, ";
            }
            if (fps > 0) {
                std::cout << fps << " per second, " << seconds << " s, ";
            } else {
                std::cout << "unknown rate, ";
            }
            std::cout << source.codec() << " in " << source.container() << "\n";
        }
        return {{"file", input},
                {"frames", source.position()},
                {"width", source.file_width()},
                {"height", source.file_height()},
                {"pixel_aspect", std::to_string(wide) + ":" + std::to_string(high)},
                {"fps", fps > 0 ? nlohmann::json(fps) : nlohmann::json()},
                {"seconds", fps > 0 ? nlohmann::json(seconds) : nlohmann::json()},
                {"codec", source.codec()},
                {"container", source.container()}};
    }
};

} // namespace video_tools
