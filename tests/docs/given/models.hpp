#pragma once
#include <reel/tensor.hpp>

#include "docs/here.hpp"

namespace docs::models_md {

inline reel::Cpu backend(1);
inline const reel::index_t frames = 2;
inline const std::vector<std::int32_t> ids(77, 1);
inline const auto pictures = reel::Tensor<float>::full(backend, {frames, 32, 32, 3}, 0.5F);
inline const auto noise = reel::Tensor<float>::full(backend, {frames, 4, 4, 4}, 0.1F);

inline void prepare() {}

} // namespace docs::models_md
