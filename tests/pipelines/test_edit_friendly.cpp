// Edits whose noise comes from the clip: a whole run of a tiny video model as PyTorch computes it from the papers'
// equations (golden/edit_friendly, made by part_edit_friendly.py), and how an edit's options lead there.

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <reel/pipelines/control/controlled_edit.hpp>
#include <reel/pipelines/control/named_control.hpp>
#include <reel/pipelines/edit_clip.hpp>

#include "models/golden_models.hpp"
#include "pipelines/formula_unet.hpp"

using namespace reel_test;
using formula::message_of;
using reel::Cpu;
using reel::index_t;

namespace {

constexpr index_t steps = 5;
constexpr index_t frames = 3;

reel::DDIMScheduler ancestral() {
    reel::DDIMScheduler sampler(formula::latent_ddim());
    sampler.options.eta = 1;
    return sampler;
}

template <class T>
reel::DPMSolverMultistepScheduler<T, Cpu> solver() {
    reel::DPMSolverMultistepConfig config;
    config.schedule = formula::latent_ddim().schedule;
    config.algorithm_type = reel::SolverAlgorithm::sde_dpmsolver_pp;
    return reel::DPMSolverMultistepScheduler<T, Cpu>(config);
}

template <class T>
struct Edits {
    using X = reel::Tensor<T>;

    Golden golden{"edit_friendly"};
    Cpu cpu{2};
    reel::UNet3DConditionModel<T> unet = golden_unet<T>(cpu, "sd1");
    X clip = channels_last("clip");
    X source = golden.tensor<T>(cpu, "source");
    X edited = golden.tensor<T>(cpu, "edited");
    X negative = golden.tensor<T>(cpu, "negative");

    [[nodiscard]] X channels_last(const std::string& name) {
        const X all = golden.tensor<T>(cpu, name); // [1, channels, frames, h, w]
        const index_t channels = all.shape(1);
        return reel::permute(all.reshape({channels, frames, 16, 16}), {1, 2, 3, 0});
    }

    /// The clip with the golden noise at the sampler's levels, and what the UNet gives there.
    template <class S>
    [[nodiscard]] reel::Trajectory<T, Cpu> inverted(S sampler) {
        const X noise = golden.tensor<T>(cpu, "noise");
        index_t drawn = 0;
        reel::Trajectory<T, Cpu> kept;
        const auto model = [&](const X& input, double timestep) {
            kept.outputs.push_back(unet(input, std::span<const double>(&timestep, 1), source, frames));
            kept.timesteps.insert(kept.timesteps.begin(), timestep);
            return kept.outputs.back();
        };
        auto trace = reel::edit_friendly_inversion(sampler, steps, clip, model, [&](const reel::Shape&) {
            const X one = noise.slice(drawn, drawn + 1).reshape({4, frames, 16, 16});
            ++drawn;
            return reel::permute(one, {1, 2, 3, 0});
        });
        kept.latents.push_back(clip);
        kept.latents.insert(kept.latents.end(), trace.samples.rbegin(), trace.samples.rend());
        return kept;
    }

