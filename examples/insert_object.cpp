// The whole job in one command: a clip, its prompt and an edited prompt in, an edited clip out. Without a clip: a drawn
// one, edited with the model that comes with reel and compared with what it should have become.

#include <reel/pipelines/insert_files.hpp>
#include <reel/pipelines/laid_edit.hpp>
#include <reel/pipelines/saved_tensors.hpp>
#include <reel/pipelines/tune_clip.hpp>

#include "ranks.hpp"
#include "world/demonstration.hpp"

using namespace reel;
namespace {

/// The sampler of the edits. To try one of your own (see custom_sampler.cpp), return it here:
/// `return {"MySampler", MySampler(model.sampling)};`
Sampler sampler_of(const InsertOptions& o, const PipelineFacts& model) {
    return named_sampler(o.sampler, model, o.config.validation_data.eta);
}

/// With a rehearsal files are written as ever, but nothing is computed.
Prediction insert_object(InsertOptions o, world::Demonstration demo, Rehearsal* rehearsal) {
    TuneAVideoConfig& config = o.config;
    const InsertFiles out{o};
    Job job(o.job, rehearsal);
    out.check(job);

    // Load.
    const auto replay = o.open_replay();
    SourceClip source = job.during("read clip", [&] { return demo.read(job, o, replay); });
    const PixelMask allowed = o.allowed(job, source, program::option_name); // with --paste, cuts the clip out
    const Frames& clip = source.frames;
    const ClipOutput format{source.times, source.sound, o.frames, o.lossless};
    const auto model = job.during("load model", [&] { return o.load(job, replay, program::check_stop); });
    const Sampler sampler = sampler_for_edit(sampler_of(o, model->facts()), config.validation_data, o.edit);
    SavedTensors saved(job.cpu(), *model, o.save_tensors);
    const AnyTensor moments = o.encode(job, *model, clip, allowed);

    // Tune.
    const TuningNoise noise{*config.seed, replay ? &*replay : nullptr};
    LossLog losses;
    if (o.tunes()) {
        const auto stage = job.stage("tune");
        model->prepare_training(config, o.edit.reference.reference_checkpointing);
        const auto tuning = model->tune(moments, model->encode_prompt(config.train_data.prompt), config, noise);
        losses = tune_clip(*tuning, config, {.after_update = program::check_stop_after, .rehearsal = rehearsal});
        saved.record_tuning(losses, model->sample_latents(moments, noise, config.gradient_accumulation_steps - 1));
        model->stop_training();
    }

    // Invert: where edits start.
    const EditRequest request{sampler, config.validation_data, o.edit, config.train_data.prompt, *config.seed};
    const AnyTensor latents = latents_to_edit(*model, moments, o.edit.inverted_latents, config, noise);
    AnyStart start = job.during(o.edit.inverted() ? "invert" : "", [&] { return model->start_edit(request, latents); });
    start.allowed = latent_mask(job.cpu(), allowed, latents.shape());
    out.write_inverted(job, start.noise);

    // Edit: find the place, sample, decode, lay over the clip.
    std::vector<Frames> sheet{clip}, places; // the clip and its edits; where those are
    const auto decoded = [&](const AnyTensor& x) { return frames_of(model->decode(x), format.times.fps); };
    LaidEdits laid({clip, allowed, o.edit.overlay ? decoded(latents) : Frames(), source.pasting});
    for (const std::string& prompt : config.validation_data.prompts) {
        const std::string number = std::to_string(sheet.size());
        const auto find = [&] { return model->find_place(request, start, prompt); };
        const AnyPlace place = job.during(o.edit.masked() ? "mask " + number : "", find);
        if (o.edit.masked()) {
            places.push_back(mask_picture(place.mask, clip));
            job.write(out.mask_file(number), [&](const auto& file) { write_gif(file, places.back(), format.times); });
        }
        const auto see = out.preview(job, *model, number, format.times);
        const auto sample = [&] { return model->sample_edit(request, start.trajectory, place, prompt, see); };
        const AnyTensor sampled = job.during("sample " + number, sample);
        const auto stage = job.stage("decode " + number);
        const Frames pictures = decoded(sampled);
        const LaidEdit edited = laid(rehearsal == nullptr ? pictures : clip); // which takes as long to write
        sheet.push_back(edited.frames);
        laid.write(out.edit_stem(number, prompt), edited, format, job.writer());
    }
    demo.compare(job, *model, moments, sheet);

    // Write.
    auto writing = job.stage("write");
    write_clip(out / "source", clip, format, job.writer());
    demo.write(job, out.folder(), sheet, places);
    job.write(out / "side_by_side.gif", [&](const auto& f) { write_gif(f, side_by_side(sheet), format.times); });
    job.write(out / "frames.png", [&](const auto& f) { write_png(f, contact_sheet(sheet, (clip.count + 7) / 8)); });
    out.write_tuning(job, *model, losses);
    job.attempt([&] { saved.write(request, config.validation_data.prompts.front()); });
    writing.done();
    if (rehearsal == nullptr) {
        job.finish(laid.recorded(o.manifest(job.cpu(), sampler, replay, demo.scene_json())), out.folder());
        demo.conclude(o);
        laid.tell();
        job.report_failed_writes();
    }
    return job.prediction();
}

} // namespace

int main(int argc, char** argv) {
    return program::run_on_ranks("insert_object", [&](const Communicator& ranks) {
        InsertOptions o;
        world::Demonstration demo(argc, argv, o);
        o.read(program::values_in(argc, argv), program::given_in(argc, argv));
        CLI::App app("Tunes Stable Diffusion on a clip and its prompt, inverts the clip, and samples it again with an\n"
                     "edited prompt; without --config, --video and prompts, on a drawn clip, and measures the edit.");
        program::add_options(app, o);
        program::add_options(app, demo.scene);
        const bool alone = o.config_file.empty() && !demo.drawn();
        program::require_given(app, {"--model", "--prompt", "--output"}, alone);
        program::require_given(app, {"--video"}, alone && !program::any_given(argc, argv, {"--replay"}));
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        demo.settle(o.config, [&](const std::string& name) { return app.count(name) > 0; });
        o.settle(program::option_name);
        return plan_or_run(o, ranks, [&](const auto& chosen, auto* r) { return insert_object(chosen, demo, r); });
    });
}
