// video_tools COMMAND: the small jobs around clips. A file for each command.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <reel/core/nearest_name.hpp>

#include "convert.hpp"
#include "count.hpp"
#include "frames.hpp"
#include "grid.hpp"
#include "options.hpp"
#include "rate.hpp"
#include "resize.hpp"
#include "side.hpp"
#include "trim.hpp"

namespace {

/// A wrong command's name, before CLI11 says only that one is missing.
void check_command(const CLI::App& app, int argc, char** argv) {
    std::vector<std::string> known;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        known.push_back(command->get_name());
    }
    const std::string given = argc > 1 ? argv[1] : "";
    if (given.empty()) {
        throw program::UsageError("a command is required: trim, resize, rate, frames, count, convert, grid or side; "
                                  "see --help");
    }
    if (!given.starts_with("-") && std::find(known.begin(), known.end(), given) == known.end()) {
        throw program::UsageError("no command is called \"" + given + "\"" + reel::did_you_mean(given, known) +
                                  "; see --help");
    }
}

} // namespace

int main(int argc, char** argv) {
    return program::run("video_tools", [&] {
        CLI::App app{"The small jobs around clips. `video_tools COMMAND --help` tells a command's options."};
        app.require_subcommand(1);
        std::vector<std::pair<CLI::App*, std::function<int()>>> commands;
        const auto add = [&]<class Command>(std::type_identity<Command>, const char* name, const char* description) {
            CLI::App* part = app.add_subcommand(name, description);
            auto command = std::make_shared<Command>(*part);
            commands.emplace_back(part, [command] { return command->run(); });
        };
        add(std::type_identity<video_tools::Trim>{}, "trim", "Cut a part out of a clip, to the frame.");
        add(std::type_identity<video_tools::Resize>{}, "resize", "Another width and height.");
        add(std::type_identity<video_tools::Rate>{}, "rate", "Another number of frames per second.");
        add(std::type_identity<video_tools::ExtractFrames>{}, "frames", "Frames as PNG files.");
        add(std::type_identity<video_tools::Count>{}, "count",
            "Frames (counted by decoding), size, rate, duration and codec.");
        add(std::type_identity<video_tools::Convert>{}, "convert", "Another format, by the output's name.");
        add(std::type_identity<video_tools::Grid>{}, "grid",
            "One picture of chosen frames of several clips, with captions.");
        add(std::type_identity<video_tools::Side>{}, "side",
            "Clips beside each other, or before and after, as a clip.");
        check_command(app, argc, argv);
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        for (const auto& [part, run] : commands) {
            if (part->parsed()) {
                return run();
            }
        }
        return program::wrong_command_line;
    });
}
