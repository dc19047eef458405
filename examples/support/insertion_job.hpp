#pragma once
// insert_object's work, stage by stage.

#include <algorithm>
#include <chrono>
#include <set>

#include <reel/core/stage_timer.hpp>
#include <reel/io/records/manifest.hpp>

#include "insertion_options.hpp"

namespace insertion {

using editing::Cpu;
using editing::index_t;
using editing::Tensor;

/// One run, stage by stage. Members are what later stages and the manifest need.
class Job {
public:
    /// With a rehearsal, which must outlive it, it does no work.
    Job(Options options, editing::ChooseSampler choose, reel::Rehearsal* rehearsal = nullptr)
        : options_(std::move(options)), choose_(std::move(choose)), config_(options_.config),
          output_(config_.output_dir), device_(editing::open_device(options_.backend)),
          cpu_(options_.threads, rehearsal), rehearsal_(rehearsal),
          stages_(rehearsal_ != nullptr ? plan::probe_of(cpu_, *rehearsal, mapped_)
                  : device_ != nullptr  ? device_->probe()
                                        : reel::probe_of(cpu_.memory())),
          recorder_(options_.save_tensors) {}

    void run() {
        prepare();
        work();
        write();
        write_manifest();
        for (const std::filesystem::path& path : outputs_) {
            std::cout << "wrote " << path.string() << '\n';
        }
        if (drawn_) {
            conclude();
        }
    }

    /// What run() would take, but for the manifest and the tuned model. It writes the same files.
    [[nodiscard]] plan::Prediction rehearse() {
        options_.save_tuned.clear(); // may be many gigabytes
        prepare();
        work();
        write();
        return {stages_.stages(), stages_.total()};
    }

private:
    void work() {
        read();
        load();
        tune();
        const Tensor noise = invert();
        for (const std::string& prompt : config_.validation_data.prompts) {
            edit(noise, prompt);
        }
        if (drawn_) {
            compare();
        }
    }

    /// From here on a part of the model is looked at, and with it the files that its weights lie in.
    void look_at(editing::Part part) {
        if (looked_at_.insert(part).second) {
            mapped_ += model_->networks->mapped_bytes(part);
        }
    }

    /// Finds out before the work whether its results can be written.
    void prepare() {
        reel::make_output_folder(output_);
        if (!options_.save_tuned.empty()) {
            reel::require_other_folder(options_.save_tuned, config_.pretrained_model_path);
            reel::make_output_folder(options_.save_tuned);
        }
        if (const auto folder = std::filesystem::path(options_.save_tensors).parent_path(); !folder.empty()) {
            reel::make_output_folder(folder);
        }
        std::error_code ignored;
        reel::require(options_.tuned.empty() ||
                          std::filesystem::is_directory(std::filesystem::path(options_.tuned) / "unet", ignored),
                      "--tuned ", options_.tuned, ": it has no folder unet; expected what --save_tuned or tune_video ",
                      "wrote");
    }

    void read() {
        const auto stage = stages_.start("read clip");
        if (options_.scene) {
            draw();
        }
        if (!options_.replay.empty()) {
            replay_.emplace(options_.replay);
            if (const reel::HostTensor* video = replay_->video()) {
                clip_ = editing::frames_of(*video, 8);
                config_.train_data.n_sample_frames = clip_.count; // for the manifest
                config_.train_data.width = clip_.width;
                config_.train_data.height = clip_.height;
            }
        }
        if (clip_.count == 0) {
            clip_ = editing::read_clip(config_.train_data);
        }
        fps_ = clip_.fps > 0 ? clip_.fps : 8;
    }

    /// The demonstration's clip, as a file like any other.
    void draw() {
        const reel::TuneTrainData& data = config_.train_data;
        drawn_ = world::draw_clip(*options_.scene, data.n_sample_frames, data.width, editing::demonstration().fps);
        reel::write_mp4(data.video_path, drawn_->pretending, drawn_->pretending.fps, world::clip_quality);
        outputs_.emplace_back(data.video_path);
    }

    void load() {
        const auto stage = stages_.start("load model");
        const std::filesystem::path tuned = options_.tuned;
        model_.emplace(editing::load_model(cpu_, {.folder = config_.pretrained_model_path,
                                                  .seed = *config_.seed,
                                                  .unet_folder = tuned.empty() ? tuned : tuned / "unet",
                                                  .mixed_precision = reel::option_text(config_.mixed_precision),
                                                  .device = device_.get()}));
        if (replay_ && tuned.empty()) {
            model_->networks->initialize(*replay_);
        }
        editing::check_prompts(*model_, config_);
        choose_sampler();
    }

