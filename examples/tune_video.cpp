// Tunes an inflated Stable Diffusion on one clip, as Tune-A-Video's train_tuneavideo.py does, from the same YAML file.

#include <chrono>
#include <random>
#include <set>

#include <reel/io/files/sha256.hpp>
#include <reel/pipelines/tune_config_file.hpp>

#include "support/config_options.hpp"
#include "support/editing.hpp"
#include "support/plan.hpp"
#include "support/tuning_identity.hpp"

namespace {

using editing::Cpu;
using editing::index_t;
using editing::Tensor;

struct Options {
    plan::Options look_ahead;
    std::string config_file;
    reel::TuneAVideoConfig config;
    std::string backend = "cpu"; ///< as editing::open_device() takes it
    int threads = 0;
    bool reference_checkpointing = false;
    bool reference_inversion = false;
};

/// What a checkpoint must agree with to be continued.
[[nodiscard]] nlohmann::json identity_of(const reel::TuneAVideoConfig& c, bool reference_checkpointing,
                                         const editing::Model& model, const reel::Frames& clip) {
    const bool constant = reel::option_text(c.lr_scheduler).starts_with("constant"); // others end at the last step
    nlohmann::json identity = editing::tuning_options_json(c, reference_checkpointing);
    identity.update({{"seed", *c.seed},
                     {"model", model.networks->fingerprint()},
                     {"prompt", c.train_data.prompt},
                     {"clip", reel::sha256_hex(std::as_bytes(std::span(clip.rgb)))},
                     {"clip_size", {clip.count, clip.height, clip.width}},
                     {"max_train_steps", constant ? nlohmann::json() : nlohmann::json(c.max_train_steps)}});
    return identity;
}

/// The folder to continue from, or nothing to start afresh.
[[nodiscard]] std::optional<std::filesystem::path> checkpoint_to_resume(const reel::TuneAVideoConfig& config) {
    if (!config.resume_from_checkpoint) {
        return std::nullopt;
    }
    const std::filesystem::path output = config.output_dir;
    if (*config.resume_from_checkpoint == "latest") {
        const auto latest = reel::latest_checkpoint(output);
        if (!latest) {
            std::cerr << "resume_from_checkpoint: no checkpoint in " << output.string() << " yet; starting afresh\n";
        }
        return latest;
    }
    // As in the reference: the last part of the path, in the output folder.
    const std::filesystem::path path = output / std::filesystem::path(*config.resume_from_checkpoint).filename();
    reel::require(std::filesystem::is_directory(path), "resume_from_checkpoint: ", path.string(),
                  " is not a folder; expected \"latest\" or the name of a checkpoint in ", output.string());
    return path;
}

/// Inverts the clip once and samples every validation prompt: samples/sample-N/PROMPT.gif, samples/sample-N.gif and
/// inv_latents/ddim_latent-N.pt.
void validate(Cpu& cpu, const editing::Model& model, const reel::TuneAVideoConfig& config, const Tensor& latents,
              index_t step, double fps, reel::InversionFormula formula) {
    const reel::TuneValidationData& options = config.validation_data;
    const std::filesystem::path output = config.output_dir;
    const std::string number = std::to_string(step);
    editing::Sampler sampler = editing::ddim_sampler(model, options.eta);
    Tensor start;
    if (options.use_inv_latent) {
        start =
            editing::invert(model, sampler, latents, "", options.num_inv_steps, formula, [](index_t, const Tensor&) {});
        reel::make_output_folder(output / "inv_latents");
        reel::write_torch_tensor(output / "inv_latents" / ("ddim_latent-" + number + ".pt"),
                                 reel::to_file(reel::to_reference_order(start, start.shape(0))));
    } else {
        const index_t scale = model.vae.config.pixels_per_latent();
        start = Tensor(
            cpu, {options.video_length, options.height / scale, options.width / scale, model.unet.config.in_channels});
        reel::fill_normal(cpu, start, *config.seed, std::uint64_t{1} << 41);
    }
    const std::filesystem::path folder = output / "samples" / ("sample-" + number);
    reel::make_output_folder(folder);
    std::vector<reel::Frames> clips;
    std::set<std::string> names;
    for (std::size_t i = 0; i < options.prompts.size(); ++i) {
        const std::string& prompt = options.prompts[i];
        const Tensor sampled = editing::sample(cpu, model, sampler, start, prompt, options.negative_prompt.value_or(""),
                                               options, *config.seed + i, [](index_t, const Tensor&) {});
        clips.push_back(editing::decode(model, sampled, fps));
        std::string name = editing::file_name_of(prompt);
        if (!names.insert(name).second) {
            name += "-" + std::to_string(i + 1); // prompts that differ in other characters only
        }
        reel::write_gif(folder / (name + ".gif"), clips.back(), fps);
    }
    if (!clips.empty()) {
        reel::write_gif(output / "samples" / ("sample-" + number + ".gif"), reel::make_grid(clips), fps);
    }
}

/// The run as plan::look_ahead() wants it, from its first step on, but for the checkpoints and the tuned model.
plan::Prediction rehearse(const Options& options, const reel::TuneAVideoConfig& config, reel::Rehearsal& rehearsal) {
    Cpu cpu(options.threads, &rehearsal);
    std::size_t mapped = 0;
    reel::StageTimer stages(plan::probe_of(cpu, rehearsal, mapped));
    const std::uint64_t seed = config.seed.value_or(0);
    reel::Frames clip;
    {
        const auto stage = stages.start("read clip");
        clip = editing::read_clip(config.train_data);
    }
    auto load = stages.start("load model");
    editing::Model model = editing::load_model(cpu, {.folder = config.pretrained_model_path,
                                                     .seed = seed,
                                                     .mixed_precision = reel::option_text(config.mixed_precision)});
    editing::check_prompts(model, config);
    load.done();
    auto encode = stages.start("encode clip");
    mapped += model.networks->mapped_bytes(editing::Part::encoder);
    const Tensor moments = editing::encode(cpu, model, clip);
    encode.done();
    auto tune = stages.start("tune");
    mapped += model.networks->mapped_bytes(editing::Part::text_layers);
    mapped += model.networks->mapped_bytes(editing::Part::unet);
    const Tensor text = editing::encode_prompt(model, config.train_data.prompt);
    editing::prepare_training(model, config, options.reference_checkpointing);
    const auto tuner = model.networks->tune(moments, text, editing::tune_options(config));
    const auto draw = [&](index_t i) {
        return reel::training_noise<float>(cpu, tuner->latent_shape(), seed, i,
                                           model.training_scheduler.schedule().size());
    };
    rehearsal.repeat(config.max_train_steps, [&] {
        (void)tuner->update(draw);
        program::check_stop();
    });
    tune.done();
    if (const index_t times = config.max_train_steps / config.validation_steps; times > 0) {
        const auto stage = stages.start("sample");
        mapped += model.networks->mapped_bytes(editing::Part::decoder);
        rehearsal.repeat(times, [&] {
            validate(cpu, model, config, tuner->latents(), config.validation_steps, clip.fps > 0 ? clip.fps : 8,
                     reel::InversionFormula::exact);
        });
    }
    return {stages.stages(), stages.total()};
}

int tune(const Options& options) {
    const auto device = editing::open_device(options.backend);
    reel::TuneAVideoConfig config = options.config;
    if (!config.seed) {
        config.seed = std::random_device{}();
        std::cerr << "seed: none given, using " << *config.seed << '\n';
    }
    const std::filesystem::path output = config.output_dir;
    reel::require_other_folder(output, config.pretrained_model_path);
    reel::make_output_folder(output);

    const reel::Frames clip = editing::read_clip(config.train_data);
    const double fps = clip.fps > 0 ? clip.fps : 8;
    Cpu cpu(options.threads);
    editing::Model model = editing::load_model(cpu, {.folder = config.pretrained_model_path,
                                                     .seed = *config.seed,
                                                     .mixed_precision = reel::option_text(config.mixed_precision),
                                                     .device = device.get()});
    editing::check_prompts(model, config);
    if (config.validation_steps <= config.max_train_steps) {
        editing::check_steps(editing::ddim_sampler(model), config.validation_data);
    }
    reel::write_tune_config(output / "config.yaml", config);

    const Tensor moments = editing::encode(cpu, model, clip);
    const Tensor text = editing::encode_prompt(model, config.train_data.prompt);
    editing::prepare_training(model, config, options.reference_checkpointing);
    const auto tuner = model.networks->tune(moments, text, editing::tune_options(config));
    const reel::CheckpointIdentity identity{identity_of(config, options.reference_checkpointing, model, clip)};
    editing::LossLog log;
    if (const auto checkpoint = checkpoint_to_resume(config)) {
        tuner->load_checkpoint(*checkpoint, identity);
        log.resume(output / "losses.csv", tuner->step_count());
        std::cerr << "continuing from " << checkpoint->string() << " at step " << tuner->step_count() << '\n';
    }

    const auto formula =
        options.reference_inversion ? reel::InversionFormula::reference : reel::InversionFormula::exact;
    const auto draw = [&](index_t i) {
        return reel::training_noise<float>(cpu, tuner->latent_shape(), *config.seed, i,
                                           model.training_scheduler.schedule().size());
    };
    {
        reel::Progress bar(
            "tune", static_cast<std::size_t>(std::max<index_t>(config.max_train_steps - tuner->step_count(), 0)));
        while (tuner->step_count() < config.max_train_steps) {
            const auto start = std::chrono::steady_clock::now();
            const reel::TuneReport report = tuner->update(draw);
            log.add(report, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
            bar.note(reel::concat_text("loss ", report.loss));
            bar.step();
            if (report.step % config.checkpointing_steps == 0) {
                log.write(output / "losses.csv"); // first, so that a run that continues here finds its past
                tuner->save_checkpoint(output, identity);
            }
            if (report.step % config.validation_steps == 0) {
                validate(cpu, model, config, tuner->latents(), report.step, fps, formula);
            }
            program::check_stop();
        }
    }
    log.write(output / "losses.csv");
    model.networks->save_tuned(config.pretrained_model_path, output);
    std::cout << "tuned: " << output.string() << " (" << tuner->step_count() << " steps";
    if (!log.rows().empty()) {
        std::cout << ", last loss " << log.rows().back().first.loss;
    }
    std::cout << ")\n";
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    return program::run("tune_video", [&] {
        Options options;
        reel::TuneAVideoConfig& config = options.config;
        options.config_file = program::config_argument(argc, argv);
        if (!options.config_file.empty()) {
            config = program::read_config(options.config_file);
        }
        std::string resume = config.resume_from_checkpoint.value_or("");
        std::uint64_t seed = config.seed.value_or(0);

        CLI::App app(
            "Tunes Stable Diffusion on one clip and its prompt (Tune-A-Video), from Tune-A-Video's YAML file.\n"
            "Writes into the configuration's output_dir: the tuned diffusers folder, losses.csv, config.yaml,\n"
            "checkpoint-N/, samples/ and inv_latents/. Options override the file and carry its keys' names.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        app.add_option("--config", options.config_file, "YAML file with Tune-A-Video's keys")->required();
        program::ConfigOptions shared(app, config, true);
        app.add_option("--validation_steps", config.validation_steps, "sample after every so many steps");
        app.add_option("--checkpointing_steps", config.checkpointing_steps, "checkpoint after every so many steps");
        app.add_option("--resume_from_checkpoint", resume, "latest, or a checkpoint's name; \"\": start afresh");
        const CLI::Option* seed_option =
            app.add_option("--seed", seed, "of everything random")->check(program::not_negative);
        editing::add_backend_option(app, options.backend);
        app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
        plan::add_options(app, options.look_ahead);
        app.add_flag("--reference_checkpointing", options.reference_checkpointing,
                     "leave the down blocks untrained, as the reference's gradient checkpointing does");
        app.add_flag("--reference_inversion", options.reference_inversion,
                     "invert with the epsilon formula whatever the model predicts, as the reference does");
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        if (seed_option->count() > 0) {
            config.seed = seed;
        }
        config.resume_from_checkpoint = resume.empty() ? std::nullopt : std::optional(resume);
        shared.align_validation(false);
        program::validate_options(config);
        if (options.backend == "cpu") {
            program::warn_of_precision(config);
        }
        plan::require_cpu(options.look_ahead, options.backend);
        const auto rehearsed = [&](const reel::TuneAVideoConfig& changed, reel::Rehearsal& rehearsal) {
            return rehearse(options, changed, rehearsal);
        };
        if (const auto status = plan::look_ahead(options.look_ahead, config, true, rehearsed)) {
            return *status;
        }
        return tune(options);
    });
}
