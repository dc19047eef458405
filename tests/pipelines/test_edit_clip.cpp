// Every branch of an edit's decisions against the same put together by hand.

#include <map>
#include <set>

#include <reel/pipelines/edit_clip.hpp>

#include "pipelines/formula_unet.hpp"

using namespace formula;

namespace {

using Start = reel::ClipStart<double, Cpu>;
using Place = reel::EditPlace<double, Cpu>;

/// Counts the steps of stages by their names.
struct Counting {
    struct Bar {
        int* steps;
        void step() const { ++*steps; }
    };
    std::map<std::string, int>* counts;
    [[nodiscard]] Bar operator()(std::string_view stage, index_t) const { return {&(*counts)[std::string(stage)]}; }
};

struct Job {
    Cpu cpu{1};
    int calls = 0;
    FormulaUnet unet{&calls};
    reel::DDIMConfig model = latent_ddim();
    Tensor clean = random(cpu, clip_shape, 1);
    Tensor source = text(cpu, -0.25);
    Tensor edited = text(cpu, 1.5);
    Tensor away = text(cpu, 0.1);
    reel::SamplingOptions sampling{.num_inference_steps = 5, .guidance_scale = 3, .num_inv_steps = 5};

    template <class Sampler>
    [[nodiscard]] auto editor(Sampler sampler, const reel::EditOptions& edit) const {
        return reel::ClipEditor<FormulaUnet, Sampler>{unet, model, std::move(sampler), sampling, edit, 7, {}};
    }
    [[nodiscard]] auto ddim(const reel::EditOptions& edit) const { return editor(reel::DDIMScheduler(model), edit); }

    [[nodiscard]] Values edit(const auto& editor) const {
        const Start start = reel::start_edit(editor, clean, source, nothing);
        return reel::edit_clip(editor, start, reel::EditTexts<double, Cpu>{source, edited, away}).to_host();
    }
    [[nodiscard]] reel::Guidance<double, Cpu> guidance() const { return {edited, away, 3}; }
    [[nodiscard]] reel::Sampling<double, Cpu> guided() const {
        return {.guidance = guidance(), .num_inference_steps = 5};
    }
    [[nodiscard]] Tensor noise(reel::NoiseStream stream) const { return reel::noise_like(clean, 7, stream); }
    [[nodiscard]] Tensor shared() const {
        return reel::shared_noise<double>(clean.backend(), clip_shape, 7,
                                          static_cast<std::uint64_t>(reel::NoiseStream::on_draft));
    }
};

} // namespace

TEST_CASE("from the inversion, everywhere: inverted and sampled") {
    const Job job;
    reel::DDIMInverseScheduler inverse(job.model);
    reel::DDIMScheduler sampler(job.model);
    const Tensor start = reel::invert(job.unet, inverse, job.clean, job.source, 5, nothing);
    const Values expected = reel::sample_clip(job.unet, sampler, start, job.guided()).to_host();
    CHECK(job.edit(job.ddim({})) == expected);
    CHECK(job.edit(job.editor(reel::AnyScheduler<double>("DDIM", reel::DDIMScheduler(job.model)), {})) == expected);
    CHECK(job.edit(job.ddim({.reference = {.reference_inversion = true}})) == expected); // epsilon: the same formula
}

TEST_CASE("guided in some of the steps, everywhere and inside a mask") {
    const Job job;
    reel::EditOptions edit{.guidance_interval = {0.2, 0.6}};
    auto guidance = job.guidance();
    guidance.interval = {0.2, 0.6};
    reel::DDIMInverseScheduler inverse(job.model);
    reel::DDIMScheduler sampler(job.model);
    const auto trajectory = reel::invert_trajectory(job.unet, inverse, job.clean, job.source, 5, nothing);
    const Tensor& start = trajectory.latents.back();
    const Values expected =
        reel::sample_clip(job.unet, sampler, start, {.guidance = guidance, .num_inference_steps = 5}).to_host();
    CHECK(job.edit(job.ddim(edit)) == expected);
    CHECK(expected != job.edit(job.ddim({})));

    edit.mask = reel::MaskKind::difference;
    const Values inside = job.edit(job.ddim(edit));
    edit.guidance_interval = {0, 1};
    CHECK(inside != job.edit(job.ddim(edit)));
}

TEST_CASE("from noise, everywhere: noise of the sampler's first level; what is drawn follows from the seed") {
    Job job;
    reel::DDIMScheduler sampler(job.model);
    const Tensor start = job.noise(reel::NoiseStream::start);
    const reel::EditOptions from_noise{.start = reel::EditStart::noise};
    CHECK(job.edit(job.ddim(from_noise)) == reel::sample_clip(job.unet, sampler, start, job.guided()).to_host());
    sampler.options.eta = 1;
    auto drawing = job.editor(sampler, from_noise);
    const Values once = job.edit(drawing);
    CHECK(job.edit(drawing) == once);
    drawing.seed = 8;
    CHECK(job.edit(drawing) != once);
}

