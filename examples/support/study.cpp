#include "study_work.hpp"

#include <map>

#include <reel/core/version.hpp>
#include <reel/io/manifest.hpp>
#include <reel/io/tensorboard.hpp>
#include <reel/metrics/clip_similarity.hpp>
#include <reel/metrics/edit_measures.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "demonstration.hpp"
#include "study_lock.hpp"
#include "study_losses.hpp"
#include "study_pictures.hpp"

namespace study {

using editing::Cpu;
using editing::index_t;
using editing::Tensor;
using editing::Trajectory;
using AnySampler = reel::AnyScheduler<float>;

std::pair<std::string, std::string> captions_of(const Drawn& drawn) {
    const world::Scene scene =
        world::random_scene(drawn.world_seed, editing::value_of<world::Act>(editing::act_names(), drawn.act),
                            editing::value_of<world::Colour>(editing::colour_names(), drawn.colour));
    return {world::caption(scene, false), world::caption(scene, true)};
}

namespace {

constexpr int picture_side = 160; ///< of the frames in sheets and small clips

/// A number for a JSON file, which has neither infinity (equal clips) nor NaN (nothing to measure).
nlohmann::json number(double value) {
    return std::isnan(value) ? nlohmann::json() : std::isinf(value) ? nlohmann::json("inf") : nlohmann::json(value);
}

/// What it took, for those who want to know. Differs from run to run, and is no part of the results.
void write_record(const std::filesystem::path& folder, double seconds, int threads) {
    reel::write_json(folder / "record.json", {{"finished", reel::utc_time()},
                                              {"host", detail::this_process().host},
                                              {"seconds", seconds},
                                              {"threads", threads},
                                              {"reel", reel::version}});
}

void write_trajectory(const std::filesystem::path& path, const Trajectory& trajectory, bool all) {
    reel::StateDict tensors;
    for (std::size_t i = 0; i < trajectory.latents.size(); ++i) {
        if (all || i == 0 || i + 1 == trajectory.latents.size()) {
            tensors.emplace("latents." + std::to_string(i), reel::to_file(trajectory.latents[i]));
        }
    }
    reel::write_safetensors(path, tensors);
}

/// Steps that were not kept are undefined tensors.
Trajectory read_trajectory(Cpu& cpu, const std::filesystem::path& path, const nlohmann::json& about) {
    const reel::StateDict tensors = reel::read_safetensors(path);
    Trajectory trajectory;
    trajectory.timesteps = about.at("timesteps").get<std::vector<double>>();
    trajectory.latents.resize(trajectory.timesteps.size() + 1);
    for (const auto& [name, tensor] : tensors) {
        const std::size_t at = std::stoul(name.substr(name.find('.') + 1));
        trajectory.latents.at(at) = reel::from_file<float>(cpu, tensor, path.string() + ": " + name);
    }
    return trajectory;
}

void remove_temporaries(const std::filesystem::path& folder, const std::string& beginning) {
    std::error_code ignored;
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        if (entry.path().filename().string().starts_with(beginning)) {
            found.push_back(entry.path());
        }
    }
    for (const auto& path : found) {
        std::filesystem::remove_all(path, ignored);
    }
}

} // namespace

class Workshop::Work {
public:
    Work(WorkSettings settings, Folders folders)
        : settings_(std::move(settings)), folders_(std::move(folders)), cpu_(settings_.threads) {
        if (settings_.model.empty()) {
            settings_.model = editing::own_model();
        }
        const std::filesystem::path file = settings_.model / "scheduler" / "scheduler_config.json";
        model_.emplace(editing::load_model(cpu_, settings_.model, settings_.seed));
        where_ = file.string();
        scheduler_json_ = reel::stable_diffusion_fixes(reel::read_scheduler_json(file));
        fingerprint_ = editing::fingerprint(*model_);
        if (!settings_.clip_model.empty()) {
            scorer_.emplace(reel::metrics::ClipScorer<float>::load(cpu_, settings_.clip_model));
        }
    }

