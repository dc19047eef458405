#pragma once

#include <concepts>
#include <ranges>
#include <span>
#include <type_traits>

#include <reel/core/no_callback.hpp>
#include <reel/core/ranges.hpp>
#include <reel/ops/elementwise.hpp>
#include <reel/ops/random.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/schedulers/scheduler.hpp>

/// Inversion and guided sampling. `unet` is anything that is called as a UNet3DConditionModel is: unet(sample [clips *
/// frames, h, w, channels], timesteps, text [clips, tokens, channels], frames).
namespace reel {

/// A UNet that may be distilled, as UNet3DConditionModel may: then takes_guidance_scale(), and it is told the scale.
template <class Unet, class T, class B>
concept MayTakeGuidanceScale = requires(const Unet& unet, const Tensor<T, B>& x, std::span<const double> at) {
    { unet.takes_guidance_scale() } -> std::same_as<bool>;
    { unet.at_guidance_scale(7.5, x, at, x, index_t{1}) } -> std::same_as<Tensor<T, B>>;
};

/// The steps that are guided, as shares of a run: 0 its start (most noise), 1 its end. Outside of them only the text's
/// half is computed, half of the work (Kynkaanniemi et al. 2024, arXiv:2404.07724). A step belongs to where it begins.
struct GuidanceInterval {
    double from = 0;
    double to = 1; ///< the first share that is not guided any more

    bool operator==(const GuidanceInterval&) const = default;

    [[nodiscard]] constexpr bool whole() const { return from == 0 && to == 1; }
    /// Whether step `k` (from 0) of `calls` is guided.
    [[nodiscard]] constexpr bool holds(index_t k, index_t calls) const {
        const double share = static_cast<double>(k) / static_cast<double>(calls);
        return from <= share && share < to;
    }
    /// Throws Error unless 0 <= from < to <= 1.
    void check() const {
        require(from >= 0 && from < to && to <= 1, "guidance interval: ", from, " to ", to,
                "; expected shares of the steps, 0 <= from < to <= 1");
    }
};

/// Text guidance of sampling.
template <class T, Backend B>
struct Guidance {
    Tensor<T, B> text;     ///< [clips, tokens, channels]
    Tensor<T, B> negative; ///< the same shape: the negative prompt's, or the empty one's
    /// 1 or less: no guidance, and `negative` is not used. A distilled UNet is told it whatever it is, and has no use
    /// for `negative`: what it is led away from was decided when it was distilled.
    double scale = 7.5;
    GuidanceInterval interval{}; ///< of a UNet that is not distilled
};

/// How latents are sampled: `{.guidance = {text, negative, 7.5}, .num_inference_steps = 20}`.
template <class T, Backend B>
struct Sampling {
    Guidance<T, B> guidance;
    index_t num_inference_steps = 50;
    /// Steps that are left out at the beginning: the latents then lie at the level where the rest begins, and steps
    /// count on from there. Schedulers that look back on their steps cannot skip any.
    index_t skipped = 0;
};

/// The UNet's prediction under classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598):
/// negative + scale * (text - negative), both halves in one call; or a distilled UNet's, which is told the scale.
/// sample [clips * frames, h, w, channels], with a text for each clip.
template <class Unet, Real T, Backend B>
[[nodiscard]] Tensor<T, B> guided_prediction(const Unet& unet, const Tensor<T, B>& sample, double timestep,
                                             const Guidance<T, B>& guidance) {
    const index_t rows = sample.shape(0);
    const index_t frames = rows / guidance.text.shape(0);
    const std::span<const double> at(&timestep, 1);
    if constexpr (MayTakeGuidanceScale<Unet, T, B>) {
        if (unet.takes_guidance_scale()) {
            return unet.at_guidance_scale(guidance.scale, sample, at, guidance.text, frames);
        }
    }
    if (guidance.scale <= 1) {
        return unet(sample, at, guidance.text, frames);
    }
    const Tensor<T, B> both =
        unet(concat_rows({sample, sample}), at, concat_rows({guidance.negative, guidance.text}), frames);
    const auto factor = static_cast<T>(guidance.scale);
    return axpby(T(1) - factor, both.slice(0, rows), factor, both.slice(rows, 2 * rows));
}

/// The noise that an inverse scheduler's run leads to from clean (scaled) latents [frames, h, w, channels], without
/// guidance. `after_step(k, latents)` is called with k = 0 and the start, then after every step.
template <class Unet, Real T, Backend B, class Inverse, class AfterStep = NoCallback>
[[nodiscard]] Tensor<T, B> invert(const Unet& unet, Inverse& scheduler, Tensor<T, B> latents, const Tensor<T, B>& text,
                                  index_t steps, const AfterStep& after_step = {}) {
    static_assert(InverseScheduler<Inverse, T, B>, "reel: inversion needs set_timesteps, timesteps and invert_step");
    scheduler.set_timesteps(steps);
    after_step(index_t{0}, latents);
    index_t done = 0;
    for (const auto timestep : scheduler.timesteps()) {
        const double at = static_cast<double>(timestep);
        const Tensor<T, B> output = unet(latents, std::span<const double>(&at, 1), text, latents.shape(0));
        latents = scheduler.invert_step(output, timestep, latents);
        after_step(++done, latents);
    }
    return latents;
}

/// Samples from `latents` [clips * frames, h, w, channels] with any Scheduler; `noise` is a tensor or a source
/// (SeededNoise), for schedulers that draw; without it these throw Error. `after_step(k, latents)` is called after
/// every step, k from 1; where it returns a tensor, sampling goes on from that. Throws Error for a wrong interval of
/// guidance, and for any but the whole with a distilled UNet, which has no half to leave out.
template <class Unet, Real T, Backend B, class S, class Noise = NoNoise, class AfterStep = NoCallback>
[[nodiscard]] Tensor<T, B> sample_clip(const Unet& unet, S& scheduler, Tensor<T, B> latents,
                                       const Sampling<T, B>& sampling, Noise&& noise = {},
                                       const AfterStep& after_step = {}) {
    static_assert(check_scheduler<S, T, B>());
    scheduler.set_timesteps(sampling.num_inference_steps);
    const auto calls = static_cast<index_t>(ranges::distance(scheduler.timesteps()));
    require(sampling.skipped >= 0 && sampling.skipped < calls, "sample_clip: ", sampling.skipped, " of ", calls,
            " steps skipped");
    const Guidance<T, B>& guidance = sampling.guidance;
    guidance.interval.check();
    if constexpr (MayTakeGuidanceScale<Unet, T, B>) {
        require(guidance.interval.whole() || !unet.takes_guidance_scale(), "guidance interval: a distilled UNet is ",
                "told the scale in one call, so leaving guidance out saves nothing; use 0 to 1");
    }
    Guidance<T, B> unguided = guidance;
    unguided.scale = 1;
    index_t done = 0;
    for (const auto timestep : scheduler.timesteps()) {
        if (done < sampling.skipped) {
            ++done;
            continue;
        }
        const Tensor<T, B> input = scheduler.scale_model_input(latents, timestep);
        const bool guided = guidance.interval.whole() || guidance.interval.holds(done, calls);
        const Tensor<T, B> output =
            guided_prediction(unet, input, static_cast<double>(timestep), guided ? guidance : unguided);
        latents = scheduler.step(output, timestep, latents, noise);
        if constexpr (std::is_void_v<std::invoke_result_t<const AfterStep&, index_t, const Tensor<T, B>&>>) {
            after_step(++done, latents);
        } else {
            latents = after_step(++done, latents);
        }
    }
    return latents;
}

} // namespace reel
