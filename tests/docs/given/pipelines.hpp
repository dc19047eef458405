#pragma once
#include <reel/io/pictures/frames.hpp>
#include <reel/tensor.hpp>

#include "docs/here.hpp"

namespace docs::pipelines_md {

inline const std::uint64_t seed = 33;
inline const reel::Frames clip = reel::make_frames(2, 32, 32, 8);
inline reel::Cpu backend(1);
inline const auto latents = reel::Tensor<float>::full(backend, {2, 4, 4, 4}, 0.5F);

inline void prepare() {}

} // namespace docs::pipelines_md