    [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

    [[nodiscard]] std::string scorer() const {
        const auto name = settings_.clip_model.filename();
        return !scorer_ ? "" : name.empty() ? settings_.clip_model.parent_path().filename().string() : name.string();
    }

    void check(const Study& study) {
        std::set<std::string> prompts;
        std::set<std::string> samplers;
        for (const Cell& cell : study.cells) {
            for (const auto& [key, text] : {std::pair{"prompt", cell.prompt}, std::pair{"caption", cell.caption}}) {
                if (prompts.insert(text).second) {
                    editing::check_prompt(*model_, key, text);
                }
            }
            if (samplers.insert(cell.sampler.name).second) {
                static_cast<void>(sampler_named(cell.sampler));
            }
        }
    }

    void tune(const Tuning& tuning, const Tick& tick) {
        const reel::Stopwatch watch;
        const std::filesystem::path folder = folders_.tuning(tuning);
        const Cell& cell = tuning.cell;
        const int steps = cell.options.config.max_train_steps;
        reel::make_output_folder(folder);
        open(tuning);
        if (steps > 0 && !std::filesystem::exists(folder / "trained.safetensors")) {
            train(tuning, folder, tick);
        }
        // Only now: a run that is killed while it removes them finds the trained parameters, and needs none.
        remove_temporaries(folder, "checkpoint-");
        remove_temporaries(folder, ".");
        tick();
        reel::write_gif(folder / "source.gif", source_, fps());
        reel::write_mp4(folder / "source.mp4", source_, fps());
        const reel::Frames small = fitted(source_, picture_side);
        reel::write_gif(folder / "thumbnail.gif", small, fps());
        reel::write_png(folder / "frames.png", captioned_sheet({{some_frames(small, 8), cell.prompt},
                                                                {some_frames(fitted(reconstruction_, picture_side), 8),
                                                                 "the same through the autoencoder"}}));
        const auto losses = steps > 0 ? read_losses(folder / "losses.csv") : std::vector<Loss>();
        write_record(folder, watch.seconds(), cpu_.threads());
        reel::write_json(folder / "tuning.json",
                         {{"options", tuning.key},
                          {"frames", source_.count},
                          {"fps", fps()},
                          {"tuning_loss", number(final_loss(losses))},
                          {"autoencoder_psnr", number(reel::metrics::psnr(reconstruction_, source_))}});
    }

    void invert(const Plan& plan, const Inversion& inversion, const Tick& tick) {
        const reel::Stopwatch watch;
        const Tuning& tuning = plan.tunings[inversion.tuning];
        const Options& options = inversion.cell.options;
        const std::filesystem::path folder = folders_.inversion(inversion);
        activate(tuning);
        open(tuning);
        Trajectory trajectory{{clean_latents(tuning.cell)}, {}};
        nlohmann::json psnr;
        reel::make_output_folder(folder);
        remove_temporaries(folder, ".");
        if (options.inverted()) {
            AnySampler sampler = sampler_of(inversion.cell.sampler, options);
            trajectory = inverted(inversion, sampler, trajectory.latents.front(), tick);
            reel::TuneValidationData plain = options.config.validation_data;
            plain.num_inference_steps = plain.num_inv_steps;
            plain.guidance_scale = 0;
            const Tensor sampled =
                editing::sample(cpu_, *model_, sampler, trajectory.latents.back(), tuning.cell.prompt, "", plain, 0,
                                [&](index_t, const Tensor&) { tick(); });
            const reel::Frames again = decoded(sampled, tick);
            psnr = number(reel::metrics::psnr(again, source_));
            reel::write_gif(folder / "reconstruction.gif", again, fps());
            reel::write_gif(folder / "thumbnail.gif", fitted(again, picture_side), fps());
        }
        tick();
        write_trajectory(folder / "inverted.safetensors", trajectory, inversion.keeps_all);
        write_record(folder, watch.seconds(), cpu_.threads());
        reel::write_json(folder / "inversion.json", {{"options", inversion.key},
                                                     {"timesteps", trajectory.timesteps},
                                                     {"keeps_all", inversion.keeps_all},
                                                     {"inversion_psnr", psnr}});
    }

    void edit(const Plan& plan, const Edit& edit, const Tick& tick) {
        const reel::Stopwatch watch;
        const Inversion& inversion = plan.inversions[edit.inversion];
        const Tuning& tuning = plan.tunings[inversion.tuning];
        const Cell& cell = edit.cell;
        const std::filesystem::path done = folders_.edit(edit);
        open(tuning);
        reel::make_output_folder(done.parent_path());
        remove_temporaries(done.parent_path(), "." + edit.name + ".");
        if (std::filesystem::exists(done / "metrics.json")) {
            add_scores(cell, done, tick);
            return;
        }
        activate(tuning);
        const nlohmann::json about = reel::read_json(folders_.inversion(inversion) / "inversion.json");
        const Trajectory trajectory =
            read_trajectory(cpu_, folders_.inversion(inversion) / "inverted.safetensors", about);
        Tensor mask;
        const Tensor latents = sampled(edit, trajectory, mask, tick);
        const reel::Frames result = decoded(latents, tick);

        reel::AtomicFolder folder(done);
        reel::write_safetensors(folder.path() / "latents.safetensors", {{"latents", reel::to_file(latents)}});
        write_pictures(folder.path(), cell, result);
        if (mask.defined()) {
            reel::write_gif(folder.path() / "mask.gif",
                            metrics::picture_of(editing::marks_of(mask, source_.height, source_.width), source_),
                            fps());
        }
        reel::write_json(folder.path() / "options.json", options_of(cell, settings_.seed));
        nlohmann::json measures = measured(result);
        measures["tuning_loss"] = reel::read_json(folders_.tuning(tuning) / "tuning.json").at("tuning_loss");
        measures["inversion_psnr"] = about.at("inversion_psnr");
        score(cell, result, measures);
        write_record(folder.path(), watch.seconds(), cpu_.threads());
        reel::write_json(folder.path() / "metrics.json", measures);
        tick();
        folder.commit();
        std::error_code ignored;
        std::filesystem::remove(folders_.preview(edit.name), ignored);
    }

    [[nodiscard]] bool is_tuned(const Tuning& tuning) const {
        return std::filesystem::exists(folders_.tuning(tuning) / "tuning.json");
    }
    [[nodiscard]] bool is_inverted(const Inversion& inversion) const {
        const std::filesystem::path file = folders_.inversion(inversion) / "inversion.json";
        return std::filesystem::exists(file) &&
               (!inversion.keeps_all || reel::read_json(file).at("keeps_all").get<bool>());
    }
    [[nodiscard]] bool is_edited(const Edit& edit) const {
        const std::filesystem::path file = folders_.edit(edit) / "metrics.json";
        return std::filesystem::exists(file) && (!scorer_ || reel::read_json(file).value("clip_model", "") == scorer());
    }

private:
    [[nodiscard]] double fps() const { return source_.fps > 0 ? source_.fps : 8; }

    [[nodiscard]] AnySampler sampler_named(const Sampler& sampler) const {
        nlohmann::json config = scheduler_json_;
        config.update(sampler.config);
        return reel::make_scheduler<float>(sampler.scheduler, config,
                                           where_ + " with the config of sampler \"" + sampler.name + "\"",
                                           "sampler \"" + sampler.name + "\"");
    }

    /// The same, stopping at the levels that its inversion visits where it starts from that.
    [[nodiscard]] AnySampler sampler_of(const Sampler& sampler, const Options& options) const {
        const AnySampler named = sampler_named(sampler);
        const bool invertible = named.as<reel::DDIMScheduler>() != nullptr ||
                                named.as<reel::DPMSolverMultistepScheduler<float, Cpu>>() != nullptr;
        reel::require(!options.inverted() || invertible, named.name(), " cannot start from an inverted clip: no ",
                      "inversion undoes its steps; take ddim or dpm++_2m, or set start: noise");
        return options.inverted() ? editing::with_levels_of_inversion(named) : named;
    }

    [[nodiscard]] Tensor text_of(const std::string& prompt) const { return editing::encode_prompt(*model_, prompt); }

    /// Puts a tuning's clip in hand.
    void open(const Tuning& tuning) {
        if (opened_ == tuning.name) {
            return;
        }
        opened_.clear();
        motion_.reset();
        drawn_.reset();
        const Cell& cell = tuning.cell;
        reel::TuneTrainData data = cell.options.config.train_data;
        if (cell.drawn) {
            const auto act = editing::value_of<world::Act>(editing::act_names(), cell.drawn->act);
            const auto colour = editing::value_of<world::Colour>(editing::colour_names(), cell.drawn->colour);
            drawn_ = world::draw_clip(world::random_scene(cell.drawn->world_seed, act, colour), data.n_sample_frames,
                                      data.width, editing::demonstration().fps);
            source_ = drawn_->pretending;
        } else {
            data.video_path = cell.video.string();
            source_ = editing::read_clip(data);
        }
        moments_ = editing::encode(cpu_, *model_, source_);
        reconstruction_ = editing::reconstruct(*model_, moments_, fps());
        opened_ = tuning.name;
    }

    /// Makes the model that a tuning led to, or with nothing the original.
    void activate(const Tuning& tuning) {
        if (active_ == tuning.name) {
            return;
        }
        restore();
        if (tuning.cell.options.config.max_train_steps > 0) {
            // Always from the file, so that the process that tuned computes with what all others have.
            const std::filesystem::path file = folders_.tuning(tuning) / "trained.safetensors";
            const reel::StateDict trained = reel::read_safetensors(file);
            std::size_t used = 0;
            reel::for_each_parameter(model_->unet, [&](const std::string& name, auto& parameter) {
                if (const auto found = trained.find(name); found != trained.end()) {
                    originals_.try_emplace(name, parameter.value());
                    parameter.set(
                        reel::tensor_from_file<float>(found->second, parameter.spec(), cpu_, name, file.string())
                            .clone());
                    ++used;
                }
            });
            reel::require(used == trained.size(), file.string(), ": does not fit the model");
        }
        active_ = tuning.name;
    }

    void restore() {
        active_.clear();
        reel::for_each_parameter(model_->unet, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                parameter.train(false);
            }
            if (const auto found = originals_.find(name); found != originals_.end()) {
                parameter.set(found->second);
            }
        });
    }

    /// The result goes to trained.safetensors; checkpoints are made on the way, of which the last is kept.
    void train(const Tuning& tuning, const std::filesystem::path& folder, const Tick& tick) {
        const Cell& cell = tuning.cell;
        const reel::TuneAVideoConfig& config = cell.options.config;
        restore();
        editing::prepare_training(*model_, config, cell.options.reference_checkpointing);
        reel::for_each_parameter(model_->unet, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                originals_.try_emplace(name, parameter.value());
                parameter.set(parameter.value().clone());
            }
        });
        reel::Tuner<float, Cpu> tuner(model_->unet, model_->training_scheduler, moments_, text_of(cell.prompt),
                                      model_->vae.config.scaling_factor, editing::tune_options(config));
        const reel::CheckpointIdentity identity{tuning.key};
        std::vector<Loss> losses;
        remove_temporaries(folder, ".");
        if (const auto checkpoint = reel::latest_checkpoint(folder)) {
            reel::load_checkpoint(tuner, model_->unet, cpu_, *checkpoint, identity);
            losses = read_losses(folder / "losses.csv", tuner.step_count());
            std::cerr << tuning.name << ": goes on at step " << tuner.step_count() << '\n';
        }
        reel::TensorBoardWriter board(folder / "tensorboard", tuner.step_count() > 0
                                                                  ? std::optional<std::int64_t>(tuner.step_count() + 1)
                                                                  : std::nullopt);
        reel::Progress bar("tune", static_cast<std::size_t>(config.max_train_steps));
        bar.skip(static_cast<std::size_t>(tuner.step_count()));
        while (tuner.step_count() < config.max_train_steps) {
            const reel::TuneReport report =
                editing::update(tuner, [&](index_t i) { return noise_of(cell, tuner.latent_shape(), i); });
            losses.push_back({report.step, report.loss, report.grad_norm, report.learning_rate});
            board.scalars({{"train/loss", report.loss},
                           {"train/grad_norm", report.grad_norm},
                           {"train/learning_rate", report.learning_rate}},
                          report.step);
            bar.note(reel::concat_text("loss ", report.loss));
            bar.step();
            tick();
            if (report.step % config.checkpointing_steps == 0 && report.step < config.max_train_steps) {
                write_losses(folder / "losses.csv", losses); // first: who continues there finds its past
                reel::save_checkpoint(tuner, model_->unet, folder, identity);
                remove_older_checkpoints(folder, report.step);
            }
            if (wants_preview(report.step)) {
                preview_tuning(tuning, tick);
            }
        }
        write_losses(folder / "losses.csv", losses);
        reel::StateDict trained;
        reel::for_each_parameter(model_->unet, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                trained.emplace(name, reel::to_file_tensor(parameter.value(), parameter.spec(), reel::DType::f32));
            }
        });
        reel::write_safetensors(folder / "trained.safetensors", trained);
        restore();
        std::error_code ignored;
        std::filesystem::remove(folders_.preview(tuning.name), ignored);
    }

    static void remove_older_checkpoints(const std::filesystem::path& folder, index_t newest) {
        std::error_code ignored;
        std::vector<std::filesystem::path> older;
        for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with("checkpoint-") && name != "checkpoint-" + std::to_string(newest)) {
                older.push_back(entry.path());
            }
        }
        for (const auto& path : older) {
            std::filesystem::remove_all(path, ignored);
        }
    }

    [[nodiscard]] reel::TrainingNoise<float, Cpu> noise_of(const Cell& cell, const reel::Shape& shape, index_t draw) {
        return reel::training_noise<float>(cpu_, shape, cell.options.tuning_seed.value_or(settings_.seed), draw,
                                           model_->training_scheduler.schedule().size());
    }

    /// The clip's latents that are inverted: the mean, or as insert_object the sample that tuning saw last.
    [[nodiscard]] Tensor clean_latents(const Cell& cell) {
        if (cell.options.inverted_latents == "mean") {
            return editing::mean_latents(*model_, moments_);
        }
        const reel::TuneAVideoConfig& c = cell.options.config;
        const index_t draws = index_t{c.max_train_steps} * c.gradient_accumulation_steps;
        const auto random =
            noise_of(cell, moments_.shape().with(3, moments_.shape(3) / 2), std::max<index_t>(draws - 1, 0));
        return reel::sample_latents(moments_, random.posterior, model_->vae.config.scaling_factor);
    }

    [[nodiscard]] Trajectory inverted(const Inversion& inversion, const AnySampler& sampler, const Tensor& latents,
                                      const Tick& tick) {
        const Options& options = inversion.cell.options;
        const std::string text = options.inversion_prompt == "source" ? inversion.cell.prompt : "";
        return editing::invert_trajectory(*model_, sampler, latents, text, options.config.validation_data.num_inv_steps,
                                          options.reference_inversion ? reel::InversionFormula::reference
                                                                      : reel::InversionFormula::exact,
                                          [&](index_t k, const Tensor& x) {
                                              tick();
                                              preview(inversion.name, k, x);
                                          });
    }

    /// The edit's latents. `mask` is set where there is one.
    [[nodiscard]] Tensor sampled(const Edit& edit, const Trajectory& inverted, Tensor& mask, const Tick& tick) {
        const Cell& cell = edit.cell;
        const Options& options = cell.options;
        const reel::TuneValidationData& v = options.config.validation_data;
        const int steps = v.num_inference_steps;
        const Tensor& clean = inverted.latents.front();
        AnySampler sampler = sampler_of(cell.sampler, options);
        sampler.set_eta(v.eta);
        sampler.set_timesteps(steps); // init_noise_sigma() depends on them
        editing::Draft draft;
        draft.start = options.inverted() ? inverted.latents.back()
                                         : reel::scale(editing::noise_like(cpu_, clean, cell.seed),
                                                       static_cast<float>(sampler.init_noise_sigma()));
        Trajectory outside;
        if (options.masked()) {
            outside = options.inverted()
                          ? inverted
                          : editing::noised_trajectory(cpu_, sampler, clean, steps, cell.seed, options.drafted());
            const editing::MaskSettings settings = mask_settings(options.mask);
            if (options.drafted()) {
                draft = editing::delta_draft(cpu_, *model_, sampler, clean, cell.prompt, cell.caption,
                                             draft_settings(options.draft), settings.options, steps, cell.seed);
            } else {
                draft.mask = editing::difference_mask(*model_, outside, cell.prompt, cell.caption, settings, cell.seed);
            }
            mask = draft.mask;
        }
        const std::string away = options.guidance_prompt == "source" ? cell.prompt : v.negative_prompt.value_or("");
        const editing::Outside kept{outside, draft.mask, draft.skipped};
        return editing::sample(
            cpu_, *model_, sampler, draft.start, cell.caption, away, v, cell.seed,
            [&](index_t k, const Tensor& x) {
                tick();
                preview(edit.name, k, x);
            },
            options.masked() ? &kept : nullptr);
    }

    [[nodiscard]] static editing::DeltaSettings draft_settings(const DraftChoice& draft) {
        return {.delta = {.steps = draft.steps,
                          .step_size = draft.step_size,
                          .weakest = draft.weakest,
                          .strongest = draft.strongest,
                          .guidance_scale = draft.guidance_scale},
                .strength = draft.strength};
    }

    [[nodiscard]] static editing::MaskSettings mask_settings(const MaskChoice& mask) {
        return {.options = {.threshold = mask.threshold,
                            .quantile = mask.quantile,
                            .per_frame = mask.per_frame,
                            .smooth = mask.smooth,
                            .dilate = mask.dilate,
                            .regions = mask.regions},
                .noise = mask.noise,
                .strengths = mask.strengths,
                .draws = mask.draws};
    }

    [[nodiscard]] reel::Frames decoded(const Tensor& latents, const Tick& tick) {
        const Tensor unit = reel::decode_clip(model_->vae, latents, tick);
        return reel::to_frames_u8(unit.to_host(), static_cast<int>(unit.shape(0)), static_cast<int>(unit.shape(1)),
                                  static_cast<int>(unit.shape(2)), fps());
    }

    void write_pictures(const std::filesystem::path& folder, const Cell& cell, const reel::Frames& result) const {
        reel::write_gif(folder / "edit.gif", result, fps());
        reel::write_mp4(folder / "edit.mp4", result, fps());
        reel::write_gif(folder / "side_by_side.gif", reel::side_by_side({source_, result}), fps());
        const reel::Frames before = fitted(source_, picture_side);
        const reel::Frames after = fitted(result, picture_side);
        reel::write_gif(folder / "thumbnail.gif", reel::side_by_side({before, after}), fps());
        reel::write_png(folder / "frames.png", captioned_sheet({{some_frames(before, 8), cell.prompt},
                                                                {some_frames(after, 8), cell.caption}}));
    }

    [[nodiscard]] nlohmann::json measured(const reel::Frames& result) {
        if (!motion_) {
            motion_ = reel::metrics::motion_of(source_);
        }
        nlohmann::json json;
        for (const auto& [name, value] :
             reel::metrics::named_measures(reel::metrics::measure_edit(result, reconstruction_, *motion_))) {
            json[std::string(name)] = number(value);
        }
        json["autoencoder_psnr"] = number(reel::metrics::psnr(reconstruction_, source_));
        if (drawn_) { // the true object is known
            const metrics::Insertion found = editing::measure(result, *drawn_, source_, reconstruction_);
            json["object_iou"] = number(found.iou);
            json["object_count"] = number(found.objects);
        }
        return json;
    }

    void score(const Cell& cell, const reel::Frames& result, nlohmann::json& measures) const {
        if (scorer_) {
            const reel::metrics::ClipMeasures scores = scorer_->measure(result, cell.caption);
            measures["clip_model"] = scorer();
            measures["clip_frames"] = number(100 * scores.pairs);
            measures["clip_neighbours"] = number(100 * scores.neighbours);
            measures["clip_text"] = number(scores.text);
        }
    }

    /// CLIP's measures of an edit that was made without.
    void add_scores(const Cell& cell, const std::filesystem::path& folder, const Tick& tick) {
        const reel::StateDict saved = reel::read_safetensors(folder / "latents.safetensors");
        const auto latents = saved.find("latents");
        reel::require(latents != saved.end(), (folder / "latents.safetensors").string(), ": \"latents\" is missing");
        nlohmann::json measures = reel::read_json(folder / "metrics.json");
        score(cell, decoded(reel::from_file<float>(cpu_, latents->second, folder.string()), tick), measures);
        reel::write_json(folder / "metrics.json", measures);
    }

    [[nodiscard]] bool wants_preview(index_t step) const {
        return settings_.preview_every > 0 && step > 0 && step % settings_.preview_every == 0;
    }

    /// A few frames of the present latents, decoded as if they were clean.
    void preview(const std::string& name, index_t step, const Tensor& latents) {
        if (!wants_preview(step)) {
            return;
        }
        reel::make_output_folder(folders_.root / "previews");
        const index_t count = std::min<index_t>(latents.shape(0), 4);
        const reel::Frames frames = decoded(latents.slice(0, count), [] {});
        reel::write_gif(folders_.preview(name), fitted(frames, 128), fps());
    }

    /// What the model makes of the clip's prompt so far, in few steps from noise.
    void preview_tuning(const Tuning& tuning, const Tick& tick) {
        AnySampler sampler = editing::ddim_sampler(*model_);
        const Tensor mean = editing::mean_latents(*model_, moments_);
        reel::TuneValidationData quick;
        quick.num_inference_steps = 10;
        quick.guidance_scale = 0;
        const Tensor shown = editing::sample(cpu_, *model_, sampler, editing::noise_like(cpu_, mean, settings_.seed),
                                             tuning.cell.prompt, "", quick, 0, [&](index_t, const Tensor&) { tick(); });
        preview(tuning.name, settings_.preview_every, shown);
    }

    WorkSettings settings_;
    Folders folders_;
    Cpu cpu_;
    std::optional<editing::Model> model_;
    std::string where_;
    nlohmann::json scheduler_json_;
    std::string fingerprint_;
    std::optional<reel::metrics::ClipScorer<float>> scorer_;
    std::map<std::string, Tensor> originals_; ///< of the parameters that some tuning has changed
    std::string active_;                      ///< whose parameters the model has; "": the original's, or none's
    std::string opened_;                      ///< whose clip the following are
    reel::Frames source_;
    std::optional<world::Clip> drawn_;
    Tensor moments_;
    reel::Frames reconstruction_;
    std::optional<reel::metrics::Motion> motion_;
};

Workshop::Workshop(WorkSettings settings, Folders folders)
    : work_(std::make_unique<Work>(std::move(settings), std::move(folders))) {}
Workshop::~Workshop() = default;

const std::string& Workshop::fingerprint() const {
    return work_->fingerprint();
}
std::string Workshop::scorer() const {
    return work_->scorer();
}
void Workshop::check(const Study& study) {
    work_->check(study);
}
void Workshop::tune(const Tuning& tuning, const Tick& tick) {
    work_->tune(tuning, tick);
}
void Workshop::invert(const Plan& plan, const Inversion& inversion, const Tick& tick) {
    work_->invert(plan, inversion, tick);
}
void Workshop::edit(const Plan& plan, const Edit& edit, const Tick& tick) {
    work_->edit(plan, edit, tick);
}
bool Workshop::is_tuned(const Tuning& tuning) const {
    return work_->is_tuned(tuning);
}
bool Workshop::is_inverted(const Inversion& inversion) const {
    return work_->is_inverted(inversion);
}
bool Workshop::is_edited(const Edit& edit) const {
    return work_->is_edited(edit);
}

} // namespace study
