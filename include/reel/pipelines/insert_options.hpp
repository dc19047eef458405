#pragma once // Needs reel::text, reel::io and reel::video.
// What insert_object is asked to do, and how its run is recorded. Link reel::pipelines and reel::video.

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/config/options.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/job.hpp>
#include <reel/pipelines/loss_log.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/pipelines/pasted_clip.hpp>
#include <reel/pipelines/presets.hpp>
#include <reel/pipelines/prompts.hpp>
#include <reel/pipelines/tune_config_file.hpp>
#include <reel/pipelines/user_mask.hpp>

namespace reel {

/// Every option of the whole job: names are those of the command line, of the manifest, and without paths and prompts
/// of a study.
struct InsertOptions {
    Preset preset = Preset::tune_a_video;
    std::string config_file;
    TuneAVideoConfig config;
    EditOptions edit;
    SamplerRequest sampler;
    JobOptions job;
    LoraOptions lora;
    std::string tuned;
    std::string save_tuned;
    std::string replay;
    std::string save_tensors;
    ClipOptions clip;
    PasteOptions paste;
    bool no_audio = false;
    bool frames = false;
    bool lossless = false;
    int preview_every = 0;

    InsertOptions() {
        config.mixed_precision = MixedPrecision::no;
        config.seed = 33;
    }

    /// Takes a preset's options, which others then override.
    void take(Preset which) {
        preset = which;
        edit = edit_options_of(which);
        if (!reel::tunes(which)) {
            config.max_train_steps = 0;
        }
    }

    /// Takes the configuration that `value("--config")`, a file, and over it the preset that `value("--preset")` names,
    /// where they do; other options then override both. What `given("--model")` and the like says that options supply
    /// need not be in the file.
    void read(const std::function<std::string(std::string_view)>& value,
              const std::function<bool(std::string_view)>& given) {
        if (const std::string file = value("--config"); !file.empty()) {
            read_config(file, given);
        }
        if (const std::string name = value("--preset"); !name.empty()) {
            take(choice_of<Preset>(name, "--preset"));
        }
    }

    void read_config(const std::string& file, const std::function<bool(std::string_view)>& given) {
        config_file = file;
        std::vector<std::string> supplied;
        for (const auto& [option, key] : {std::pair{"--model", "pretrained_model_path"},
                                          {"--output", "output_dir"},
                                          {"--video", "train_data.video_path"},
                                          {"--replay", "train_data.video_path"},
                                          {"--prompt", "train_data.prompt"},
                                          {"--edit", "validation_data"}}) {
            if (given(option)) {
                supplied.emplace_back(key);
            }
        }
        config = read_program_config(file, supplied);
        config.seed = config.seed.value_or(33);
    }

