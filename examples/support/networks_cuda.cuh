#pragma once
// Networks on an NVIDIA GPU. Each scalar type has its .cu, so that they compile side by side.

#include <reel/backend/cuda/cuda.cuh>

#include "networks_of.hpp"

namespace editing {

[[nodiscard]] Model load_float_model(Cpu& cpu, reel::Cuda& cuda, const ModelSource& source);
[[nodiscard]] Model load_bfloat16_model(Cpu& cpu, reel::Cuda& cuda, const ModelSource& source);
[[nodiscard]] Model load_half_model(Cpu& cpu, reel::Cuda& cuda, const ModelSource& source);

} // namespace editing
