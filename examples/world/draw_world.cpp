// draw_world DIR: clips of somebody who pretends to use an object, with their twins and masks, or captioned pictures.

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/io/files/folder_lock.hpp>

#include "clip_files.hpp"
#include "options.hpp"
#include "world.hpp"

namespace {

struct Options {
    std::filesystem::path output;
    int clips = 4;
    int pictures = 0;
    int frames = 8;
    int size = 64;
    double fps = 8;
    std::uint64_t seed = 0;
    std::string act;
    std::string colour;
};

[[nodiscard]] world::Scene scene_of(const Options& options, std::uint64_t seed) {
    return world::random_scene(seed, world::word_named<world::Act>(options.act),
                               world::word_named<world::Colour>(options.colour));
}

/// metadata.jsonl is written last: where it is, everything it names is.
void draw_clips(const Options& options) {
    std::string metadata;
    reel::Progress bar("draw clips", static_cast<std::size_t>(options.clips));
    for (int i = 0; i < options.clips; ++i) {
        const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
        const world::Clip clip = world::draw_clip(scene_of(options, seed), options.frames, options.size, options.fps);
        const std::string name = world::numbered(i, options.clips);
        const nlohmann::json line = {{"folder", name},
                                     {"prompt", clip.prompt},
                                     {"edit", clip.edit},
                                     {"act", world::name_of(clip.scene.act)},
                                     {"object", world::object_of(clip.scene.act)},
                                     {"colour", world::name_of(clip.scene.colour)},
                                     {"seed", seed},
                                     {"frames", options.frames},
                                     {"size", options.size},
                                     {"fps", options.fps}};
        world::write_clip(options.output / name, clip, line);
        metadata += line.dump() + "\n";
        bar.step();
        program::check_stop();
    }
    reel::write_file(options.output / "metadata.jsonl", metadata);
}

/// Every second picture shows the object. Like training, pictures use seeds that no clip has.
void draw_pictures(const Options& options) {
    std::string metadata;
    reel::Progress bar("draw pictures", static_cast<std::size_t>(options.pictures));
    reel::Frames picture = reel::make_frames(1, options.size, options.size);
    for (int i = 0; i < options.pictures; ++i) {
        const std::uint64_t seed = world::training_seed(options.seed + static_cast<std::uint64_t>(i));
        const world::Scene scene = scene_of(options, seed);
        const bool with_object = i % 2 == 1;
        world::draw(scene, 0, with_object, options.size, picture.frame(0)); // the phase at time 0 is random
        const std::string name = world::numbered(i, options.pictures) + ".png";
        reel::write_png(options.output / name, picture);
        metadata += nlohmann::json{{"file_name", name}, {"text", world::caption(scene, with_object)}}.dump() + "\n";
        bar.step();
        program::check_stop();
    }
    reel::write_file(options.output / "metadata.jsonl", metadata);
}

} // namespace

int main(int argc, char** argv) {
    return program::run("draw_world", [&] {
        Options options;
        CLI::App app(
            "Draws people who pretend to swing a tennis racket, sit on a stool, pull a suitcase or carry a\n"
            "toolbox. DIR/0000, DIR/0001, ... hold one clip each: source.mp4 (pretending), twin.mp4 and twin/\n"
            "(the same with the object), mask/ (white where the object is), sheet.png (all of them) and\n"
            "clip.json (captions); DIR/metadata.jsonl lists the clips. With --pictures, DIR holds captioned\n"
            "pictures instead: PNG files and metadata.jsonl with file_name and text, as Hugging Face's\n"
            "imagefolder has them.");
        app.get_formatter()->column_width(30);
        app.option_defaults()->always_capture_default();
        app.add_option("DIR", options.output, "where to write; made if it is not there")
            ->required()
            ->capture_default_str();
        CLI::Option* clips =
            app.add_option("--clips", options.clips, "how many clips")->check(CLI::Range(1, 1'000'000));
        app.add_option("--pictures", options.pictures, "how many pictures, half of them with the object; no clips")
            ->check(CLI::Range(0, 100'000'000))
            ->excludes(clips);
        app.add_option("--frames", options.frames, "of each clip")->check(CLI::Range(1, 10'000));
        app.add_option("--size", options.size, "of a side, in pixels")->check(CLI::Range(16, 4096));
        app.add_option("--fps", options.fps, "frames per second; a swing takes about three seconds")
            ->check(CLI::Range(0.1, 1000.0));
        app.add_option("--seed", options.seed, "of the first clip; the next has the next seed")
            ->check(program::not_negative);
        app.add_option("--act", options.act, "one act only; otherwise all, at random")
            ->check(CLI::IsMember(world::words<world::Act>()));
        app.add_option("--colour", options.colour, "one colour only; otherwise all, at random")
            ->check(CLI::IsMember(world::words<world::Colour>()));
        if (const std::optional<int> status = program::parse(app, argc, argv)) {
            return *status;
        }
        if (options.seed >> 63 != 0) {
            throw program::UsageError("--seed: expected less than 2^63; larger seeds are for training");
        }
        const reel::FolderLock lock(options.output);
        std::filesystem::remove(options.output / "metadata.jsonl"); // an older run's
        if (options.pictures > 0) {
            draw_pictures(options);
            std::cout << "drawn: " << options.pictures << " pictures in "
                      << reel::terminal_text(options.output.string()) << '\n';
        } else {
            draw_clips(options);
            std::cout << "drawn: " << options.clips << " clips in " << reel::terminal_text(options.output.string())
                      << '\n';
        }
        return 0;
    });
}