    /// One clip and one size serve tuning and editing. Call after the last change: then everything is checked. Throws
    /// Error that starts with `locate(name)`.
    void settle(const KeyLocator& locate) {
        const bool named = !config.train_data.video_path.empty() && config.train_data.video_path != supplied_later;
        if (!named && !replay.empty()) { // its clip takes the place of one that is not given
            require(Replay(replay).video() != nullptr, replay,
                    ": it holds no clip (video.frames_u8), so --video is needed");
            config.train_data.video_path = replay;
        }
        TuneValidationData& v = config.validation_data;
        v.video_length = config.train_data.n_sample_frames;
        v.width = config.train_data.width;
        v.height = config.train_data.height;
        v.use_inv_latent = edit.inverted();
        check_options(*this, locate);
        warn_of_precision(config, job.backend);
        warn_of_learning_rate(config);
    }

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"preset", "where the options of an edit start: as the reference edits (tune_a_video), as objects "
                               "are inserted best (insert), without tuning (zero_shot), or with an inpainting model "
                               "(inpaint); what else is given changes that"},
              self.preset);
        visit(Option{"config", "YAML file with Tune-A-Video's keys"}, self.config_file);
        visit_renamed(self.config, visit,
                      {{"pretrained_model_path", "model"},
                       {"output_dir", "output"},
                       {"train_data.video_path", "video"},
                       {"validation_data.prompts", "edit"},
                       // one clip and one size serve training and editing, which always start as `start` says
                       {"validation_data.video_length", ""},
                       {"validation_data.width", ""},
                       {"validation_data.height", ""},
                       {"validation_data.use_inv_latent", ""},
                       // of tune_video
                       {"validation_steps", ""},
                       {"checkpointing_steps", ""},
                       {"resume_from_checkpoint", ""},
                       // of no effect
                       {"train_batch_size", ""},
                       {"enable_xformers_memory_efficient_attention", ""}});
        EditOptions::options(self.edit, visit);
        SamplerRequest::options(self.sampler, visit);
        JobOptions::options(self.job, visit);
        LoraOptions::options(self.lora, visit);
        visit(Option{"tuned", "a folder that was tuned before: only edit"}, self.tuned);
        visit(Option{"save_tuned", "folder for the tuned model, as Tune-A-Video saves it"}, self.save_tuned);
        visit(Option{"replay", "file with all that is random: safetensors or, .npz, of numpy's"}, self.replay);
        visit(Option{"save_tensors", "file for intermediate results: safetensors or, .npz, of numpy's"},
              self.save_tensors);
        ClipOptions::options(self.clip, visit);
        PasteOptions::options(self.paste, visit);
        visit(Option{"no_audio", "leave the clip's sound out of the mp4s"}, self.no_audio);
        visit(Option{"frames", "write the source and the edits as folders of PNGs, too"}, self.frames);
        visit(Option{"lossless", "every pixel of the mp4s as it is (H.264 in RGB, which few players show)"},
              self.lossless);
        visit(Option{"preview_every",
                     "steps of sampling between previews of an edit, preview-N.gif; 0: none (quick with "
                     "a --vae of TAESD's kind)",
                     at_least(0)},
              self.preview_every);
    }

    /// What must fit together, beyond ranges.
    void check(const KeyLocator& locate) const {
        const std::vector<std::string>& edits = config.validation_data.prompts;
        require(!config.train_data.prompt.empty(), locate("prompt"), ": expected a text, found an empty one");
        require(!edits.empty(), "no edited prompt: give ", locate("edit"), ", or validation_data.prompts in ",
                locate("config"));
        require(ranges::none_of(edits, &std::string::empty), locate("edit"), ": expected a text, found an empty one");
        config.TuneOptions::check(locate);
        job.model.check(locate);
        edit.check(locate);
        edit.check_steps(config.validation_data, locate);
        paste.check(edit.user_mask, locate);
        std::error_code ignored;
        require(tuned.empty() || std::filesystem::is_directory(std::filesystem::path(tuned) / "unet", ignored),
                locate("tuned"), " ", tuned, ": it has no folder unet; expected what --save_tuned or tune_video wrote");
        require_cpu(job.plan, job.backend);
    }

    [[nodiscard]] std::optional<Replay> open_replay() const {
        return replay.empty() ? std::nullopt : std::optional<Replay>(std::in_place, replay);
    }

    [[nodiscard]] bool tunes() const { return tuned.empty() && config.max_train_steps > 0; }
    [[nodiscard]] bool tunes_lora() const { return tunes() && config.tune == TuneKind::lora; }

    /// The model on the job's backend, its prompts looked at. `check_stop` is called between the steps of its stages.
    [[nodiscard]] std::unique_ptr<AnyPipeline> load(Job& on, const std::optional<Replay>& random,
                                                    std::function<void()> check_stop) const {
        auto model =
            on.load({.folder = config.pretrained_model_path,
                     .seed = *config.seed,
                     .unet_folder = tuned.empty() ? std::filesystem::path() : std::filesystem::path(tuned) / "unet",
                     .mixed_precision = config.mixed_precision,
                     .masked = edit.user_mask.given(),
                     .loras = lora.choice()},
                    std::move(check_stop));
        if (random && tuned.empty()) {
            model->initialize(*random);
        }
        check_prompts(*model, config);
        for (const std::string& edited : config.validation_data.prompts) {
            model->check_control(edit.control, config.train_data.prompt, edited);
        }
        return model;
    }

    /// The same with another configuration, whose output folder takes everything that is written.
    [[nodiscard]] InsertOptions with(const TuneAVideoConfig& changed) const {
        InsertOptions other = *this;
        other.config = changed;
        other.save_tuned.clear(); // may be many gigabytes
        if (!other.save_tensors.empty()) {
            other.save_tensors = changed.output_dir + "/tensors";
        }
        return other;
    }

    /// Where the user lets the clip change. With `paste` the clip becomes what surrounds that, which is said.
    [[nodiscard]] PixelMask allowed(Job& in, SourceClip& source, const KeyLocator& locate) const {
        return in.during(paste.paste             ? "cut out"
                         : edit.user_mask.follow ? "follow mask"
                                                 : "",
                         [&] {
                             const TuneTrainData& data = config.train_data;
                             if (!paste.paste) {
                                 return user_mask(edit.user_mask, {source.frames, source.file, &data, clip}, locate);
                             }
                             const bool told = data.sample_frame_rate == 1; // with the source's own sound
                             const auto whole =
                                 no_audio ? "" : whole_sound(data.video_path, clip, in.rehearsal() == nullptr && !told);
                             PixelMask mask = cut_out(source, {data, clip, edit.user_mask, paste, whole}, locate);
                             if (in.rehearsal() == nullptr || job.plan.plan) {
                                 tell_cut(source);
                             }
                             return mask;
                         });
    }

    /// The clip's moments; an inpainting model is shown where it paints, too.
    [[nodiscard]] AnyTensor encode(Job& in, AnyPipeline& model, const Frames& source, const PixelMask& mask) const {
        return in.during("encode clip", [&] {
            model.paint_inside(source, mask, *config.seed);
            return model.encode(source);
        });
    }

    /// The sound that goes with the clip: where its frames are neighbours.
    [[nodiscard]] SoundPart sound(const VideoTaken& taken) const {
        const bool kept = !no_audio && clip.fps == 0 && config.train_data.sample_frame_rate == 1 &&
                          std::filesystem::is_regular_file(config.train_data.video_path);
        return kept ? SoundPart{config.train_data.video_path, taken.clock} : SoundPart{};
    }

    /// Everything needed to repeat the run. `cpu`: where it ran; `more`: laid over the options; with a "scene" the clip
    /// was drawn, and is no input.
    [[nodiscard]] Manifest manifest(const Cpu& cpu, const Sampler& used, const std::optional<Replay>& random,
                                    const nlohmann::json& more) const {
        Manifest manifest("insert_object");
        manifest.set_seed(config.seed);
        nlohmann::json json = options_json(*this);
        json["threads"] = cpu.threads();
        json["negative_prompt"] = config.validation_data.negative_prompt.value_or("");
        json.erase("plan");
        json.update(more);
        manifest.set("options", json);
        manifest.set("sampler", sampler_json(used));
        manifest.add_version("ffmpeg", ffmpeg_version());
        if (!more.contains("scene") && (!random || random->video() == nullptr)) {
            const std::filesystem::path path = config.train_data.video_path;
            for (const auto& file : picture_files(path).value_or(std::vector{path})) {
                manifest.add_input(file);
            }
        }
        add_model(manifest, config.pretrained_model_path, job.model, tuned);
        add_loras(manifest, lora);
        for (const std::string& file : {config_file, replay}) {
            if (!file.empty()) {
                manifest.add_input(file);
            }
        }
        return manifest;
    }
};

} // namespace reel
