#pragma once
#include <algorithm>
#include <filesystem>
#include <iostream>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/pipelines/pixel_mask.hpp>
#include <reel/tensor.hpp>

#include "docs/here.hpp"

namespace docs::pipelines_md {

inline const std::uint64_t seed = 33;
inline const reel::Frames clip = reel::make_frames(2, 32, 32, 8);
inline reel::Cpu backend(1);
inline const reel::PixelMask where = [] { // the upper half
    reel::PixelMask mask(2, 32, 32);
    for (int f = 0; f < 2; ++f) {
        std::fill_n(mask.frame(f).begin(), 16 * 32, reel::PixelMask::whole);
    }
    return mask;
}();
inline const auto latents = reel::Tensor<float>::full(backend, {2, 4, 4, 4}, 0.5F);

/// The model with a first convolution of 9 channels.
inline void put_inpainting_model() {
    namespace fs = std::filesystem;
    const fs::path unet = "stable-diffusion-inpainting/unet";
    fs::copy("stable-diffusion-v1-4", unet.parent_path(), fs::copy_options::recursive);
    auto weights = reel::load_weights(unet, reel::diffusers_weight_names);
    std::vector<std::int64_t> shape = weights.at("conv_in.weight").shape;
    shape[1] = 9;
    weights.insert_or_assign(
        "conv_in.weight",
        reel::HostTensor::make<float>(shape, std::vector<float>(static_cast<std::size_t>(shape[0] * 81), 0.01F)));
    nlohmann::json config = reel::read_json(unet / "config.json");
    config["in_channels"] = 9;
    fs::remove_all(unet);
    fs::create_directory(unet);
    reel::write_json(unet / "config.json", config);
    reel::write_safetensors(unet / "diffusion_pytorch_model.safetensors", weights, {{"format", "pt"}});
}

inline void prepare() {
    put_inpainting_model();
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
