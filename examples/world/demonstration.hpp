#pragma once
// insert_object without a clip of one's own: a drawn one, edited with the model that comes with reel, and compared with
// what it should have become.

#include <functional>
#include <optional>
#include <vector>

#include <reel/io/pictures/enlarge.hpp>
#include <reel/pipelines/insert_options.hpp>

#include "options.hpp"
#include "world/clip_files.hpp"
#include "world/insertion.hpp"
#include "world/own_model.hpp"

namespace world {

/// What is drawn.
struct SceneOptions {
    std::uint64_t world_seed = 1024; ///< the red swing next to the mean of those held out
    Act act = Act::swinging;
    Colour colour = Colour::red;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(reel::Option{"world_seed", "of the drawn clip"}, self.world_seed);
        visit(reel::Option{"act", "what is done in the drawn clip"}, self.act);
        visit(reel::Option{"colour", "of the object to insert there"}, self.colour);
    }
};

/// The clip of insert_object: drawn where the command line names none, and then measured. Otherwise it does nothing but
/// read the clip.
class Demonstration {
public:
    SceneOptions scene;

    /// Looks for what names a clip, and if there is nothing gives `options` the settings for a drawn one.
    Demonstration(int argc, char** argv, reel::InsertOptions& options)
        : drawn_(!program::any_given(argc, argv,
                                     {"--config", "--video", "--prompt", "--edit", "--replay", "--help", "-h"})) {
        if (drawn_) {
            options.config = config_of({});
            options.config.seed = 33;
            options.config.output_dir = "out/insert_object";
            options.take(reel::Preset::insert);
        }
    }

    [[nodiscard]] bool drawn() const { return drawn_; }

    /// After parsing: sets the clip and the captions of `config`, and the model where it names none. Throws Error where
    /// `given("--act")` and the like, but nothing is drawn.
    void settle(reel::TuneAVideoConfig& config, const std::function<bool(const std::string&)>& given) {
        reel::for_each_option(scene, [&](const reel::Option&, const auto&, const std::string& name) {
            reel::require(drawn_ || !given("--" + name), "--", name,
                          ": there is no drawn clip; leave --video, --config and the prompts away");
        });
        if (!drawn_) {
            return;
        }
        reel::TuneTrainData& data = config.train_data;
        reel::require(data.width == data.height, "--width ", data.width, " and --height ", data.height,
                      ": drawn clips are square");
        scene_ = random_scene(scene.world_seed, scene.act, scene.colour);
        data.video_path = file_in(config);
        data.prompt = caption(scene_, false);
        config.validation_data.prompts = {caption(scene_, true)};
        if (config.pretrained_model_path.empty()) {
            config.pretrained_model_path = own_model().string();
        }
    }

    /// The clip to edit: that of a replay, the drawn one, which is written first, or the one that the options name.
    /// What was taken of a file is said, unless it is a rehearsal.
    [[nodiscard]] reel::SourceClip read(reel::Job& job, reel::InsertOptions& o,
                                        const std::optional<reel::Replay>& replay) {
        reel::TuneTrainData& data = o.config.train_data;
        const bool has_clip = !drawn_ && !(replay && replay->video() != nullptr);
        reel::require(!o.paste.paste || has_clip, program::option_name("paste"), ": ",
                      drawn_ ? "the drawn clip" : "the clip in " + o.replay,
                      " has the size it is edited at; leave it away, or give a clip of your own with --video");
        if (auto replayed = reel::replayed_clip(data, replay)) {
            return {std::move(*replayed)};
        }
        if (drawn_) {
            data.video_path = file_in(o.config); // of a rehearsal, elsewhere
            clip_ = draw_clip(scene_, data.n_sample_frames, data.width, EditSettings{}.fps);
            if (job.writes_files()) {
                reel::write_mp4(job.writes(data.video_path), clip_.pretending, clip_.pretending.fps, clip_quality);
            }
            job.ranks().barrier("the drawn clip");
        }
        reel::VideoTaken taken;
        reel::SourceClip clip{reel::read_clip(data, o.clip, &taken)};
        clip.sound = reel::sound_for_mp4(o.sound(taken), job.rehearsal() == nullptr);
        clip.times = reel::times_of(clip.frames, taken);
        clip.file = {taken.file_width, taken.file_height};
        if (job.rehearsal() == nullptr) {
            reel::tell_clip(data.video_path, clip.frames, taken, !o.paste.paste);
            reel::note_fast_gifs(clip.times);
        }
        return clip;
    }

