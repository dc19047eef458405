#pragma once
// A small Stable Diffusion with random weights, whose shapes follow the rules by which a single file is read: groups of
// 32 channels, 8 heads (1.x) or heads of 64 (2.x). Needs reel::io and reel::text.

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/io/convert.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/config_writers.hpp>
#include <reel/models/configs.hpp>
#include <reel/models/random_weights.hpp>
#include <reel/models/unet.hpp>
#include <reel/pipelines/model_options.hpp>

#include "io/temporary_folder.hpp"

namespace reel_test {

/// Writes a diffusers folder of Stable Diffusion 1 or, with `second`, 2.
inline void write_small_model(const std::filesystem::path& folder, bool second) {
    using namespace reel;
    Cpu cpu(1);
    UNetConfig unet;
    unet.temporal = false;
    unet.block_out_channels = second ? std::vector<index_t>{64, 64, 64, 64} : std::vector<index_t>{32, 32, 64, 64};
    unet.heads = std::vector<index_t>(4, second ? 1 : 8);
    unet.layers_per_block = 1;
    unet.cross_attention_dim = 64;
    unet.use_linear_projection = second;
    unet.sample_size = second ? 96 : 64;
    AutoencoderKLConfig vae;
    vae.block_out_channels = {32, 32, 32, 32};
    vae.layers_per_block = 1;
    vae.sample_size = second ? 768 : 512;
    CLIPTextConfig text;
    text.vocab_size = 555;
    text.hidden_size = 64;
    text.intermediate_size = 96;
    text.num_hidden_layers = 2;
    text.num_attention_heads = 1;
    text.quick_gelu = !second;
    std::filesystem::create_directories(folder);
    const auto write = [&](const std::string& part, const std::string& file, const nlohmann::json& config,
                           const auto& model) {
        std::filesystem::create_directory(folder / part);
        write_json(folder / part / "config.json", config);
        write_safetensors(folder / part / (file + ".safetensors"), random_weights(model, cpu, 7), {{"format", "pt"}});
    };
    write("unet", "diffusion_pytorch_model", write_unet_config(unet), UNet3DConditionModel<float>(unet));
    write("vae", "diffusion_pytorch_model", write_autoencoder_kl_config(vae), AutoencoderKL<float>(vae));
    write("text_encoder", "model", write_clip_text_config(text), CLIPTextModel<float>(text));
    std::filesystem::copy(second ? "golden/sd2_tiny/tokenizer" : "golden/sd1_tiny/tokenizer", folder / "tokenizer",
                          std::filesystem::copy_options::recursive);
    std::filesystem::create_directory(folder / "scheduler");
    write_json(folder / "scheduler" / "scheduler_config.json",
               ldm_scheduler_config(second ? "v_prediction" : "epsilon", std::nullopt));
    write_json(folder / "model_index.json", write_model_index());
}

/// A small model as a folder and as a single file, made once.
struct SmallModels {
    TemporaryFolder folder;
    std::array<std::filesystem::path, 2> folders{folder / "one", folder / "two"};
    std::array<std::filesystem::path, 2> files{folder / "one.safetensors", folder / "two.safetensors"};

    SmallModels() {
        for (const bool second : {false, true}) {
            write_small_model(folders[second], second);
            reel::convert_checkpoint(folders[second], files[second]);
        }
    }
    [[nodiscard]] reel::ModelOptions tokenizer(bool second) const {
        return {.tokenizer = (folders[second] / "tokenizer").string()};
    }
};

inline const SmallModels& small() {
    static const SmallModels models;
    return models;
}

} // namespace reel_test
