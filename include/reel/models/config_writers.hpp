#pragma once
// The JSON of a Stable Diffusion folder that describes its models, for folders that reel makes. A UNet's is
// write_unet_config() in configs.hpp. Needs nlohmann-json (target reel::io).

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/clip_text.hpp>

namespace reel {

/// config.json of a vae/, as diffusers 0.11.1 and later load it. scaling_factor, which 0.11.1 does not know, is
/// written only where it is not the 0.18215 that every reader takes for granted.
[[nodiscard]] inline nlohmann::json write_autoencoder_kl_config(const AutoencoderKLConfig& c) {
    const std::size_t levels = c.block_out_channels.size();
    nlohmann::json j = {{"_class_name", "AutoencoderKL"},
                        {"_diffusers_version", "0.11.1"},
                        {"act_fn", "silu"},
                        {"block_out_channels", c.block_out_channels},
                        {"down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D")},
                        {"up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D")},
                        {"in_channels", c.in_channels},
                        {"out_channels", c.out_channels},
                        {"latent_channels", c.latent_channels},
                        {"layers_per_block", c.layers_per_block},
                        {"norm_num_groups", c.norm_num_groups},
                        {"sample_size", c.sample_size}};
    if (c.scaling_factor != AutoencoderKLConfig{}.scaling_factor) {
        j["scaling_factor"] = c.scaling_factor;
    }
    for (const auto& [key, used] :
         {std::pair{"use_quant_conv", c.use_quant_conv}, std::pair{"use_post_quant_conv", c.use_post_quant_conv}}) {
        if (!used) { // keys that 0.11.1 does not know either
            j[key] = false;
        }
    }
    return j;
}

/// config.json of a text_encoder/, as transformers loads it. The start and end tokens are taken to be the last two of
/// the vocabulary, in this order, as in every CLIP vocabulary.
[[nodiscard]] inline nlohmann::json write_clip_text_config(const CLIPTextConfig& c) {
    return {{"architectures", {"CLIPTextModel"}},
            {"model_type", "clip_text_model"},
            {"vocab_size", c.vocab_size},
            {"hidden_size", c.hidden_size},
            {"projection_dim", c.hidden_size},
            {"intermediate_size", c.intermediate_size},
            {"num_hidden_layers", c.num_hidden_layers},
            {"num_attention_heads", c.num_attention_heads},
            {"max_position_embeddings", c.max_position_embeddings},
            {"layer_norm_eps", c.layer_norm_eps},
            {"hidden_act", c.quick_gelu ? "quick_gelu" : "gelu"},
            {"attention_dropout", 0.0},
            {"dropout", 0.0},
            {"initializer_factor", 1.0},
            {"initializer_range", 0.02},
            {"bos_token_id", c.vocab_size - 2},
            {"eos_token_id", c.vocab_size - 1},
            {"pad_token_id", c.vocab_size - 1},
            {"torch_dtype", "float32"},
            {"transformers_version", "4.26.1"}};
}

/// model_index.json of a Stable Diffusion folder with a 2D unet/ and without safety checker. `scheduler` is the class
/// that scheduler/scheduler_config.json names.
[[nodiscard]] inline nlohmann::json write_model_index(std::string_view scheduler = "DDIMScheduler") {
    const std::array<nlohmann::json, 2> absent{nullptr, nullptr};
    return {{"_class_name", "StableDiffusionPipeline"},
            {"_diffusers_version", "0.11.1"},
            {"feature_extractor", absent},
            {"requires_safety_checker", nullptr},
            {"safety_checker", absent},
            {"scheduler", {"diffusers", scheduler}},
            {"text_encoder", {"transformers", "CLIPTextModel"}},
            {"tokenizer", {"transformers", "CLIPTokenizer"}},
            {"unet", {"diffusers", "UNet2DConditionModel"}},
            {"vae", {"diffusers", "AutoencoderKL"}}};
}

} // namespace reel
