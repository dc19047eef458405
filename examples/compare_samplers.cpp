// One prompt (or one clip), several samplers and step counts: a contact sheet, a table and a plot of how far each is
// from where 1000 steps of DDIM lead. The model is loaded once; every sampler gets the same noise.

#include <cstdio>

#include <reel/core/progress.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/compared_samplers.hpp>
#include <reel/pipelines/picture_size.hpp>
#include <reel/pipelines/sampler_comparison.hpp>

#include "options.hpp"

using namespace reel;

namespace {

void compare_samplers(ComparisonOptions o) {
    const FolderLock lock = o.claim_output();
    const ModelFiles files = open_model(o.model, o.parts);
    const ComparedSamplers compared = compared_samplers(o, files); // before the work: what is wrong with them

    // Load.
    Cpu cpu(usable_threads(o.threads));
    const auto backend = open_backend(o.backend, cpu);
    const auto model = backend->load(o.source(files));
    const PipelineFacts& facts = model->facts();
    tell_loras(facts.loras);
    o.width = picture_size(o.width, facts, "--width");
    o.height = picture_size(o.height, facts, "--height");

    // Encode the texts, and the clip; make the noise that all of them start from.
    const auto normal = [&](const Shape& shape, std::uint64_t stream) {
        return model->normal(shape, o.seed, {&stream, 1});
    };
    SampleRequest request{.sampler = compared.reference,
                          .guidance_scale = o.guidance_scale,
                          .text = model->encode_prompt(o.prompt),
                          .negative = model->encode_prompt(o.negative_prompt),
                          .noise = {}};
    if (!o.video.empty()) {
        const Frames clip = read_video(o.video, {.max_frames = o.frames, .width = o.width, .height = o.height});
        request.clean = model->mean_latents(model->encode(clip));
        o.frames = clip.count;
    }
    const index_t scale = facts.pixels_per_latent;
    request.noise = normal({o.frames, o.height / scale, o.width / scale, facts.latent_channels}, 0);

    // What one sampler makes of it; the first is the reference.
    std::vector<float> goal;
    const auto sampled = [&](const std::string& name, Sampler sampler, int steps) {
        sampler.set_timesteps(steps);
        SamplerRun run{.sampler = name, .steps = steps, .calls = sampler.timesteps().size()};
        std::uint64_t draws = 0;
        request.sampler = std::move(sampler);
        request.steps = steps;
        request.draw = [&](const Shape& drawn) { return normal(drawn, ++draws); };
        Progress bar(name, run.calls);
        const Stopwatch watch;
        const AnyTensor latents = model->sample(request, [&](index_t, const AnyTensor&) {
            bar.step();
            program::check_stop();
        });
        run.seconds = watch.seconds();
        run.draws = draws > 0;
        run.distance = goal.empty() ? 0 : relative_distance(latents.to_host(), goal);
        goal = goal.empty() ? latents.to_host() : goal;
        bar.clear();
        run.picture = frames_of(model->decode(latents), 0);
        return run;
    };

    // Sample with each.
    const std::string name = "ddim " + std::to_string(o.reference_steps);
    const SamplerRun reference = sampled(name, compared.reference, o.reference_steps);
    std::vector<SamplerRun> runs;
    for (const auto& [sampler_name, sampler] : compared.samplers) {
        for (const int steps : o.steps) {
            const SamplerRun& run = runs.emplace_back(sampled(sampler_name, sampler, steps));
            std::printf("%-14s %4d steps  %4zu calls  %8.2f s  distance %.4f\n", run.sampler.c_str(), run.steps,
                        run.calls, run.seconds, run.distance);
            std::fflush(stdout);
        }
    }

    // Write.
    for (const auto& path : write_comparison(o.output, reference, runs)) {
        std::cout << "wrote " << terminal_text(path.string()) << '\n';
    }
}

} // namespace

int main(int argc, char** argv) {
    return program::run("compare_samplers", [&] {
        ComparisonOptions options;
        CLI::App app("Samples one prompt (or one clip with full noise) with several samplers and step counts and\n"
                     "compares each with 1000 steps of DDIM. Writes samplers.png (samplers down, step counts across),\n"
                     "samplers.csv, samplers.md and distance.svg.");
        program::add_options(app, options);
        app.add_option("--samplers", options.samplers, "names, short or diffusers' classes")->delimiter(',');
        program::require_given(app, {"--model", "--prompt", "--output"});
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        program::check(options);
        compare_samplers(std::move(options));
        return 0;
    });
}
