#pragma once

#include <reel/core/random.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// All that is random in one noise draw.
template <class T, Backend B>
struct TrainingNoise {
    Tensor<T, B> posterior; ///< [frames, h, w, latent channels]
    Tensor<T, B> noise;     ///< the same shape
    index_t timestep = 0;
};

/// Noise of draw number `draw`, a pure function of the seed: a run that is continued sees what an uninterrupted one
/// does, on every backend.
template <Real T, Backend B>
[[nodiscard]] TrainingNoise<T, B> training_noise(B& backend, const Shape& latents, std::uint64_t seed, index_t draw,
                                                 index_t num_train_timesteps) {
    const auto stream = 3 * static_cast<std::uint64_t>(draw);
    TrainingNoise<T, B> result{Tensor<T, B>(backend, latents), Tensor<T, B>(backend, latents), 0};
    fill_normal(backend, result.posterior, seed, stream);
    fill_normal(backend, result.noise, seed, stream + 1);
    result.timestep = Philox(seed, stream + 2).below(0, static_cast<std::uint32_t>(num_train_timesteps));
    return result;
}

} // namespace reel