    template <class S>
    [[nodiscard]] X edit(const S& sampler, double skip, const X& mask = {}, bool as_itself = false) {
        const reel::EditOptions options{.inversion = reel::InversionKind::edit_friendly, .inversion_skip = skip};
        const reel::SamplingOptions sampling{
            .num_inference_steps = steps, .guidance_scale = as_itself ? 1 : 7.5, .num_inv_steps = steps};
        const reel::ClipEditor<reel::UNet3DConditionModel<T>, S> editor{
            unet, formula::latent_ddim(), sampler, sampling, options, 7, {}};
        const reel::ClipStart<T, Cpu> start{{}, inverted(sampler), mask};
        return reel::edit_clip(editor, start, reel::EditTexts<T, Cpu>{source, as_itself ? source : edited, negative});
    }
};

template <class T>
void compare(double bound) {
    Edits<T> at;
    Agreement agreement("edits with noise from the clip", bound);
    const auto check = [&](const std::string& name, const reel::Tensor<T>& latents) {
        agreement.check(name.c_str(), relative_error(clip_order(latents, frames), at.golden.at(name)));
    };
    const auto all = [&](const std::string& name, const auto& sampler) {
        check(name, at.edit(sampler, 0.36)); // 1.8 of 5 steps: two
        check(name + ".whole", at.edit(sampler, 0));
        check(name + ".masked", at.edit(sampler, 0.36, at.channels_last("mask")));
        check("clip", at.edit(sampler, 0.5, {}, true)); // under its own text it comes back
    };
    all("ancestral", ancestral());
    all("solver", solver<T>());
    all("solver", reel::AnyScheduler<T>("solver", solver<T>()));
}

/// The clip's concepts changed by LEDITS++, on the noise that leads the solver to it without a prompt.
template <class T>
reel::Tensor<T> ledits(Edits<T>& at, const std::vector<reel::EditConcept<T, Cpu>>& concepts) {
    at.source = at.negative;
    const auto kept = at.inverted(solver<T>());
    std::size_t asked = 0;
    const reel::EditFriendlySampler sampler(
        reel::edit_friendly_trace(solver<T>(), steps,
                                  std::vector<reel::Tensor<T>>(kept.latents.rbegin(), std::prev(kept.latents.rend())),
                                  at.clip, [&](const auto&, double) { return kept.outputs[asked++]; }),
        1);
    return reel::ledits_edit(at.unet, sampler, at.negative, concepts);
}

/// The same as an edit's options lead to it.
reel::Tensor<float> named_ledits(Edits<float>& at, const std::vector<reel::EditConcept<float, Cpu>>& concepts) {
    at.source = at.negative;
    const auto sampler = solver<float>();
    const reel::ClipStart<float, Cpu> start{{}, at.inverted(sampler), {}};
    const reel::EditOptions options{.inversion = reel::InversionKind::edit_friendly,
                                    .inversion_skip = 0.2,
                                    .control = {.control = reel::ControlKind::ledits}};
    const reel::SamplingOptions sampling{.num_inference_steps = steps, .num_inv_steps = steps};
    const reel::ClipEditor<reel::UNet3DConditionModel<float>, reel::DPMSolverMultistepScheduler<float, Cpu>> editor{
        at.unet, formula::latent_ddim(), sampler, sampling, options, 7, {}};
    const auto place = reel::find_place(editor, start, at.source, at.edited);
    reel::ConceptMaps maps = reel::maps_of(concepts);
    reel::AnyControl<Cpu> control;
    control.concepts = &concepts;
    control.concept_maps = &maps;
    return reel::with_control(at.unet, maps, [&] {
        return reel::sample_controlled_edit(editor, start.trajectory, place,
                                            reel::Guidance<float, Cpu>{at.edited, at.negative, 7.5}, at.source, control,
                                            [](index_t, const reel::Tensor<float>&) {});
    });
}

template <class T>
void compare_ledits(double bound) {
    Edits<T> at;
    Agreement agreement("LEDITS++", bound);
    const auto source = at.source;
    const auto edited = ledits<T>(at, {{.text = at.edited, .tokens = {2, 3}, .scale = 5, .threshold = 0.7},
                                       {.text = source, .tokens = {4}, .scale = 3, .threshold = 0.6, .away = true}});
    agreement.check("ledits", relative_error(clip_order(edited, frames), at.golden.at("ledits")));
    // at a scale of 0 it is the clip, and nothing is left behind in the UNet
    const auto same = ledits<T>(at, {{.text = at.edited, .tokens = {2}, .scale = 0}});
    agreement.check("nothing", relative_error(clip_order(same, frames), at.golden.at("clip")));
    agreement.check(
        "ledits again",
        relative_error(
            clip_order(ledits<T>(at, {{.text = at.edited, .tokens = {2, 3}, .threshold = 0.7},
                                      {.text = source, .tokens = {4}, .scale = 3, .threshold = 0.6, .away = true}}),
                       frames),
            at.golden.at("ledits")));
}

/// The formula as a model, and an edit of it.
struct Job {
    Cpu cpu{1};
    int calls = 0;
    formula::FormulaUnet unet{&calls};
    formula::Tensor clean = formula::random(cpu, formula::clip_shape, 1);
    formula::Tensor source = formula::text(cpu, -0.25);

    [[nodiscard]] auto editor(const reel::EditOptions& edit, const reel::DDIMScheduler& sampler = ancestral()) const {
        return reel::ClipEditor<formula::FormulaUnet, reel::DDIMScheduler>{
            unet,    formula::latent_ddim(),
            sampler, {.num_inference_steps = 5, .guidance_scale = 3, .num_inv_steps = 5},
            edit,    7,
            {}};
    }
};

} // namespace

TEST_CASE("edits with an edit-friendly inversion's noise, as PyTorch computes them") {
    compare<float>(1e-4);
    compare<double>(1e-6);
}

TEST_CASE("LEDITS++, as PyTorch computes it") {
    compare_ledits<float>(1e-4);
    compare_ledits<double>(1e-6);
    Edits<float> at;
    Agreement agreement("LEDITS++ by its name", 1e-4);
    const auto source = at.source;
    const auto edited = named_ledits(at, {{.text = at.edited, .tokens = {2, 3}, .threshold = 0.7},
                                          {.text = source, .tokens = {4}, .scale = -3, .threshold = 0.6}});
    agreement.check("ledits", relative_error(clip_order(edited, frames), at.golden.at("ledits")));
    CHECK(message_of([&] { static_cast<void>(ledits<float>(at, {})); }).starts_with("LEDITS++: no concept is given"));
    CHECK(message_of([&] {
              static_cast<void>(ledits<float>(at, {{.text = at.edited, .tokens = {}}}));
          }).starts_with("LEDITS++: a concept without tokens"));
    CHECK(message_of([&] {
              static_cast<void>(ledits<float>(at, {{.text = at.edited, .tokens = {1}, .threshold = 2}}));
          }).starts_with("LEDITS++: a threshold of 2"));
}

