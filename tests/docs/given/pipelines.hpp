#pragma once
#include <iostream>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/tensor.hpp>

#include "docs/here.hpp"

namespace docs::pipelines_md {

inline const std::uint64_t seed = 33;
inline const reel::Frames clip = reel::make_frames(2, 32, 32, 8);
inline reel::Cpu backend(1);
inline const auto latents = reel::Tensor<float>::full(backend, {2, 4, 4, 4}, 0.5F);

inline void prepare() {
    const std::string layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    const auto width =
        reel::read_json("stable-diffusion-v1-4/unet/config.json").at("block_out_channels").front().get<std::int64_t>();
    const auto factor = [](std::int64_t rows, std::int64_t columns) {
        return reel::HostTensor::make<float>({rows, columns},
                                             std::vector<float>(static_cast<std::size_t>(rows * columns), 0.1F));
    };
    reel::write_safetensors("sketch.safetensors", {{layer + ".lora_down.weight", factor(2, width)},
                                                   {layer + ".lora_up.weight", factor(width, 2)},
                                                   {layer + ".alpha", reel::HostTensor::make<float>({}, {1})}});
}

} // namespace docs::pipelines_md
