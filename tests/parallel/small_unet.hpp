#pragma once
// A UNet of a few thousand weights.

#include <reel/models/unet.hpp>
#include <reel/nn/initialize.hpp>

namespace reel_test {

template <class T>
[[nodiscard]] reel::UNet3DConditionModel<T> small_unet(reel::Cpu& cpu) {
    reel::UNetConfig config;
    config.block_out_channels = {8, 16};
    config.down_block_attention = {true, false};
    config.up_block_attention = {false, true};
    config.layers_per_block = 1;
    config.norm_num_groups = 4;
    config.cross_attention_dim = 16;
    config.heads = {2, 2};
    reel::UNet3DConditionModel<T> unet(config);
    reel::initialize(unet, cpu, 3);
    return unet;
}

} // namespace reel_test
