#pragma once

#include <reel/pipelines/difference.hpp>
#include <reel/pipelines/fill_frames.hpp>
#include <reel/pipelines/mask_options.hpp>

namespace reel {

/// Noise [frames, h, w, channels] that is the same in every frame: what is drawn from it stays in its place from frame
/// to frame.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> shared_noise(B& backend, const Shape& shape, std::uint64_t seed, std::uint64_t stream) {
    require(shape.rank() == 4 && shape[0] > 0, "shared_noise: shape ", shape, "; expected [frames, h, w, channels]");
    Tensor<T, B> frame(backend, shape.with(0, 1));
    fill_normal(backend, frame, seed, stream);
    const std::vector<Tensor<T, B>> frames(static_cast<std::size_t>(shape[0]), frame);
    return concat_rows(std::span<const Tensor<T, B>>(frames));
}

namespace functors {

/// Moves a pixel of y toward x by `shrinkage`, as measured by the root mean square over channels, at most all the way.
template <class T>
struct ShrinkTowards {
    const T* x;
    T* y;
    T shrinkage;
    index_t channels;
    constexpr void operator()(index_t pixel) const {
        T squares = 0;
        for (index_t c = pixel * channels; c < (pixel + 1) * channels; ++c) {
            squares += (y[c] - x[c]) * (y[c] - x[c]);
        }
        const T change = std::sqrt(squares / static_cast<T>(channels));
        const T share = change > shrinkage ? T(1) - shrinkage / change : T(0);
        for (index_t c = pixel * channels; c < (pixel + 1) * channels; ++c) {
            y[c] = x[c] + share * (y[c] - x[c]);
        }
    }
};

} // namespace functors

/// The noise strength of a step: the range is covered evenly, and neighbouring steps lie far apart (the golden ratio's
/// multiples, modulo 1).
[[nodiscard]] inline double delta_strength(const DeltaOptions& options, index_t step) {
    constexpr double golden = 0.6180339887498949;
    const double share = std::fmod(golden * static_cast<double>(step + 1), 1.0);
    return options.weakest + share * (options.strongest - options.weakest);
}

/// Whether frames without a change are filled after a step, counted from 0.
[[nodiscard]] inline bool delta_fills_after(const DeltaOptions& options, index_t step) {
    return options.fill_below > 0 && (step + 1 == options.steps * 2 / 3 || step + 1 == options.steps * 5 / 6);
}

/// What delta_denoise() makes of a clip.
template <class T, Backend B>
struct DeltaEdit {
    Tensor<T, B> source; ///< [1, tokens, channels]: what the clip shows
    Tensor<T, B> edited; ///< the same shape: what it shall show
    DeltaOptions options{};
    std::uint64_t seed = 0;         ///< of the noise, which is that of shared_noise()
    std::uint64_t first_stream = 0; ///< the first step's; the next has the next
};

/// Clean latents [frames, h, w, channels] moved toward an edited text by the delta denoising score (Hertz et al. 2023,
/// arXiv:2304.07090): under the same noise, the prediction for what there is so far with the (guided) edited text,
/// minus the prediction for the clip with its own. What the model would change anyway cancels. The result is blurred,
/// but it changes where the edit belongs: an object that is missing is built up in many small steps, each of which
/// sees what the ones before it began. Start sampling from it with noise, and take its place from
/// latent_difference() and mask_of(). Small changes are taken back at every step (soft thresholding of pixels, as in
/// the group lasso: Yuan & Lin 2006), so that what is not part of the edit does not drift. What begins in some
/// frames and not in others is begun there too (fill_frames()), and the steps that follow put it in its place. With
/// DeltaAgainst::draft only the two texts are compared, both on the draft (as in classifier score distillation: Yu et
/// al. 2023, arXiv:2310.19415), a third less work; what the model would change anyway is then left to the shrinking.
/// The scheduler gives schedule, prediction type and add_noise. `after_step` is called after every step.
template <class Unet, Real T, Backend B, class S, class AfterStep = NoCallback>
[[nodiscard]] Tensor<T, B> delta_denoise(const Unet& unet, const S& scheduler, const Tensor<T, B>& clean,
                                         const DeltaEdit<T, B>& edit, const AfterStep& after_step = {}) {
    const DeltaOptions& options = edit.options;
    check_options(options, [](std::string_view name) { return concat_text("delta denoising: ", name); });
    const index_t frames = clean.shape(0);
    const bool looks_at_clip = options.against == DeltaAgainst::clip;
    const Tensor<T, B> texts =
        looks_at_clip ? concat_rows({edit.source, edit.edited, edit.source}) : concat_rows({edit.source, edit.edited});
    const index_t against = looks_at_clip ? 2 * frames : 0; // whose prediction under its own text
    const auto guidance = static_cast<T>(options.guidance_scale);
    const auto size = static_cast<T>(options.step_size);
    Tensor<T, B> moved = clean;
    for (index_t step = 0; step < options.steps; ++step) {
        const index_t timestep = timestep_of_strength(delta_strength(options, step), scheduler.schedule().size());
        const Tensor<T, B> noise = shared_noise<T>(clean.backend(), clean.shape(), edit.seed,
                                                   edit.first_stream + static_cast<std::uint64_t>(step));
        const Tensor<T, B> here = scheduler.add_noise(moved, noise, timestep);
        const Tensor<T, B> there = looks_at_clip ? scheduler.add_noise(clean, noise, timestep) : here;
        const auto at = static_cast<double>(timestep);
        const Tensor<T, B> outputs = unet(looks_at_clip ? concat_rows({here, here, there}) : concat_rows({here, here}),
                                          std::span<const double>(&at, 1), texts, frames);
        const Tensor<T, B> guided =
            axpby(T(1) - guidance, outputs.slice(0, frames), guidance, outputs.slice(frames, 2 * frames));
        const Mixture noise_of =
            noise_mixture(scheduler.config().prediction_type, scheduler.schedule().level(timestep));
        const auto by_output = static_cast<T>(noise_of.output);
        Tensor<T, B> delta = axpby(by_output, guided, -by_output, outputs.slice(against, against + frames));
        if (looks_at_clip && noise_of.sample != 0) {
            const auto by_sample = static_cast<T>(noise_of.sample);
            delta = add(delta, axpby(by_sample, here, -by_sample, there));
        }
        moved = axpby(T(1), moved, -size, delta);
        if (options.shrinkage > 0) {
            clean.backend().for_each_index(clean.size() / clean.shape(3),
                                           functors::ShrinkTowards<T>{clean.data(), moved.data(),
                                                                      static_cast<T>(options.shrinkage),
                                                                      clean.shape(3)});
        }
        if (delta_fills_after(options, step)) {
            static_cast<void>(fill_frames(clean, moved, options.fill_below));
        }
        after_step();
    }
    return moved;
}

/// How much two clips' latents [frames, h, w, channels] differ, pixel by pixel: the mean over channels of the absolute
/// difference, [frames, h, w, 1].
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> latent_difference(const Tensor<T, B>& a, const Tensor<T, B>& b) {
    require(a.rank() == 4 && a.shape() == b.shape(), "latent_difference: ", a.shape(), " and ", b.shape(),
            "; expected two of [frames, h, w, channels]");
    const auto difference = Tensor<T, B>::zeros(a.backend(), a.shape().with(3, 1));
    const auto share = static_cast<T>(1.0 / static_cast<double>(a.shape(3)));
    a.backend().for_each_index(difference.size(), functors::AddAbsoluteDifference<T>{a.data(), b.data(), share,
                                                                                     difference.data(), a.shape(3)});
    return difference;
}

} // namespace reel
