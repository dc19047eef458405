// Tunes an inflated Stable Diffusion on one clip, as Tune-A-Video's train_tuneavideo.py does, from the same YAML file.

#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/tune_clip.hpp>
#include <reel/pipelines/tune_video_options.hpp>

#include "ranks.hpp"

using namespace reel;

namespace {

/// Inverts the clip once and samples every validation prompt: samples/sample-N/PROMPT.gif, samples/sample-N.gif and
/// inv_latents/ddim_latent-N.pt.
void validate(Job& job, const TuneVideoOptions& o, const AnyPipeline& model, const AnyTensor& latents, index_t step,
              const ClipTimes& times) {
    const TuneValidationData& v = o.config.validation_data;
    const std::filesystem::path output = o.config.output_dir;
    const std::string number = std::to_string(step);
    EditRequest request{ddim_sampler(model.facts(), v.eta), v, {.reference = o.reference}, "", *o.config.seed};
    AnyPlace place;
    if (v.use_inv_latent) {
        place.start = model.start_edit(request, latents).noise;
        job.write(inverted_file(output, step), [&](const auto& file) { write_inverted(file, job.cpu(), place.start); });
    } else {
        const index_t scale = model.facts().pixels_per_latent;
        const Shape shape{v.video_length, v.height / scale, v.width / scale, model.facts().latent_channels};
        place.start = model.start_noise(shape, request.seed);
    }
    const std::filesystem::path samples = output / "samples";
    job.attempt([&] { make_output_folder(samples / ("sample-" + number)); });
    std::vector<Frames> clips;
    std::set<std::string> names;
    for (const std::string& prompt : v.prompts) {
        clips.push_back(frames_of(model.decode(model.sample_edit(request, {}, place, prompt)), times.fps));
        std::string name = file_name_of(prompt);
        if (!names.insert(name).second) {
            name += "-" + std::to_string(clips.size()); // prompts that differ in other characters only
        }
        job.write(samples / ("sample-" + number) / (name + ".gif"),
                  [&](const auto& file) { write_gif(file, clips.back(), times); });
        ++request.seed;
    }
    if (!clips.empty()) {
        job.write(samples / ("sample-" + number + ".gif"),
                  [&](const auto& file) { write_gif(file, make_grid(clips), times); });
    }
}

/// With a rehearsal nothing is computed, nor are checkpoints and the tuned model written.
Prediction tune_video(TuneVideoOptions o, Rehearsal* rehearsal) {
    TuneAVideoConfig& config = o.config;
    const std::filesystem::path output = config.output_dir;
    Job job(o.job, rehearsal);
    o.choose_seed(rehearsal == nullptr);
    require_other_folder(output, config.pretrained_model_path);
    o.check_writing(job);

    // Load.
    const SourceClip source = job.during("read clip", [&] { return o.read_clip(job); });
    const auto model = job.during("load model", [&] { return o.load(job, program::check_stop); });
    if (job.writes_files()) {
        write_tune_config(output / "config.yaml", config);
    }
    const AnyTensor moments = job.during("encode clip", [&] { return model->encode(source.frames); });

    // Tune; sample now and then.
    auto stage = job.stage("tune");
    const AnyTensor text = model->encode_prompt(config.train_data.prompt);
    model->prepare_training(config, o.reference.reference_checkpointing);
    const auto tuning = model->tune(moments, text, config, {*config.seed});
    const auto sample = [&](index_t step) { validate(job, o, *model, tuning->latents(), step, source.times); };
    TuneClip around{.after_update = program::check_stop_after, .rehearsal = rehearsal, .ranks = job.ranks()};
    if (rehearsal == nullptr) {
        around.validation_steps = config.validation_steps;
        around.validate = sample;
        around.folder = output;
        around.identity = tuning_identity(config, o.reference.reference_checkpointing, *model, source.frames);
        around.failed = &job.failed_writes();
        around.say = [](const std::string& sentence) { std::cerr << sentence << '\n'; };
    }
    const LossLog losses = tune_clip(*tuning, config, around);
    stage.done();
    if (const index_t times = config.max_train_steps / config.validation_steps; rehearsal != nullptr && times > 0) {
        job.during("sample", [&] { rehearsal->repeat(times, [&] { sample(config.validation_steps); }); });
    }

    // Write.
    if (rehearsal == nullptr) {
        if (config.tune == TuneKind::lora) {
            job.write(output / tuned_lora_file, [&](const auto& f) { model->save_lora(f, config.lora_names); });
        }
        const auto rescue = rescue_as_checkpoint(*tuning, output, around.identity);
        if (job.attempt([&] { save_tuned(*model, output, rescue); })) {
            tell_tuned(output.string(), tuning->step_count(), losses);
        }
        job.report_failed_writes();
    }
    return job.prediction();
}

} // namespace

int main(int argc, char** argv) {
    return program::run_on_ranks("tune_video", [&](const Communicator& ranks) {
        TuneVideoOptions o;
        o.read(program::first_value(argc, argv, "--config"), program::given_in(argc, argv));
        CLI::App app(
            "Tunes Stable Diffusion on one clip and its prompt (Tune-A-Video), from Tune-A-Video's YAML file.\n"
            "Writes into the configuration's output_dir: the tuned diffusers folder, losses.csv, config.yaml,\n"
            "checkpoint-N/, samples/ and inv_latents/. Options override the file and carry its keys' names.");
        program::add_options(app, o);
        program::require_given(app, {"--config"});
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        o.settle(program::option_name, [&](const char* name) { return app.count(name) > 0; });
        return plan_or_run(o, ranks, [](const auto& chosen, auto* rehearsal) { return tune_video(chosen, rehearsal); });
    });
}
