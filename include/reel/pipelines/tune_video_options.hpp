#pragma once // Needs reel::text, reel::io and reel::video.
// What tune_video is asked to do. Link reel::pipelines and reel::video.

#include <charconv>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/io/files/sha256.hpp>
#include <reel/io/records/digests.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/job.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/pipelines/prompts.hpp>
#include <reel/pipelines/save_tuned.hpp>
#include <reel/pipelines/tune_clip.hpp>
#include <reel/pipelines/tune_config_file.hpp>
#include <reel/pipelines/tuned_lora.hpp>

namespace reel {

/// Every option of tune_video: names are those of the command line.
struct TuneVideoOptions {
    std::string config_file;
    TuneAVideoConfig config;
    JobOptions job;
    LoraOptions lora;
    ReferenceOptions reference;
    ClipOptions clip;

    TuneVideoOptions() { config.mixed_precision = MixedPrecision::no; } // as read() has it

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"config", "YAML file with Tune-A-Video's keys"}, self.config_file);
        visit_renamed(self.config, visit,
                      {{"pretrained_model_path", "model"},
                       {"output_dir", "output"},
                       {"train_data.video_path", "video"},
                       // the file's, and of the training clip's size where that is given here
                       {"validation_data.prompts", ""},
                       {"validation_data.video_length", ""},
                       {"validation_data.width", ""},
                       {"validation_data.height", ""},
                       // of no effect
                       {"train_batch_size", ""},
                       {"enable_xformers_memory_efficient_attention", ""}});
        JobOptions::options(self.job, visit);
        LoraOptions::options(self.lora, visit);
        ReferenceOptions::options(self.reference, visit);
        ClipOptions::options(self.clip, visit);
    }

    /// Takes the configuration from a file, which options then override; "": none. What `given("--model")` and the like
    /// says that options supply need not be in the file.
    void read(const std::string& file, const std::function<bool(std::string_view)>& given) {
        if (file.empty()) {
            return;
        }
        config_file = file;
        std::vector<std::string> supplied;
        for (const auto& [option, key] : {std::pair{"--model", "pretrained_model_path"},
                                          {"--output", "output_dir"},
                                          {"--video", "train_data.video_path"},
                                          {"--prompt", "train_data.prompt"}}) {
            if (given(option)) {
                supplied.emplace_back(key);
            }
        }
        config = read_program_config(file, supplied);
    }

    /// Call after the last change: then everything is checked. Validation has the training clip's size where
    /// `given("--width")` and the like. Throws Error that starts with `locate(name)`.
    void settle(const KeyLocator& locate, const std::function<bool(const char*)>& given) {
        const TuneTrainData& train = config.train_data;
        TuneValidationData& v = config.validation_data;
        v.video_length = given("--n_sample_frames") ? train.n_sample_frames : v.video_length;
        v.width = given("--width") ? train.width : v.width;
        v.height = given("--height") ? train.height : v.height;
        if (config.resume_from_checkpoint == "") {
            config.resume_from_checkpoint.reset();
        }
        check_options(*this, locate);
        config.check([&](std::string_view key) { // where the file and an option meet
            const std::string name(key.substr(key.find('.') + 1));
            return concat_text(locate(name == "video_length" ? "n_sample_frames" : name), " (", key, ")");
        });
        job.model.check(locate);
        warn_of_precision(config, job.backend);
        warn_of_learning_rate(config);
        require_cpu(job.plan, job.backend);
        require(!config.train_data.prompt.empty(), locate("prompt"), ": expected a text, found an empty one");
    }

    /// A seed from the system where none is given, which is then said on stderr; 0 where it does not matter.
    void choose_seed(bool matters) {
        if (!config.seed && matters) {
            std::uint64_t seed = std::random_device{}();
            job.ranks.broadcast(std::span<std::uint64_t>(&seed, 1), 0, "the seed");
            config.seed = seed;
            std::cerr << "seed: none given, using " << *config.seed << '\n';
        }
        config.seed = config.seed.value_or(0);
    }

    /// The model on the job's backend; its prompts and steps are looked at. `check_stop` is called between the steps of
    /// its stages.
    [[nodiscard]] std::unique_ptr<AnyPipeline> load(Job& on, std::function<void()> check_stop) const {
        auto model = on.load({.folder = config.pretrained_model_path,
                              .seed = *config.seed,
                              .mixed_precision = config.mixed_precision,
                              .loras = lora.choice()},
                             std::move(check_stop));
        check_prompts(*model, config);
        if (validates()) {
            check_steps(ddim_sampler(model->facts()), config.validation_data);
        }
        return model;
    }

    /// Whether anything is sampled.
    [[nodiscard]] bool validates() const { return config.validation_steps <= config.max_train_steps; }

    /// The clip to tune on. What was taken of its file is said, unless it is a rehearsal.
    [[nodiscard]] SourceClip read_clip(const Job& running) const {
        VideoTaken taken;
        SourceClip source{reel::read_clip(config.train_data, clip, &taken)};
        source.times = times_of(source.frames, taken).of(config.validation_data.video_length); // of what is sampled
        if (running.rehearsal() == nullptr) {
            tell_clip(config.train_data.video_path, source.frames, taken);
            if (validates()) {
                note_fast_gifs(source.times);
            }
        }
        return source;
    }

    /// Finds out before the work whether all that will be written can be. Makes the folders, and keeps other runs out
    /// of them.
    void check_writing(Job& job_that_writes) const {
        if (!job_that_writes.writes_files()) {
            return;
        }
        const std::filesystem::path folder = config.output_dir;
        job_that_writes.claim(folder);
        check_tuned_pipeline(folder);
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) { // names may be a million
            constexpr std::string_view prefix = "checkpoint-";
            const std::string name = entry.path().filename().string();
            const char* end = name.data() + name.size();
            index_t step = 0;
            if (name.starts_with(prefix) && std::from_chars(name.data() + prefix.size(), end, step).ptr == end &&
                step > 0 && step <= config.max_train_steps && step % config.checkpointing_steps == 0) {
                check_part_folder(entry.path());
            }
        }
        check_outputs({folder / "config.yaml", folder / "losses.csv"});
        if (config.tune == TuneKind::lora) {
            check_outputs({folder / tuned_lora_file});
        }
        if (validates()) {
            make_output_folder(folder / "samples");
            if (config.validation_data.use_inv_latent) {
                make_output_folder(folder / "inv_latents");
            }
        }
    }

    /// Whether tuning is part of it.
    [[nodiscard]] bool tunes() const { return true; }

    /// The same with another configuration, whose output folder takes everything that is written.
    [[nodiscard]] TuneVideoOptions with(const TuneAVideoConfig& changed) const {
        TuneVideoOptions other = *this;
        other.config = changed;
        return other;
    }
};