TEST_CASE("only where predictions differ, from the inversion and from noise") {
    const Job job;
    reel::EditOptions edit{.mask = reel::MaskKind::difference};
    edit.mask_options.draws = 2;
    edit.mask_options.strengths = {0.3, 0.7};
    edit.mask_options.smooth = 0;
    const reel::DDIMScheduler levels(job.model);
    for (const auto from : {reel::EditStart::inversion, reel::EditStart::noise}) {
        for (const auto noise : {reel::MaskNoise::draws, reel::MaskNoise::inversion}) {
            edit.start = from;
            edit.mask_options.noise = noise;
            reel::DDIMInverseScheduler inverse(job.model);
            reel::DDIMScheduler sampler(job.model);
            const auto trajectory =
                from == reel::EditStart::inversion
                    ? reel::invert_trajectory(job.unet, inverse, job.clean, job.source, 5, nothing)
                    : reel::noised_trajectory(sampler, job.clean, job.noise(reel::NoiseStream::start), 5);
            const std::span<const double> strengths(edit.mask_options.strengths);
            const auto samples = noise == reel::MaskNoise::draws
                                     ? reel::noised_samples(levels, job.clean, strengths, 2, 7)
                                     : reel::trajectory_samples(levels, trajectory, strengths);
            const Tensor mask = reel::mask_of(
                reel::prediction_difference(job.unet, samples, job.source, job.edited, [] {}), edit.mask_options);
            const Values marks = mask.to_host();
            CHECK(std::set<double>(marks.begin(), marks.end()).size() == 2); // something in, something out
            const Tensor start =
                from == reel::EditStart::inversion ? trajectory.latents.back() : job.noise(reel::NoiseStream::start);
            CHECK(job.edit(job.ddim(edit)) ==
                  reel::sample_clip_blended(
                      job.unet, sampler, start,
                      {.guidance = job.guidance(), .outside = trajectory, .mask = mask, .num_inference_steps = 5})
                      .to_host());
        }
    }
}

TEST_CASE("from a draft, only where it changes the clip") {
    const Job job;
    reel::EditOptions edit{.mask = reel::MaskKind::delta};
    edit.delta.steps = 4;
    edit.delta.strength = 0.6;
    const reel::DDIMScheduler levels(job.model);
    const Tensor moved = reel::delta_denoise(job.unet, levels, job.clean,
                                             {.source = job.source,
                                              .edited = job.edited,
                                              .options = edit.delta,
                                              .seed = 7,
                                              .first_stream = static_cast<std::uint64_t>(reel::NoiseStream::draft)});
    const Tensor mask = reel::mask_of(reel::latent_difference(moved, job.clean), edit.mask_options);
    for (const auto from : {reel::EditStart::inversion, reel::EditStart::noise}) {
        edit.start = from;
        reel::DDIMInverseScheduler inverse(job.model);
        reel::DDIMScheduler sampler(job.model);
        const auto trajectory = from == reel::EditStart::inversion
                                    ? reel::invert_trajectory(job.unet, inverse, job.clean, job.source, 5, nothing)
                                    : reel::noised_trajectory(sampler, job.clean, job.shared(), 5);
        sampler.set_timesteps(5);
        const Tensor start = sampler.add_noise(moved, job.shared(), sampler.timesteps()[2]); // three of five are left
        const auto editor = job.ddim(edit);
        const Place place = reel::find_place(editor, Start{{}, trajectory}, job.source, job.edited);
        CHECK(place.skipped == 2);
        CHECK(place.mask.to_host() == mask.to_host());
        CHECK(place.start.to_host() == start.to_host());
        CHECK(job.edit(editor) == reel::sample_clip_blended(job.unet, sampler, start,
                                                            {.guidance = job.guidance(),
                                                             .outside = trajectory,
                                                             .mask = mask,
                                                             .num_inference_steps = 5,
                                                             .skipped = 2})
                                      .to_host());
    }
}

TEST_CASE("DPM-Solver++ has an inversion, held or not; a sampler without one says what to do") {
    const Job job;
    using Solver = reel::DPMSolverMultistepScheduler<double, Cpu>;
    reel::DPMSolverMultistepConfig config;
    config.schedule = job.model.schedule;
    const reel::AnyScheduler<double> held("DPMSolverMultistepScheduler", Solver(config));
    const auto suited = reel::with_levels_of_inversion(held);
    CHECK(suited.as<Solver>() != nullptr);
    CHECK(reel::levels_of_inversion(suited, 5).size() == 5);
    CHECK(job.edit(job.editor(suited, {})) == job.edit(job.editor(*suited.as<Solver>(), {})));

    struct Own : reel::DDIMScheduler {
        using DDIMScheduler::DDIMScheduler;
    };
    const reel::AnyScheduler<double> own("Own", Own(job.model));
    CHECK(message_of([&] {
              static_cast<void>(job.edit(job.editor(own, {})));
          }).starts_with("Own: no inversion leads to a start for this sampler"));
    CHECK(
        message_of([&] { static_cast<void>(job.edit(job.editor(Own(job.model), {}))); }).starts_with("this sampler: "));
    const reel::EditOptions from_noise{.start = reel::EditStart::noise};
    CHECK(job.edit(job.editor(own, from_noise)) == job.edit(job.ddim(from_noise)));
}

TEST_CASE("stages are watched, step by step") {
    const Job job;
    std::map<std::string, int> counts;
    reel::EditOptions edit{.mask = reel::MaskKind::delta};
    edit.delta.steps = 4;
    edit.delta.strength = 0.6;
    const reel::ClipEditor<FormulaUnet, reel::DDIMScheduler, Counting> editor{
        job.unet, job.model, reel::DDIMScheduler(job.model), job.sampling, edit, 7, {&counts}};
    static_cast<void>(job.edit(editor));
    CHECK(counts == std::map<std::string, int>{{"invert", 5}, {"draft", 4}, {"sample", 3}});
}
