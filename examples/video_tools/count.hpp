#pragma once
// video_tools count: what a clip is.

#include <iostream>
#include <string>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/failed_writes.hpp>
#include <reel/io/video/video_stream.hpp>

#include "clip_input.hpp"
#include "options.hpp"

namespace video_tools {

struct Count {
    std::vector<std::string> inputs;
    ClipRate source;
    bool json = false;

    explicit Count(CLI::App& app) {
        app.add_option("INPUT", inputs, "clips")->required();
        source.add_to(app);
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
        reel::VideoSource clip(input, {.fps = source.fps});
        {
            reel::Progress progress("count", 0);
            while (clip.skip()) {
                program::check_stop();
                progress.step();
            }
        }
        const double fps = clip.rate();
        const double seconds = fps > 0 ? clip.time().end() : 0;
        const auto [wide, high] = clip.pixel_aspect();
        if (!json) {
            std::cout << reel::terminal_text(input) << ": " << clip.position() << " frames, " << clip.file_width()
                      << "x" << clip.file_height() << ", ";
            if (wide != high) {
                std::cout << wide << ":" << high << " pixels, ";
            }
            if (fps > 0) {
                std::cout << fps << " per second, " << seconds << " s, ";
            } else {
                std::cout << "unknown rate, ";
            }
            std::cout << clip.codec() << " in " << clip.container() << "\n";
        }
        tell_joints(input, clip);
        return {{"file", input},
                {"frames", clip.position()},
                {"width", clip.file_width()},
                {"height", clip.file_height()},
                {"pixel_aspect", std::to_string(wide) + ":" + std::to_string(high)},
                {"fps", fps > 0 ? nlohmann::json(fps) : nlohmann::json()},
                {"seconds", fps > 0 ? nlohmann::json(seconds) : nlohmann::json()},
                {"codec", clip.codec()},
                {"container", clip.container()}};
    }
};

} // namespace video_tools
