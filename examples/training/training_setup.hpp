#pragma once
// What a training from nothing is given, wherever its networks are.

#include <functional>

#include "dataset.hpp"
#include "training_options.hpp"

namespace training {

struct TrainingSetup {
    const Options& options;
    reel::Cpu& cpu;                   ///< draws the pictures
    const Dataset& dataset;           ///< of what the autoencoder is trained on, and what is held out
    const Dataset& unet_dataset;      ///< of what text encoder and UNet are trained on
    std::function<void()> check_stop; ///< called between steps; throws when the training is to end
};

} // namespace training
