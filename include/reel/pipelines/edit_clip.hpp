#pragma once
// An edit from beginning to end: where it starts, where it may change the clip, how it is sampled. Works with any UNet
// and sampler, on any backend; overlay.hpp lays the decoded result over the clip.

#include <concepts>
#include <string_view>
#include <utility>

#include <reel/core/ranges.hpp>
#include <reel/pipelines/delta_denoising.hpp>
#include <reel/pipelines/edit_options.hpp>
#include <reel/pipelines/inversion.hpp>
#include <reel/pipelines/mask.hpp>
#include <reel/pipelines/noise_stream.hpp>

namespace reel {

/// Sees nothing: stages without a progress bar.
struct Unwatched {
    void step() const {}
    [[nodiscard]] Unwatched operator()(std::string_view /*stage*/, index_t /*steps*/) const { return {}; }
};

/// What edits a clip. `unet` is called as a UNet3DConditionModel is. `watch("sample", steps)` returns something whose
/// step() is called after every step of a stage ("invert", "find the place", "draft", "sample").
template <class Unet, class Sampler, class Watch = Unwatched>
struct ClipEditor {
    const Unet& unet;
    DDIMConfig model; ///< the noise schedule and prediction type that the UNet was trained with
    Sampler sampler;  ///< any Scheduler; see with_inversion() for what start `inversion` wants
    SamplingOptions sampling{};
    EditOptions edit{};
    std::uint64_t seed = 0;
    Watch watch{};
};

/// Where an edit can start.
template <class T, Backend B>
struct ClipStart {
    Tensor<T, B> noise;            ///< [frames, h, w, channels]
    Trajectory<T, B> trajectory{}; ///< the clip at every noise level, where a mask wants it
    Tensor<T, B> allowed{};        ///< [frames, h, w, 1], 0 or 1: outside of it an edit has no place; undefined: none
};

/// Where an edit may change the clip, and from where it is sampled there.
template <class T, Backend B>
struct EditPlace {
    Tensor<T, B> start;
    Tensor<T, B> mask{}; ///< [frames, h, w, 1], 0 or 1; undefined: everywhere
    index_t skipped = 0; ///< steps that the noise on `start` is later than a run's first
};

/// Standard normal noise of the latents' shape.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> noise_like(const Tensor<T, B>& latents, std::uint64_t seed,
                                      NoiseStream stream = NoiseStream::start) {
    Tensor<T, B> noise(latents.backend(), latents.shape());
    fill_normal(latents.backend(), noise, seed, static_cast<std::uint64_t>(stream));
    return noise;
}

/// Noise from a stream of the editor's seed and those after it: a function of the seed alone.
template <Real T, Backend B>
[[nodiscard]] auto noise_from(B& backend, std::uint64_t seed, NoiseStream first) {
    return [&backend, seed, stream = static_cast<std::uint64_t>(first)](const Shape& shape) mutable {
        Tensor<T, B> drawn(backend, shape);
        fill_normal(backend, drawn, seed, stream++);
        return drawn;
    };
}

/// invert_clip() of edit-friendly inversion: noise on the clip at every level, and what the UNet gives there. An edit
/// takes it up by edit_friendly_trace(). The noise of a level is the same in all frames, or they flicker. `each` sees
/// the levels from the clip up, when all are there.
template <class Editor, Real T, Backend B, class Each>
[[nodiscard]] ClipStart<T, B> invert_edit_friendly(const Editor& editor, const Tensor<T, B>& latents,
                                                   const Tensor<T, B>& text, const Each& each) {
    ClipStart<T, B> start;
    Trajectory<T, B>& kept = start.trajectory;
    const index_t steps = editor.sampling.num_inv_steps;
    auto bar = editor.watch("invert", steps);
    const auto model = [&](const Tensor<T, B>& input, double timestep) {
        kept.outputs.push_back(editor.unet(input, std::span<const double>(&timestep, 1), text, latents.shape(0)));
        kept.timesteps.push_back(timestep);
        bar.step();
        return kept.outputs.back();
    };
    auto stream = static_cast<std::uint64_t>(NoiseStream::inversion);
    auto trace = edit_friendly_inversion(editor.sampler, steps, latents, model, [&](const Shape& shape) {
        return shared_noise<T>(latents.backend(), shape, editor.seed, stream++);
    });
    kept.latents = std::move(trace.samples);
    kept.latents.push_back(latents);
    ranges::reverse(kept.latents);
    ranges::reverse(kept.timesteps);
    for (std::size_t k = 0; k < kept.latents.size(); ++k) {
        each(static_cast<index_t>(k), kept.latents[k]);
    }
    start.noise = kept.latents.back();
    return start;
}

