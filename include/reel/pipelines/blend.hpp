#pragma once

#include <algorithm>
#include <concepts>
#include <ranges>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/pipelines/edit.hpp>

namespace reel {

namespace functors {

/// z[p, c] = m[p] x[p, c] + (1 - m[p]) y[p, c]
template <class T>
struct BlendByMask {
    const T* inside;
    const T* outside;
    const T* mask;
    T* z;
    index_t channels;
    constexpr void operator()(index_t i) const {
        const T share = mask[i / channels];
        z[i] = share * inside[i] + (T(1) - share) * outside[i];
    }
};

} // namespace functors

/// `inside` where the mask is 1, `outside` where it is 0: [frames, h, w, channels] both; mask [frames, h, w, 1] in
/// 0..1.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> blend(const Tensor<T, B>& inside, const Tensor<T, B>& outside, const Tensor<T, B>& mask) {
    require(inside.rank() == 4 && inside.shape() == outside.shape() && mask.shape() == inside.shape().with(3, 1),
            "blend: ", inside.shape(), " and ", outside.shape(), " by a mask ", mask.shape(),
            "; expected two of [frames, h, w, channels] and [frames, h, w, 1]");
    Tensor<T, B> z(inside.backend(), inside.shape());
    inside.backend().for_each_index(
        z.size(), functors::BlendByMask<T>{inside.data(), outside.data(), mask.data(), z.data(), inside.shape(3)});
    return z;
}

/// A clip's latents at every noise level of a run, the cleanest first: one more than there are steps.
template <class T, Backend B>
struct Trajectory {
    std::vector<Tensor<T, B>> latents; ///< each [frames, h, w, channels]; the first is clean
    std::vector<double> timesteps;     ///< of latents[1], latents[2], ...
    /// Of an edit-friendly inversion: what the UNet gave at those levels, the noisiest first.
    std::vector<Tensor<T, B>> outputs{};

    [[nodiscard]] index_t steps() const { return static_cast<index_t>(timesteps.size()); }
};

/// The timesteps of the levels that an inversion's steps lead to. After set_timesteps().
template <class Inverse>
[[nodiscard]] std::vector<double> levels_of_inversion(const Inverse& scheduler) {
    const auto& timesteps = [&]() -> const auto& {
        if constexpr (requires { scheduler.reached(); }) {
            return scheduler.reached();
        } else {
            return scheduler.timesteps();
        }
    }
    ();
    return {timesteps.begin(), timesteps.end()};
}

/// invert(), keeping what every step gave: (steps + 1) times the clip's latents in memory.
template <class Unet, Real T, Backend B, class Inverse, class AfterStep = NoCallback>
[[nodiscard]] Trajectory<T, B> invert_trajectory(const Unet& unet, Inverse& scheduler, const Tensor<T, B>& latents,
                                                 const Tensor<T, B>& text, index_t steps,
                                                 const AfterStep& after_step = {}) {
    Trajectory<T, B> trajectory;
    static_cast<void>(invert(unet, scheduler, latents, text, steps, [&](index_t k, const Tensor<T, B>& x) {
        trajectory.latents.push_back(x);
        after_step(k, x);
    }));
    trajectory.timesteps = levels_of_inversion(scheduler);
    return trajectory;
}

/// Clean latents with one draw of noise, at the noise levels of a scheduler's run: what stands in for an inversion that
/// was not made (Avrahami et al. 2022, arXiv:2206.02779, noise the source anew in this way).
template <Real T, Backend B, class S>
[[nodiscard]] Trajectory<T, B> noised_trajectory(S& scheduler, const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                                 index_t steps) {
    static_assert(check_scheduler<S, T, B>());
    scheduler.set_timesteps(steps);
    std::vector<timestep_t<S>> timesteps(std::begin(scheduler.timesteps()), std::end(scheduler.timesteps()));
    ranges::reverse(timesteps);
    Trajectory<T, B> trajectory{{clean}, {}};
    for (const auto timestep : timesteps) {
        trajectory.latents.push_back(scheduler.add_noise(clean, noise, std::span<const timestep_t<S>>(&timestep, 1)));
        trajectory.timesteps.push_back(static_cast<double>(timestep));
    }
    return trajectory;
}

/// How latents are sampled where a clip is known; see Sampling.
template <class T, Backend B>
struct BlendedSampling {
    Guidance<T, B> guidance;
    Trajectory<T, B> outside; ///< the clip at the sampler's noise levels
    Tensor<T, B> mask;        ///< [frames, h, w, 1]: 1 inside, where it may change, 0 outside
    index_t num_inference_steps = 50;
    index_t skipped = 0;
};

/// sample_clip() that changes the clip inside a mask alone: after every step the latents outside it are replaced by the
/// clip's own of the same noise level, and at the end by its clean ones (Avrahami et al. 2022, Blended Latent
/// Diffusion, arXiv:2206.02779). `after_step` sees the blended latents; where it
/// returns a tensor, sampling goes on from that. Throws Error unless the sampler's noise levels
/// are those of the trajectory: equal numbers of steps, and a sampler with the timesteps of the inversion.
template <class Unet, Real T, Backend B, class S, class Noise = NoNoise, class AfterStep = NoCallback>
[[nodiscard]] Tensor<T, B> sample_clip_blended(const Unet& unet, S& scheduler, const Tensor<T, B>& latents,
                                               const BlendedSampling<T, B>& sampling, Noise&& noise = {},
                                               const AfterStep& after_step = {}) {
    const Trajectory<T, B>& outside = sampling.outside;
    const index_t steps = sampling.num_inference_steps;
    const index_t skipped = sampling.skipped;
    require(steps == outside.steps() && outside.latents.size() == outside.timesteps.size() + 1,
            "sample_clip_blended: ", steps, " sampling steps, but the clip is known at ", outside.steps(),
            " noise levels; sample with as many steps as it was inverted with");
    require(skipped >= 0 && skipped < steps, "sample_clip_blended: ", skipped, " of ", steps, " steps skipped");
    scheduler.set_timesteps(steps);
    std::size_t level = outside.timesteps.size();
    for (const auto timestep : scheduler.timesteps()) {
        const bool same = level > 0 && static_cast<double>(timestep) == outside.timesteps[--level];
        require(same, "sample_clip_blended: the sampler's timestep ", timestep,
                " is none of the inversion's at that step; use a sampler and an inversion with equal timesteps");
    }
    const auto blended = [&](const Tensor<T, B>& x, index_t k) {
        return blend(x, outside.latents[static_cast<std::size_t>(steps - k)], sampling.mask);
    };
    return sample_clip(unet, scheduler, blended(latents, skipped),
                       {.guidance = sampling.guidance, .num_inference_steps = steps, .skipped = skipped},
                       std::forward<Noise>(noise), [&](index_t k, const Tensor<T, B>& x) {
                           Tensor<T, B> result = blended(x, k);
                           if constexpr (std::same_as<decltype(after_step(k, result)), Tensor<T, B>>) {
                               return after_step(k, result);
                           } else {
                               after_step(k, result);
                               return result;
                           }
                       });
}

} // namespace reel
