#pragma once
#include <reel/backend/cpu/cpu.hpp>
#include <reel/tensor.hpp>

#include "docs/here.hpp"

namespace docs::optim_md {

inline reel::Cpu backend(1);
inline const auto weight = reel::Tensor<float>::full(backend, {4}, 1.0F);
inline const auto gradient = reel::Tensor<float>::full(backend, {4}, 0.1F);

inline void prepare() {}

} // namespace docs::optim_md