    /// Measures the first edit. `moments` are the clip's.
    void compare(reel::Job& job, const reel::AnyPipeline& model, const reel::AnyTensor& moments,
                 const std::vector<reel::Frames>& clip_and_edits) {
        if (drawn_) {
            const auto stage = job.stage("compare");
            known_ = compare_with_twin(model, clip_, clip_and_edits[0], moments);
            found_ = measure(clip_and_edits[1], clip_, clip_and_edits[0], known_.reconstruction);
        }
    }

    /// metrics.json, metrics.csv, and in details.png all that was compared. Adds the truth to the rows of a sheet,
    /// which are the clip and the edit, and makes them large. `places`: mask_picture() of where edits might change the
    /// clip.
    void write(reel::Job& job, const std::filesystem::path& output, std::vector<reel::Frames>& sheet,
               const std::vector<reel::Frames>& places) const {
        if (!drawn_) {
            return;
        }
        job.write(output / "metrics.json", [&](const auto& file) {
            reel::write_json(file, {{"clip", scene_json()["scene"]},
                                    {"edit", as_json(found_)},
                                    {"ceiling", as_json(known_.ceiling)},
                                    {"autoencoder_db", known_.autoencoder}});
        });
        job.write(output / "metrics.csv", [&](const auto& file) {
            reel::write_file(file, reel::concat_text(csv_header, "\n", csv_row("edit", found_), "\n",
                                                     csv_row("ceiling", known_.ceiling), "\n"));
        });
        const auto changed = metrics::changed_pixels(sheet[1], known_.reconstruction, metrics::Definitions{}.changed);
        job.write(output / "details.png", [&](const auto& file) {
            reel::write_png(
                file,
                reel::contact_sheet({sheet[0], known_.reconstruction, sheet[1], metrics::picture_of(changed, sheet[0]),
                                     metrics::picture_of(clip_.mask, sheet[0]), clip_.twin, known_.twin},
                                    1, 0));
        });
        sheet.push_back(clip_.twin);
        sheet.push_back(place_picture(places.empty() ? reel::Frames() : places.front(), clip_));
        for (reel::Frames& frames : sheet) {
            frames = reel::enlarged(frames, 3);
        }
    }

    /// For the manifest: {"scene": ...}, or {}.
    [[nodiscard]] nlohmann::json scene_json() const {
        if (!drawn_) {
            return nlohmann::json::object();
        }
        nlohmann::json json = as_json(clip_);
        json["world_seed"] = scene.world_seed;
        return {{"scene", json}};
    }

    /// What happened, in the last lines of the screen.
    void conclude(const reel::InsertOptions& options) const {
        if (!drawn_) {
            return;
        }
        const auto line = [](const char* what, const metrics::Insertion& found) {
            std::printf("%-22s IoU %.2f, background %.1f dB, flicker %.2f, %.1f objects a frame\n", what, found.iou,
                        found.background_source, found.flicker, found.objects);
        };
        const reel::TuneAVideoConfig& config = options.config;
        std::printf("\"%s\" became \"%s\"\n", reel::terminal_text(config.train_data.prompt).c_str(),
                    reel::terminal_text(config.validation_data.prompts.front()).c_str());
        line("the edit:", found_);
        line("a perfect one would be:", known_.ceiling);
        const bool seen = found_.colour.has_value() && found_.iou >= 0.1;
        std::printf("rows of frames.png: the clip, the edit, what it should be, %s\n",
                    options.edit.masked() ? "where it may change (grey) and the true object (white)"
                                          : "the true object");
        std::printf("%s: %s, IoU %.2f, background %.1f dB: %s\n", seen ? "inserted" : "not inserted",
                    object_name(scene_).c_str(), found_.iou, found_.background_source,
                    reel::terminal_text((std::filesystem::path(config.output_dir) / "frames.png").string()).c_str());
    }

private:
    [[nodiscard]] static std::string file_in(const reel::TuneAVideoConfig& config) {
        return (std::filesystem::path(config.output_dir) / "pretending.mp4").string();
    }

    bool drawn_;
    Scene scene_;
    Clip clip_;
    TwinComparison known_;
    metrics::Insertion found_;
};

} // namespace world