/// Says on stdout that it is done.
inline void tell_tuned(const std::string& output, index_t steps, const LossLog& losses) {
    std::cout << "tuned: " << terminal_text(output) << " (" << steps << " steps";
    if (!losses.rows().empty()) {
        std::cout << ", last loss " << losses.rows().back().report.loss;
    }
    std::cout << ")\n";
}

/// What a checkpoint of a clip's tuning must agree with to be continued, before anything was tuned.
[[nodiscard]] inline CheckpointIdentity tuning_identity(const TuneAVideoConfig& config, bool reference_checkpointing,
                                                        const AnyPipeline& model, const Frames& clip) {
    const bool ends = !option_text(config.lr_scheduler).starts_with("constant"); // others end at the last step
    nlohmann::json identity = tuning_identity(config, reference_checkpointing);
    identity.update({{"seed", *config.seed},
                     {"model", model.fingerprint()}, // also of checkpoints that have no model_files
                     {"model_files", model_digests(model.facts().files,
                                                   std::filesystem::path(config.output_dir) / "model_files.json")},
                     {"prompt", config.train_data.prompt},
                     {"clip", sha256_hex(std::as_bytes(std::span(clip.rgb)))},
                     {"clip_size", {clip.count, clip.height, clip.width}},
                     {"max_train_steps", ends ? nlohmann::json(config.max_train_steps) : nlohmann::json()}});
    return {identity};
}

} // namespace reel
