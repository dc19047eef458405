#pragma once // Needs reel::text and reel::io.
// Sides of the pictures that a model makes.

#include <string_view>

#include <reel/pipelines/any_networks.hpp>

namespace reel {

/// Side of the pictures that a model was made for, pixels.
[[nodiscard]] inline int default_size(const PipelineFacts& model) {
    return static_cast<int>(model.sample_size * model.pixels_per_latent);
}

/// A side in pixels as it was asked for, or of 0 default_size(). Throws Error that begins with `what`, such as
/// "--width", for one that is no multiple of the model's pixels per latent.
[[nodiscard]] inline int picture_size(int side, const PipelineFacts& model, std::string_view what) {
    require(side % model.pixels_per_latent == 0, what, " ", side, ": expected a multiple of ", model.pixels_per_latent,
            ", the autoencoder's pixels per latent");
    return side == 0 ? default_size(model) : side;
}

} // namespace reel
