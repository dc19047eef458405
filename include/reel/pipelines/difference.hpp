#pragma once

#include <reel/core/random.hpp>
#include <reel/core/ranges.hpp>
#include <reel/pipelines/blend.hpp>
#include <reel/schedulers/schedule/prediction.hpp>

namespace reel {

namespace functors {

/// sum[p] += factor * |x[p, c] - y[p, c]|, summed over channels.
template <class T>
struct AddAbsoluteDifference {
    const T* x;
    const T* y;
    T factor;
    T* sum;
    index_t channels;
    constexpr void operator()(index_t pixel) const {
        T total = 0;
        for (index_t c = pixel * channels; c < (pixel + 1) * channels; ++c) {
            total += x[c] < y[c] ? y[c] - x[c] : x[c] - y[c];
        }
        sum[pixel] += factor * total;
    }
};

} // namespace functors

/// A clip's latents with noise, for a look at what a model makes of them.
template <class T, Backend B>
struct NoisySample {
    Tensor<T, B> latents; ///< [frames, h, w, channels]
    double timestep = 0;
    double noise_per_output = 1; ///< the noise that a unit of the model's output stands for, by its prediction type
};

/// The timestep of a noise strength: 1 is the schedule's last. Throws Error for a strength outside (0, 1].
[[nodiscard]] inline index_t timestep_of_strength(double strength, index_t timesteps) {
    require(strength > 0 && strength <= 1, "noise strength ", strength, "; expected more than 0 and at most 1");
    return std::clamp<index_t>(std::lround(strength * static_cast<double>(timesteps)) - 1, 0, timesteps - 1);
}

/// `draws` noisy versions of clean latents at each noise strength. Noise is a function of seed, strength's position and
/// draw. The scheduler gives schedule, prediction type and add_noise: DDIMScheduler, DDPMScheduler.
template <Real T, Backend B, class S>
[[nodiscard]] std::vector<NoisySample<T, B>> noised_samples(const S& scheduler, const Tensor<T, B>& clean,
                                                            std::span<const double> strengths, index_t draws,
                                                            std::uint64_t seed) {
    require(draws > 0, "noised_samples: ", draws, " draws; expected 1 or more");
    std::vector<NoisySample<T, B>> samples;
    std::uint64_t stream = std::uint64_t{1} << 42; // beyond those of tuning and sampling
    for (const double strength : strengths) {
        const index_t timestep = timestep_of_strength(strength, scheduler.schedule().size());
        const double per_output =
            noise_mixture(scheduler.config().prediction_type, scheduler.schedule().level(timestep)).output;
        for (index_t draw = 0; draw < draws; ++draw) {
            Tensor<T, B> noise(clean.backend(), clean.shape());
            fill_normal(clean.backend(), noise, seed, stream++);
            samples.push_back({scheduler.add_noise(clean, noise, timestep), static_cast<double>(timestep), per_output});
        }
    }
    return samples;
}

/// The latents of a trajectory (an inversion's) that are nearest to each noise strength.
template <Real T, Backend B, class S>
[[nodiscard]] std::vector<NoisySample<T, B>> trajectory_samples(const S& scheduler, const Trajectory<T, B>& trajectory,
                                                                std::span<const double> strengths) {
    require(trajectory.steps() > 0, "trajectory_samples: the trajectory has no steps");
    std::vector<NoisySample<T, B>> samples;
    for (const double strength : strengths) {
        const auto wanted = static_cast<double>(timestep_of_strength(strength, scheduler.schedule().size()));
        const auto nearest =
            ranges::min_element(trajectory.timesteps, {}, [&](double timestep) { return std::abs(timestep - wanted); });
        const auto step = static_cast<std::size_t>(nearest - trajectory.timesteps.begin());
        const auto level = scheduler.schedule().level(static_cast<index_t>(*nearest));
        samples.push_back(
            {trajectory.latents[step + 1], *nearest, noise_mixture(scheduler.config().prediction_type, level).output});
    }
    return samples;
}

/// How much the predicted noise differs between two texts, pixel by pixel: the mean over samples and channels of the
/// absolute difference, [frames, h, w, 1]. Where it is large, the second text wants the picture changed: mask_of()
/// makes the mask (Couairon et al. 2022, DiffEdit, arXiv:2210.11427). `after_sample` is called after each sample.
template <class Unet, Real T, Backend B, class AfterSample>
[[nodiscard]] Tensor<T, B> prediction_difference(const Unet& unet, const std::vector<NoisySample<T, B>>& samples,
                                                 const Tensor<T, B>& source, const Tensor<T, B>& edited,
                                                 const AfterSample& after_sample) {
    require(!samples.empty(), "prediction_difference: no samples");
    const Shape shape = samples.front().latents.shape();
    const auto difference = Tensor<T, B>::zeros(samples.front().latents.backend(), shape.with(3, 1));
    const double share = 1.0 / static_cast<double>(samples.size() * static_cast<std::size_t>(shape[3]));
    const Tensor<T, B> texts = concat_rows({source, edited});
    for (const NoisySample<T, B>& sample : samples) {
        require(sample.latents.shape() == shape, "prediction_difference: samples ", shape, " and ",
                sample.latents.shape(), "; expected equal shapes");
        const Tensor<T, B> both = unet(concat_rows({sample.latents, sample.latents}),
                                       std::span<const double>(&sample.timestep, 1), texts, shape[0]);
        difference.backend().for_each_index(
            difference.size(),
            functors::AddAbsoluteDifference<T>{
                both.slice(0, shape[0]).data(), both.slice(shape[0], 2 * shape[0]).data(),
                static_cast<T>(share * std::abs(sample.noise_per_output)), difference.data(), shape[3]});
        after_sample();
    }
    return difference;
}

} // namespace reel
