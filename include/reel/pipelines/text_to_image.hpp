#pragma once

#include <reel/models/unet.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/pipelines/edit.hpp>

namespace reel {

/// Samples n pictures' latents [n, h, w, channels] with a 2D UNet, or what is called like one, each with its own text:
/// every picture is a clip of one frame. `guidance` holds text and negative text [n, tokens, channels]. `noise` is a
/// tensor or a source, used by schedulers that draw; `after_step(k, latents)` is called after every step, k from 1.
/// Throws Error unless there are as many texts as pictures.
template <class U, Real T, Backend B, class S, class Noise, class AfterStep>
[[nodiscard]] Tensor<T, B> sample_pictures(const U& unet, S& scheduler, Tensor<T, B> latents,
                                           const Guidance<T, B>& guidance, index_t steps, Noise&& noise,
                                           const AfterStep& after_step) {
    static_assert(check_scheduler<S, T, B>());
    require(latents.rank() == 4 && guidance.text.shape(0) == latents.shape(0), "sample_pictures: latents ",
            latents.shape(), " and text ", guidance.text.shape(), "; expected as many texts as pictures");
    scheduler.set_timesteps(steps);
    const index_t count = latents.shape(0);
    const bool guided = guidance.scale > 1;
    const Tensor<T, B> texts = guided ? concat_rows({guidance.negative, guidance.text}) : guidance.text;
    index_t done = 0;
    for (const auto timestep : scheduler.timesteps()) {
        const double at = static_cast<double>(timestep);
        Tensor<T, B> input = scheduler.scale_model_input(latents, timestep);
        input = guided ? concat_rows({input, input}) : input;
        Tensor<T, B> output = unet(input, std::span<const double>(&at, 1), texts, 1);
        if (guided) {
            const auto factor = static_cast<T>(guidance.scale);
            output = axpby(T(1) - factor, output.slice(0, count), factor, output.slice(count, 2 * count));
        }
        latents = scheduler.step(output, timestep, latents, noise);
        after_step(++done, latents);
    }
    return latents;
}

} // namespace reel