TEST_CASE("an edit-friendly inversion: noise of the seed at every level, seen from the clip up") {
    const Job job;
    std::vector<formula::Values> seen;
    const auto editor = job.editor({.inversion = reel::InversionKind::edit_friendly});
    const auto start = reel::start_edit(editor, job.clean, job.source, [&](index_t k, const formula::Tensor& x) {
        CHECK(k == static_cast<index_t>(seen.size()));
        seen.push_back(x.to_host());
    });
    CHECK(job.calls == 5);
    REQUIRE(seen.size() == 6);
    CHECK(seen.front() == job.clean.to_host());
    CHECK(start.noise.to_host() == seen.back());
    CHECK(start.trajectory.timesteps == std::vector<double>{1, 201, 401, 601, 801});
    CHECK(start.trajectory.outputs.size() == 5);
    auto sampler = ancestral();
    sampler.set_timesteps(5);
    for (std::size_t i = 0; i < 5; ++i) {
        const auto noise = reel::shared_noise<double>(job.clean.backend(), formula::clip_shape, 7,
                                                      static_cast<std::uint64_t>(reel::NoiseStream::inversion) + i);
        const auto level = sampler.add_noise(job.clean, noise, sampler.timesteps()[i]).to_host();
        CHECK(formula::largest_difference(seen[5 - i], level) < 1e-13);
    }
    const auto place = reel::find_place(editor, start, job.source, job.source);
    CHECK(place.skipped == 2);
    CHECK(place.start.to_host() == seen[3]);
    auto most = editor;
    most.edit.inversion_skip = 1; // one step is left
    CHECK(reel::find_place(most, start, job.source, job.source).skipped == 4);
}

TEST_CASE("an inversion that does not go with the sampler is refused before the work, and says what would do") {
    const Job job;
    const auto refused = [&](reel::InversionKind kind, const reel::DDIMScheduler& sampler) {
        return message_of([&] {
            static_cast<void>(
                reel::start_edit(job.editor({.inversion = kind}, sampler), job.clean, job.source, formula::nothing));
        });
    };
    const reel::DDIMScheduler ddim(formula::latent_ddim());
    CHECK(refused(reel::InversionKind::dpmpp, ddim) ==
          "it undoes the steps of DPMSolverMultistepScheduler, and the sampler is this sampler; use --scheduler "
          "dpm++_2m, or leave the option out");
    CHECK(refused(reel::InversionKind::edit_friendly, ddim).find("draws no noise at timestep 801") !=
          std::string::npos);
    CHECK(refused(reel::InversionKind::ddim, ddim).empty());
    CHECK(refused(reel::InversionKind::edit_friendly, ancestral()).empty());
    const int calls = job.calls;
    const auto editor = job.editor({.inversion = reel::InversionKind::edit_friendly});
    CHECK(message_of([&] {
              static_cast<void>(reel::kept_trace(editor, reel::Trajectory<double, Cpu>{{job.clean}, {}}));
          }).starts_with("edit-friendly inversion: its levels and outputs are needed"));
    CHECK(job.calls == calls);
}

TEST_CASE("options of an inversion that cannot be together") {
    const auto locate = [](std::string_view name) { return reel::concat_text("--", name); };
    const auto message = [&](const reel::EditOptions& edit) { return message_of([&] { edit.check(locate); }); };
    using reel::InversionKind;
    CHECK(message({.inversion = InversionKind::edit_friendly}).empty());
    CHECK(message({.inversion = InversionKind::edit_friendly, .mask = reel::MaskKind::difference}).empty());
    for (const auto kind : {InversionKind::ddim, InversionKind::dpmpp, InversionKind::edit_friendly}) {
        CHECK(message({.start = reel::EditStart::noise, .inversion = kind})
                  .ends_with(": with --start noise nothing is inverted; leave one of the two out"));
    }
    CHECK(message({.inversion = InversionKind::edit_friendly, .mask = reel::MaskKind::delta}) ==
          "--inversion edit_friendly: its noise belongs to the clip, and with --mask delta sampling starts from a "
          "draft; use --mask difference, or another inversion");
    reel::EditOptions compared{.inversion = InversionKind::edit_friendly, .mask = reel::MaskKind::difference};
    compared.mask_options.noise = reel::MaskNoise::inversion;
    CHECK(message(compared).starts_with("--inversion edit_friendly: with --mask_noise inversion "));
    CHECK(message({.inversion = InversionKind::edit_friendly, .reference = {.reference_inversion = true}}) ==
          "--inversion edit_friendly: --reference_inversion is of DDIM's; leave one of the two out");
    const reel::EditOptions edit{.inversion = InversionKind::edit_friendly};
    CHECK(message_of([&] { edit.check_steps({.num_inference_steps = 20, .num_inv_steps = 50}, locate); }) ==
          "--inversion edit_friendly: --num_inv_steps is 50 and --num_inference_steps 20; they must be equal, because "
          "each sampling step takes the noise that the inversion found for it");
}
