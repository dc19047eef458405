#pragma once
// The tiny model of tests/golden with a UNet that paints inside of a mask.

#include <filesystem>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/weights.hpp>

#include "support/golden.hpp"

namespace reel_test {

/// golden/sd1_tiny with the first convolution of golden/inpainting, as diffusers saves such a model.
inline void put_inpainting_model(const std::filesystem::path& folder) {
    std::filesystem::copy("golden/sd1_tiny", folder, std::filesystem::copy_options::recursive);
    const std::filesystem::path unet = folder / "unet";
    auto weights = reel::load_weights(unet, reel::diffusers_weight_names);
    weights.insert_or_assign("conv_in.weight", Golden("inpainting").at("conv_in.weight"));
    nlohmann::json config = reel::read_json(unet / "config.json");
    config["in_channels"] = 9;
    std::filesystem::remove_all(unet);
    std::filesystem::create_directory(unet);
    reel::write_json(unet / "config.json", config);
    reel::write_safetensors(unet / "diffusion_pytorch_model.safetensors", weights, {{"format", "pt"}});
    nlohmann::json index = reel::read_json(folder / "model_index.json");
    index["_class_name"] = "StableDiffusionInpaintPipeline";
    reel::write_json(folder / "model_index.json", index);
}

} // namespace reel_test