    /// Finds out before the work whether the sampler can do what is asked for.
    void choose_sampler() {
        reel::TuneValidationData validation = config_.validation_data;
        sampler_ =
            choose_(editing::sampler_request(*model_, options_.scheduler, options_.scheduler_config, validation.eta));
        if (options_.inverted()) {
            try {
                sampler_ = editing::with_levels_of_inversion(*sampler_);
            } catch (const reel::Error& error) {
                reel::fail("--start inversion: ", error.what());
            }
            reel::require(!options_.reference_inversion || sampler_->as<reel::DDIMScheduler>() != nullptr,
                          "--reference_inversion: it is of DDIM's inversion, and the sampler is ", sampler_->name());
        } else {
            validation.num_inv_steps = validation.num_inference_steps; // not used
        }
        editing::check_steps(*sampler_, validation);
        sampler_->set_timesteps(validation.num_inference_steps);
        const std::vector<double> levels = options_.inverted()
                                               ? editing::levels_of_inversion(*sampler_, validation.num_inv_steps)
                                               : std::vector<double>();
        if (options_.masked()) {
            check_blending(levels);
        }
    }

    /// Throws Error unless every model call leads to a level at which the clip is known, so that it can be put back
    /// outside a mask. `levels`: those of the inversion, upwards; without one the clip is noised as the sampler wants.
    void check_blending(std::vector<double> levels) const {
        const int steps = config_.validation_data.num_inference_steps;
        const auto calls = static_cast<int>(sampler_->timesteps().size());
        reel::require(calls == steps, "--mask ", options_.mask, ": ", sampler_->name(), " calls the model ", calls,
                      " times for ", steps,
                      " steps, and the clip cannot be put back outside the mask between calls of one ",
                      "step; use a sampler with one call a step, or --mask none");
        std::ranges::reverse(levels);
        reel::require(!options_.inverted() || levels == sampler_->timesteps(), "--mask ", options_.mask, ": ",
                      sampler_->name(), " with this configuration passes noise levels that its inversion does not; ",
                      "do not spread the sigmas (use_karras_sigmas and the like), or use --start noise or --mask none");
    }

    [[nodiscard]] reel::TrainingNoise<float, Cpu> noise_of(const reel::Shape& latents, index_t draw) {
        return replay_ ? replay_->training_noise<float>(cpu_, latents, draw)
                       : reel::training_noise<float>(cpu_, latents, *config_.seed, draw,
                                                     model_->training_scheduler.schedule().size());
    }