/// The clip inverted under a text [1, tokens, channels]. `each(k, latents)` sees the start (k = 0) and every step.
/// Throws Error for a sampler that has no inversion.
template <class Editor, Real T, Backend B, class Each>
[[nodiscard]] ClipStart<T, B> invert_clip(const Editor& editor, const Tensor<T, B>& latents, const Tensor<T, B>& text,
                                          bool keep_trajectory, const Each& each) {
    const index_t steps = editor.sampling.num_inv_steps;
    require_inversion<T>(editor.sampler, editor.edit.inversion, steps, latents.backend());
    if (editor.edit.edit_friendly()) {
        return invert_edit_friendly(editor, latents, text, each);
    }
    ClipStart<T, B> start;
    const auto formula =
        editor.edit.reference.reference_inversion ? InversionFormula::reference : InversionFormula::exact;
    with_inversion<T, B>(editor.sampler, formula, [&](auto&& inversion) {
        auto bar = editor.watch("invert", steps);
        const auto after_step = [&](index_t k, const Tensor<T, B>& x) {
            each(k, x);
            if (k > 0) {
                bar.step();
            }
        };
        if (keep_trajectory) {
            start.trajectory = invert_trajectory(editor.unet, inversion, latents, text, steps, after_step);
            start.noise = start.trajectory.latents.back();
        } else {
            start.noise = invert(editor.unet, inversion, latents, text, steps, after_step);
        }
    });
    return start;
}

/// Noise to start from without an inversion, and where a mask wants it, the clip with noise at the sampler's levels (a
/// draft's: the same in all frames).
template <class Editor, Real T, Backend B>
[[nodiscard]] ClipStart<T, B> noise_start(const Editor& editor, const Tensor<T, B>& latents) {
    ClipStart<T, B> start;
    auto sampler = editor.sampler;
    const index_t steps = editor.sampling.num_inference_steps;
    sampler.set_timesteps(steps); // init_noise_sigma() depends on it
    if (editor.edit.masked()) {
        const Tensor<T, B> noise = editor.edit.drafted()
                                       ? shared_noise<T>(latents.backend(), latents.shape(), editor.seed,
                                                         static_cast<std::uint64_t>(NoiseStream::on_draft))
                                       : noise_like(latents, editor.seed);
        start.trajectory = noised_trajectory(sampler, latents, noise, steps);
    }
    start.noise = scale(noise_like(latents, editor.seed), static_cast<T>(sampler.init_noise_sigma()));
    return start;
}

/// Where editor.edit says that sampling starts. `text`: what the clip is inverted under.
template <class Editor, Real T, Backend B, class Each>
[[nodiscard]] ClipStart<T, B> start_edit(const Editor& editor, const Tensor<T, B>& latents, const Tensor<T, B>& text,
                                         const Each& each) {
    return editor.edit.inverted() ? invert_clip(editor, latents, text, editor.edit.keeps_trajectory(), each)
                                  : noise_start(editor, latents);
}

/// Where two texts want different pictures: [frames, h, w, 1], 0 or 1.
template <class Editor, Real T, Backend B>
[[nodiscard]] Tensor<T, B> difference_mask(const Editor& editor, const Trajectory<T, B>& trajectory,
                                           const Tensor<T, B>& source, const Tensor<T, B>& edited) {
    const MaskOptions& options = editor.edit.mask_options;
    const DDIMScheduler scheduler(editor.model);
    const std::span<const double> strengths(options.strengths);
    const auto samples = options.noise == MaskNoise::inversion ? trajectory_samples(scheduler, trajectory, strengths)
                                                               : noised_samples(scheduler, trajectory.latents.front(),
                                                                                strengths, options.draws, editor.seed);
    auto bar = editor.watch("find the place", static_cast<index_t>(samples.size()));
    return mask_of(prediction_difference(editor.unet, samples, source, edited, [&] { bar.step(); }), options);
}

/// The edit drafted by delta denoising: the draft with noise, and where it changed the clip.
template <class Editor, Real T, Backend B>
[[nodiscard]] EditPlace<T, B> draft_edit(const Editor& editor, const Tensor<T, B>& latents, const Tensor<T, B>& source,
                                         const Tensor<T, B>& edited) {
    const DeltaOptions& options = editor.edit.delta;
    const DDIMScheduler scheduler(editor.model); // for the noise levels between a run's own
    auto bar = editor.watch("draft", options.steps);
    const Tensor<T, B> moved = delta_denoise(editor.unet, scheduler, latents,
                                             {.source = source,
                                              .edited = edited,
                                              .options = options,
                                              .seed = editor.seed,
                                              .first_stream = static_cast<std::uint64_t>(NoiseStream::draft)},
                                             [&] { bar.step(); });
    auto sampler = editor.sampler;
    sampler.set_timesteps(editor.sampling.num_inference_steps);
    const auto& timesteps = sampler.timesteps();
    const auto calls = static_cast<index_t>(ranges::distance(timesteps));
    const auto left = std::clamp<index_t>(std::lround(options.strength * static_cast<double>(calls)), 1, calls);
    const Tensor<T, B> noise = shared_noise<T>(latents.backend(), latents.shape(), editor.seed,
                                               static_cast<std::uint64_t>(NoiseStream::on_draft));
    const auto level = *std::next(std::begin(timesteps), calls - left);
    return {sampler.add_noise(moved, noise, level),
            mask_of(latent_difference(moved, latents), editor.edit.mask_options), calls - left};
}

