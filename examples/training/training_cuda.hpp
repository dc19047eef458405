#pragma once
// Training on an NVIDIA GPU, which is a module of its own: see cuda_module.hpp.

#include "training_setup.hpp"

namespace training {

/// Throws Error, with what to do, where the program was built without CUDA or the machine has no GPU for it. Called
/// before anything is written.
void require_cuda();

/// A training whose networks are on the GPU.
void train_on_cuda(const TrainingSetup& setup);

/// What the module has: train_on_cuda(), and with null require_cuda() alone.
using CudaTraining = void(const TrainingSetup* setup);
inline constexpr const char* cuda_training_name = "reel_train_on_cuda";

} // namespace training