    /// Tunes, or with --tuned only draws the latents that the last step of tuning would have looked at.
    void tune() {
        {
            const auto stage = stages_.start("encode clip");
            look_at(editing::Part::encoder);
            moments_ = editing::encode(cpu_, *model_, clip_);
            recorder_.record("vae.moments", reel::to_file(reel::permute(moments_, {0, 3, 1, 2})));
        }
        look_at(editing::Part::text_layers); // of the table of tokens a few rows
        look_at(editing::Part::unet);
        const Tensor text = editing::encode_prompt(*model_, config_.train_data.prompt);
        recorder_.record("text.train", reel::to_file(text));
        const double factor = model_->vae.config.scaling_factor;
        const index_t draws = index_t{config_.max_train_steps} * config_.gradient_accumulation_steps;
        if (!options_.tuned.empty() || draws == 0) {
            const reel::Shape shape = moments_.shape().with(3, moments_.shape(3) / 2);
            const auto random = noise_of(shape, std::max<index_t>(draws - 1, 0));
            latents_ = reel::sample_latents(moments_, random.posterior, factor);
            return;
        }
        const auto stage = stages_.start("tune");
        editing::prepare_training(*model_, config_, options_.reference_checkpointing);
        const auto tuner = model_->networks->tune(moments_, text, editing::tune_options(config_));
        std::vector<float> losses;
        std::vector<float> norms;
        reel::Progress bar("tune", static_cast<std::size_t>(config_.max_train_steps));
        const auto update = [&] {
            const auto start = std::chrono::steady_clock::now();
            const reel::TuneReport report =
                tuner->update([&](index_t draw) { return noise_of(tuner->latent_shape(), draw); });
            log_.add(report, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
            losses.push_back(static_cast<float>(report.loss));
            norms.push_back(static_cast<float>(report.grad_norm));
            if (report.step == 1) {
                recorder_.record("train.latents0",
                                 reel::to_file(reel::to_reference_order(tuner->latents(), clip_.count)));
            }
            bar.note(reel::concat_text("loss ", report.loss));
            bar.step();
            program::check_stop();
        };
        if (rehearsal_ != nullptr) {
            rehearsal_->repeat(config_.max_train_steps, update);
        } else {
            while (tuner->step_count() < config_.max_train_steps) {
                update();
            }
        }
        recorder_.record("train.loss", losses);
        recorder_.record("train.grad_norm", norms);
        if (recorder_.on()) {
            for (const auto& [name, tensor] : model_->networks->trained()) {
                recorder_.record("trained." + name, tensor);
            }
        }
        latents_ = tuner->latents();
        model_->networks->stop_training();
    }

    /// The prompt that guidance leads away from.
    [[nodiscard]] std::string guidance_prompt() const {
        return options_.guidance_prompt == "source" ? config_.train_data.prompt
                                                    : config_.validation_data.negative_prompt.value_or("");
    }

    /// Where sampling starts.
    [[nodiscard]] Tensor invert() {
        recorder_.record("text.uncond", reel::to_file(editing::encode_prompt(*model_, guidance_prompt())));
        if (options_.inverted_latents == "mean") {
            latents_ = editing::mean_latents(*model_, moments_);
        }
        const int steps = config_.validation_data.num_inv_steps;
        if (!options_.inverted()) {
            if (options_.masked()) {
                trajectory_ =
                    editing::noised_trajectory(cpu_, *sampler_, latents_, steps, *config_.seed, options_.drafted());
            }
            // of this run: init_noise_sigma() depends on the steps
            return reel::scale(editing::noise_like(cpu_, latents_, *config_.seed),
                               static_cast<float>(sampler_->init_noise_sigma()));
        }
        const auto stage = stages_.start("invert");
        const std::string prompt = options_.inversion_prompt == "source" ? config_.train_data.prompt : "";
        const auto formula =
            options_.reference_inversion ? reel::InversionFormula::reference : reel::InversionFormula::exact;
        const auto each = [&](index_t, const Tensor& x) { recorder_.append("inv.latents", x); };
        Tensor noise;
        if (options_.masked()) {
            trajectory_ = editing::invert_trajectory(*model_, *sampler_, latents_, prompt, steps, formula, each);
            noise = trajectory_.latents.back();
        } else {
            noise = editing::invert(*model_, *sampler_, latents_, prompt, steps, formula, each);
        }
        reel::make_output_folder(output_ / "inv_latents");
        outputs_.push_back(output_ / "inv_latents" / ("ddim_latent-" + std::to_string(steps) + ".pt"));
        reel::write_torch_tensor(outputs_.back(), reel::to_file(reel::to_reference_order(noise, clip_.count)));
        return noise;
    }

    /// Where an edit may change the clip, and from where it starts there.
    [[nodiscard]] editing::Draft find_place(const Tensor& noise, const std::string& prompt, const std::string& number) {
        const auto stage = stages_.start("mask " + number);
        const std::string& source = config_.train_data.prompt;
        const int steps = config_.validation_data.num_inference_steps;
        editing::Draft draft;
        if (options_.drafted()) {
            draft = editing::delta_draft(cpu_, *model_, *sampler_, latents_, source, prompt, options_.delta_settings,
                                         options_.mask_settings.options, steps, *config_.seed);
        } else {
            draft.start = noise;
            draft.mask =
                editing::difference_mask(*model_, trajectory_, source, prompt, options_.mask_settings, *config_.seed);
        }
        places_.push_back(editing::marks_of(draft.mask, clip_.height, clip_.width));
        outputs_.push_back(output_ / ("mask-" + number + ".gif"));
        reel::write_gif(outputs_.back(), metrics::picture_of(places_.back(), clip_), fps_);
        return draft;
    }

    /// Samples one edit; --save_tensors records the first.
    void edit(const Tensor& noise, const std::string& prompt) {
        const bool first = edits_.empty();
        const std::string number = std::to_string(edits_.size() + 1);
        const editing::Draft draft =
            options_.masked() ? find_place(noise, prompt, number) : editing::Draft{noise, Tensor(), 0};
        Tensor sampled;
        {
            const auto stage = stages_.start("sample " + number);
            const editing::Outside outside{trajectory_, draft.mask, draft.skipped};
            sampled = editing::sample(
                cpu_, *model_, *sampler_, draft.start, prompt, guidance_prompt(), config_.validation_data,
                *config_.seed,
                [&](index_t, const Tensor& x) {
                    if (first) {
                        recorder_.append("sample.latents", x);
                    }
                },
                options_.masked() ? &outside : nullptr);
        }
        const auto stage = stages_.start("decode " + number);
        look_at(editing::Part::decoder);
        Tensor pixels;
        edits_.push_back(editing::decode(*model_, sampled, fps_, &pixels));
        if (options_.overlay) {
            if (unedited_.count == 0) {
                unedited_ = editing::decode(*model_, latents_, fps_);
            }
            edits_.back() = reel::overlay(clip_, edits_.back(), unedited_);
        }
        if (rehearsal_ != nullptr) {
            edits_.back() = clip_; // takes as long to encode as the edit
        }
        if (first && recorder_.on()) {
            recorder_.record("text.edit", reel::to_file(editing::encode_prompt(*model_, prompt)));
            recorder_.record("sample.frames", reel::to_file(reel::to_reference_order(pixels, clip_.count)));
        }
        write_clip("edit-" + number + "-" + editing::file_name_of(prompt), edits_.back());
    }

    void write_clip(const std::string& name, const reel::Frames& frames) {
        outputs_.push_back(output_ / (name + ".gif"));
        reel::write_gif(outputs_.back(), frames, fps_);
        outputs_.push_back(output_ / (name + ".mp4"));
        reel::write_mp4(outputs_.back(), frames, fps_);
    }

    /// Measures the demonstration's edit.
    void compare() {
        const auto stage = stages_.start("compare");
        known_ = editing::look_at(cpu_, *model_, *drawn_, clip_, moments_);
        insertion_ = editing::measure(edits_.front(), *drawn_, clip_, known_.reconstruction);
    }

    /// metrics.json, metrics.csv, and in details.png all that was compared.
    void write_comparison() {
        outputs_.push_back(output_ / "metrics.json");
        reel::write_json(outputs_.back(), {{"clip", scene_json()},
                                           {"edit", editing::as_json(insertion_)},
                                           {"ceiling", editing::as_json(known_.ceiling)},
                                           {"autoencoder_db", known_.autoencoder}});
        outputs_.push_back(output_ / "metrics.csv");
        reel::write_file(outputs_.back(),
                         reel::concat_text(editing::csv_header, "\n", editing::csv_row("edit", insertion_), "\n",
                                           editing::csv_row("ceiling", known_.ceiling), "\n"));
        const double changed = metrics::Definitions{}.changed;
        outputs_.push_back(output_ / "details.png");
        reel::write_png(
            outputs_.back(),
            reel::contact_sheet(
                {clip_, known_.reconstruction, edits_.front(),
                 metrics::picture_of(metrics::changed_pixels(edits_.front(), known_.reconstruction, changed), clip_),
                 metrics::picture_of(drawn_->mask, clip_), drawn_->twin, known_.twin},
                1, 0));
    }

    [[nodiscard]] nlohmann::json scene_json() const {
        nlohmann::json scene = editing::as_json(*drawn_);
        scene["world_seed"] = options_.world_seed;
        return scene;
    }

    /// What happened, in the last lines of the screen.
    void conclude() {
        const auto line = [](const char* what, const metrics::Insertion& found) {
            std::printf("%-22s IoU %.2f, background %.1f dB, flicker %.2f, %.1f objects a frame\n", what, found.iou,
                        found.background_source, found.flicker, found.objects);
        };
        std::printf("\"%s\" became \"%s\"\n", config_.train_data.prompt.c_str(),
                    config_.validation_data.prompts.front().c_str());
        line("the edit:", insertion_);
        line("a perfect one would be:", known_.ceiling);
        const bool seen = insertion_.colour.has_value() && insertion_.iou >= 0.1;
        std::printf("rows of frames.png: the clip, the edit, what it should be, %s\n",
                    options_.masked() ? "where it may change (grey) and the true object (white)" : "the true object");
        std::printf("%s: %s, IoU %.2f, background %.1f dB: %s\n", seen ? "inserted" : "not inserted",
                    editing::object_name(*options_.scene).c_str(), insertion_.iou, insertion_.background_source,
                    (output_ / "frames.png").c_str());
    }

    void write() {
        const auto stage = stages_.start("write");
        write_clip("source", clip_);
        std::vector<reel::Frames> all{clip_};
        all.insert(all.end(), edits_.begin(), edits_.end());
        if (drawn_) {
            all.push_back(drawn_->twin);
            all.push_back(
                editing::mask_picture(places_.empty() ? std::vector<std::uint8_t>() : places_.front(), *drawn_));
            for (reel::Frames& frames : all) {
                frames = editing::enlarged(frames, 3);
            }
            write_comparison();
        }
        outputs_.push_back(output_ / "side_by_side.gif");
        reel::write_gif(outputs_.back(), reel::side_by_side(all), fps_);
        outputs_.push_back(output_ / "frames.png");
        reel::write_png(outputs_.back(), reel::contact_sheet(all, std::max(1, (clip_.count + 7) / 8)));
        if (options_.tuned.empty()) {
            outputs_.push_back(output_ / "losses.csv");
            log_.write(outputs_.back());
        }
        if (!options_.save_tuned.empty()) {
            model_->networks->save_tuned(config_.pretrained_model_path, options_.save_tuned);
        }
        recorder_.write();
    }

    /// Everything needed to repeat the run, and what it took.
    void write_manifest() {
        reel::Manifest manifest("insert_object");
        manifest.set_seed(config_.seed);
        nlohmann::json options = as_json(options_, cpu_.threads());
        if (options_.scene) {
            options["scene"] = scene_json();
        }
        manifest.set("options", options);
        manifest.set("sampler", nlohmann::json::parse(editing::sampler_json(*sampler_)));
        manifest.add_version("ffmpeg", av_version_info());
        if (!drawn_ && (!replay_ || replay_->video() == nullptr)) {
            manifest.add_input(config_.train_data.video_path);
        }
        for (const char* part : {"model_index.json", "tokenizer", "text_encoder", "vae", "scheduler"}) {
            manifest.add_input(std::filesystem::path(config_.pretrained_model_path) / part);
        }
        const std::filesystem::path unet = options_.tuned.empty() ? config_.pretrained_model_path : options_.tuned;
        manifest.add_input(unet / "unet");
        for (const std::string& file : {options_.config_file, options_.replay}) {
            if (!file.empty()) {
                manifest.add_input(file);
            }
        }
        for (const std::filesystem::path& path : outputs_) {
            manifest.add_output(path);
        }
        manifest.set_stages(stages_);
        manifest.write(output_ / "manifest.json");
        for (const reel::StageRecord& stage : stages_.stages()) {
            std::printf("%-12s %8.2f s  %8.1f MB\n", stage.name.c_str(), stage.seconds,
                        static_cast<double>(stage.peak_resident_bytes) / 1e6);
        }
        outputs_.push_back(output_ / "manifest.json");
    }

    Options options_;
    editing::ChooseSampler choose_;
    reel::TuneAVideoConfig& config_;
    std::filesystem::path output_;
    std::size_t mapped_ = 0; ///< bytes of weights that were looked at where they lie in files
    std::set<editing::Part> looked_at_;
    std::unique_ptr<editing::Device> device_; ///< or null
    Cpu cpu_;
    reel::Rehearsal* rehearsal_; ///< or null
    reel::StageTimer stages_;
    reel::TensorRecorder recorder_;
    std::optional<reel::Replay> replay_;
    reel::Frames clip_;
    double fps_ = 8;
    std::optional<editing::Model> model_;
    std::optional<editing::Sampler> sampler_;
    editing::LossLog log_;
    Tensor moments_;
    Tensor latents_;
    editing::Trajectory trajectory_;
    std::vector<std::vector<std::uint8_t>> places_; ///< of each edit, where it may change the clip
    std::vector<reel::Frames> edits_;
    reel::Frames unedited_; ///< the clip's latents as they are, decoded; for --overlay
    std::optional<world::Clip> drawn_;
    editing::Known known_;
    metrics::Insertion insertion_;
    std::vector<std::filesystem::path> outputs_;
};

} // namespace insertion