/// Where editor.edit says that the clip may change from a text to another, both [1, tokens, channels].
template <class Editor, Real T, Backend B>
[[nodiscard]] EditPlace<T, B> find_place(const Editor& editor, const ClipStart<T, B>& start, const Tensor<T, B>& source,
                                         const Tensor<T, B>& edited) {
    EditPlace<T, B> place{start.noise};
    if (editor.edit.edit_friendly()) {
        const index_t steps = start.trajectory.steps();
        place.skipped = std::clamp<index_t>(std::lround(editor.edit.inversion_skip * static_cast<double>(steps)), 0,
                                            std::max<index_t>(steps - 1, 0));
        place.start = start.trajectory.latents.at(static_cast<std::size_t>(steps - place.skipped));
    }
    if (editor.edit.mask == MaskKind::difference) {
        place.mask = difference_mask(editor, start.trajectory, source, edited);
    } else if (editor.edit.mask == MaskKind::delta) {
        place = draft_edit(editor, start.trajectory.latents.front(), source, edited);
    }
    if (start.allowed.defined()) {
        place.mask = place.mask.defined() ? multiply(place.mask, start.allowed) : start.allowed;
    }
    return place;
}

/// The noise of an edit-friendly inversion that invert_clip() kept. Throws Error for another inversion.
template <class Editor, Real T, Backend B>
[[nodiscard]] auto kept_trace(const Editor& editor, const Trajectory<T, B>& kept) {
    const auto steps = static_cast<std::size_t>(kept.steps());
    require(steps > 0 && kept.outputs.size() == steps && kept.latents.size() == steps + 1,
            "edit-friendly inversion: its levels and outputs are needed to sample from it");
    std::size_t asked = 0;
    return edit_friendly_trace(
        editor.sampler, kept.steps(), std::vector<Tensor<T, B>>(kept.latents.rbegin(), std::prev(kept.latents.rend())),
        kept.latents.front(), [&](const Tensor<T, B>&, double) { return kept.outputs[asked++]; });
}

/// The edited latents: sampled from place.start, and outside of the mask, where there is one, the clip's own.
/// `each(k, latents)` sees every step, from 1; where it returns a tensor, sampling goes on from that.
template <class Editor, Real T, Backend B, class Each>
[[nodiscard]] Tensor<T, B> sample_edit(const Editor& editor, const Trajectory<T, B>& outside,
                                       const EditPlace<T, B>& place, const Guidance<T, B>& guidance, const Each& each) {
    const index_t steps = editor.sampling.num_inference_steps;
    const auto with = [&](auto sampler) -> Tensor<T, B> {
        sampler.set_timesteps(steps);
        auto bar = editor.watch("sample", static_cast<index_t>(ranges::distance(sampler.timesteps())) - place.skipped);
        const auto after_step = [&](index_t k, const Tensor<T, B>& x) {
            if constexpr (std::same_as<decltype(each(k, x)), Tensor<T, B>>) {
                Tensor<T, B> result = each(k, x);
                bar.step();
                return result;
            } else {
                each(k, x);
                bar.step();
            }
        };
        // what a sampler draws at eta > 0
        auto noise = noise_from<T>(place.start.backend(), editor.seed, NoiseStream::sampling);
        if (!place.mask.defined()) {
            return sample_clip(editor.unet, sampler, place.start,
                               {.guidance = guidance, .num_inference_steps = steps, .skipped = place.skipped}, noise,
                               after_step);
        }
        return sample_clip_blended(editor.unet, sampler, place.start,
                                   {.guidance = guidance,
                                    .outside = outside,
                                    .mask = place.mask,
                                    .num_inference_steps = steps,
                                    .skipped = place.skipped},
                                   noise, after_step);
    };
    return editor.edit.edit_friendly() ? with(EditFriendlySampler(kept_trace(editor, outside))) : with(editor.sampler);
}

/// The texts of an edit, each [1, tokens, channels].
template <class T, Backend B>
struct EditTexts {
    Tensor<T, B> source; ///< what the clip shows
    Tensor<T, B> edited; ///< what it shall show
    Tensor<T, B> away;   ///< what guidance leads away from
};

/// find_place() and sample_edit() together: the latents of an edit that starts where start_edit() says.
template <class Editor, Real T, Backend B>
[[nodiscard]] Tensor<T, B> edit_clip(const Editor& editor, const ClipStart<T, B>& start, const EditTexts<T, B>& texts) {
    const EditPlace<T, B> place = find_place(editor, start, texts.source, texts.edited);
    const auto& interval = editor.edit.guidance_interval;
    return sample_edit(
        editor, start.trajectory, place,
        Guidance<T, B>{texts.edited, texts.away, editor.sampling.guidance_scale, {interval.at(0), interval.at(1)}},
        [](index_t, const Tensor<T, B>&) {});
}

} // namespace reel
