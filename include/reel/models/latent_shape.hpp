#pragma once

#include <reel/models/autoencoder.hpp>

namespace reel {

/// Shape of the latents of so many frames of height x width pixels, [frames, height / 8, width / 8, latent channels] of
/// Stable Diffusion. Throws Error unless both are multiples of the pixels that a latent spans.
template <LatentConfig C>
[[nodiscard]] Shape latent_shape(const C& vae, index_t frames, index_t height, index_t width) {
    const index_t span = vae.pixels_per_latent();
    require(frames > 0 && height > 0 && width > 0 && height % span == 0 && width % span == 0, "latent_shape: ", frames,
            " frames of ", height, " x ", width, " pixels; expected multiples of ", span);
    return {frames, height / span, width / span, vae.latent_channels};
}

/// The same of an autoencoder, or of a model that has one as `vae`, such as StableDiffusion.
template <class M>
requires(!LatentConfig<M>) [[nodiscard]] Shape
    latent_shape(const M& model, index_t frames, index_t height, index_t width) {
    if constexpr (requires { model.vae.config; }) {
        return latent_shape(model.vae.config, frames, height, width);
    } else {
        return latent_shape(model.config, frames, height, width);
    }
}

} // namespace reel
