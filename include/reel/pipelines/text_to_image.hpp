#pragma once

#include <utility>

#include <reel/pipelines/edit.hpp>

namespace reel {

/// Samples n pictures' latents [n, h, w, channels] with a 2D UNet, or what is called like one, each with its own text:
/// every picture is a clip of one frame. The guidance holds text and negative text [n, tokens, channels]. See
/// sample_clip(). Throws Error unless there are as many texts as pictures.
template <class U, Real T, Backend B, class S, class Noise = NoNoise, class AfterStep = NoCallback>
[[nodiscard]] Tensor<T, B> sample_pictures(const U& unet, S& scheduler, const Tensor<T, B>& latents,
                                           const Sampling<T, B>& sampling, Noise&& noise = {},
                                           const AfterStep& after_step = {}) {
    require(latents.rank() == 4 && sampling.guidance.text.shape(0) == latents.shape(0), "sample_pictures: latents ",
            latents.shape(), " and text ", sampling.guidance.text.shape(), "; expected as many texts as pictures");
    return sample_clip(unet, scheduler, latents, sampling, std::forward<Noise>(noise), after_step);
}

} // namespace reel
