#include "insertion.hpp"

#include "insertion_job.hpp"

namespace insertion {

int run(int argc, char** argv, const editing::ChooseSampler& choose) {
    return program::run("insert_object", [&] {
        Options options;
        reel::TuneAVideoConfig& config = options.config;
        options.config_file = program::config_argument(argc, argv);
        const bool from_file = !options.config_file.empty();
        config.mixed_precision = reel::MixedPrecision::no;
        const bool demonstration =
            !program::any_given(argc, argv, {"--config", "--video", "--prompt", "--edit", "--replay", "--help", "-h"});
        editing::Demonstration demo = editing::demonstration();
        if (from_file) {
            config = program::read_config(options.config_file);
        } else if (demonstration) {
            config = editing::demonstration_config(demo);
            config.output_dir = "out/insert_object";
            options.inverted_latents = "mean";
            options.inversion_prompt = "source";
            options.guidance_prompt = "source";
            options.mask = "delta";
            options.mask_settings = demo.mask;
            options.delta_settings = demo.delta;
            options.overlay = true;
        }
        config.seed = config.seed.value_or(33);
        config.validation_data.use_inv_latent = true;

        CLI::App app("Tunes Stable Diffusion on a clip and its prompt, inverts the clip, and samples it again with an\n"
                     "edited prompt. Writes source, edits, side-by-side, frame grid, losses, inverted latent and\n"
                     "manifest.json into the output folder. Options override --config and carry its keys' names.\n"
                     "Without --config, --video and prompts: edits a drawn clip of somebody who pretends, with the\n"
                     "model that comes with reel and settings for it, and measures what came out.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        app.add_option("--config", options.config_file, "YAML file with Tune-A-Video's keys");
        program::ConfigOptions shared(app, config, from_file || demonstration);
        std::vector<std::string> edits;
        app.add_option("--edit", edits, "what it shall show; repeatable [the config's prompts]");
        app.add_option("--seed", *config.seed, "of everything random")->check(program::not_negative);
        editing::add_backend_option(app, options.backend);
        app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
        app.add_option("--inverted_latents", options.inverted_latents,
                       "of the clip's distribution: the sample that tuning saw last, or the mean")
            ->check(CLI::IsMember({"sample", "mean"}));
        app.add_option("--inversion_prompt", options.inversion_prompt, "invert under no prompt, or under --prompt")
            ->check(CLI::IsMember({"empty", "source"}));
        app.add_option("--guidance_prompt", options.guidance_prompt,
                       "guide away from --negative_prompt, or from --prompt")
            ->check(CLI::IsMember({"negative", "source"}));
        app.add_option("--mask", options.mask,
                       "change all (none), or only where the prompts' noise predictions differ (difference), or\n"
                       "where a draft of the edit by delta denoising changes the clip (delta), which is also\n"
                       "what sampling then starts from")
            ->check(CLI::IsMember({"none", "difference", "delta"}));
        editing::add_mask_options(app, options.mask_settings);
        editing::add_delta_options(app, options.delta_settings);
        app.add_option("--overlay", options.overlay,
                       "lay what has changed over the clip: pixels that the edit leaves stay the clip's own, and not\n"
                       "what the autoencoder makes of them");
        app.add_option("--scheduler", options.scheduler,
                       "the sampler, by diffusers' class name or a short one [DDIMScheduler]");
        app.add_option("--scheduler_config", options.scheduler_config,
                       "scheduler_config.json, or a folder with one [the model's]");
        app.add_option("--start", options.start, "sample from what the clip inverts to, or from noise")
            ->check(CLI::IsMember({"inversion", "noise"}));
        app.add_option("--tuned", options.tuned, "a folder that was tuned before: only edit");
        app.add_option("--save_tuned", options.save_tuned, "folder for the tuned model, as Tune-A-Video saves it");
        app.add_option("--replay", options.replay, "safetensors file with all that is random");
        app.add_option("--save_tensors", options.save_tensors, "safetensors file for intermediate results");
        app.add_flag("--reference_checkpointing", options.reference_checkpointing,
                     "leave the down blocks untrained, as the reference's gradient checkpointing does");
        app.add_flag("--reference_inversion", options.reference_inversion,
                     "invert with the epsilon formula whatever the model predicts, as the reference does");
        plan::add_options(app, options.look_ahead);
        std::string act(world::name_of(demo.act));
        std::string colour(world::name_of(demo.colour));
        CLI::Option* const drawn[] = {
            app.add_option("--world_seed", demo.world_seed, "of the drawn clip")->check(program::not_negative),
            app.add_option("--act", act, "what is done in the drawn clip")->check(CLI::IsMember(editing::act_names())),
            app.add_option("--colour", colour, "of the object to insert there")
                ->check(CLI::IsMember(editing::colour_names()))};
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        for (const CLI::Option* option : drawn) {
            reel::require(demonstration || option->count() == 0, option->get_name(),
                          ": there is no drawn clip; leave --video, --config and the prompts away");
        }
        if (demonstration) {
            reel::require(config.train_data.width == config.train_data.height, "--width ", config.train_data.width,
                          " and --height ", config.train_data.height, ": drawn clips are square");
            options.world_seed = demo.world_seed;
            options.scene =
                world::random_scene(demo.world_seed, editing::value_of<world::Act>(editing::act_names(), act),
                                    editing::value_of<world::Colour>(editing::colour_names(), colour));
            config.train_data.prompt = world::caption(*options.scene, false);
            edits = {world::caption(*options.scene, true)};
            config.train_data.video_path = (std::filesystem::path(config.output_dir) / "pretending.mp4").string();
            if (config.pretrained_model_path.empty()) {
                config.pretrained_model_path = editing::own_model().string();
            }
        }
        if (!edits.empty()) {
            config.validation_data.prompts = edits;
        }
        shared.align_validation(true);
        program::validate_options(config);
        if (options.backend == "cpu") {
            program::warn_of_precision(config);
        }
        plan::require_cpu(options.look_ahead, options.backend);
        const auto given = [](const std::string& prompt) { return !prompt.empty(); };
        reel::require(given(config.train_data.prompt), "--prompt: expected a text, found an empty one");
        reel::require(!config.validation_data.prompts.empty(),
                      "no edited prompt: give --edit, or validation_data.prompts in --config");
        reel::require(std::ranges::all_of(config.validation_data.prompts, given),
                      "--edit: expected a text, found an empty one");
        if (options.drafted()) {
            check(options.delta_settings);
        }
        reel::require(
            !options.masked() || config.validation_data.num_inv_steps == config.validation_data.num_inference_steps,
            "--mask ", options.mask, ": --num_inv_steps is ", config.validation_data.num_inv_steps,
            " and --num_inference_steps ", config.validation_data.num_inference_steps,
            "; they must be equal, because outside the mask each sampling step takes the inversion's latents");
        reel::require(options.inverted() || !options.masked() || options.drafted() ||
                          options.mask_settings.noise != "inversion",
                      "--mask_noise inversion: with --start noise nothing is inverted; use --mask_noise draws");
        const auto rehearse = [&](const reel::TuneAVideoConfig& changed, reel::Rehearsal& rehearsal) {
            Options other = options;
            other.config = changed;
            if (!other.save_tensors.empty()) {
                other.save_tensors = changed.output_dir + "/tensors";
            }
            if (other.scene) {
                other.config.train_data.video_path = changed.output_dir + "/pretending.mp4";
            }
            return Job(std::move(other), choose, &rehearsal).rehearse();
        };
        const bool tunes = options.tuned.empty() && config.max_train_steps > 0;
        if (const auto status = plan::look_ahead(options.look_ahead, config, tunes, rehearse)) {
            return *status;
        }
        Job(std::move(options), choose).run();
        return 0;
    });
}

} // namespace insertion
