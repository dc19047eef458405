#pragma once
// What a training from nothing is given, wherever its networks are.

#include <functional>

#include "picture_source.hpp"
#include "training_options.hpp"

namespace training {

struct Work {
    const Options& options;
    reel::Cpu& cpu;                      ///< draws the pictures
    const pictures::Source& source;      ///< of what the autoencoder is trained on, and what is held out
    const pictures::Source& unet_source; ///< of what text encoder and UNet are trained on
    std::function<void()> check_stop;    ///< called between steps; throws when the training is to end
};

} // namespace training
