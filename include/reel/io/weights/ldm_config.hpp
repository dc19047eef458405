#pragma once
// The JSON of a diffusers folder for a Stable Diffusion file that has none: read off the tensors' shapes where they
// say it, and otherwise as in Stable Diffusion 1.x and 2.x. Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/ldm_checkpoint.hpp>
#include <reel/io/weights/ldm_names.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// What a single file does not say.
struct LdmFacts {
    std::string prediction_type = "epsilon"; ///< what the UNet predicts: "epsilon" or "v_prediction"
    int image_size = 512;                    ///< pixels a side that the model was made for
};

/// config.json of each part, scheduler_config.json and model_index.json.
struct LdmConfigs {
    nlohmann::json unet;
    nlohmann::json vae;
    nlohmann::json text_encoder;
    nlohmann::json scheduler;
    nlohmann::json model_index;
};

namespace detail {

/// Extent of a tensor along an axis.
[[nodiscard]] inline std::int64_t ldm_extent(const StateDict& tensors, const std::string& name, std::size_t axis,
                                             const std::string& where) {
    const auto found = tensors.find(name);
    require(found != tensors.end(), where, ": tensor \"", name, "\" is missing");
    require(axis < found->second.shape.size(), where, ": tensor \"", name, "\" has shape ",
            shape_text(found->second.shape), ", too few dimensions");
    return found->second.shape[axis];
}

inline void require_divisible(std::int64_t value, std::int64_t by, std::string_view what, const std::string& where) {
    require(value > 0 && value % by == 0, where, ": ", what, " ", value, " is not a multiple of ", by,
            ", as in Stable Diffusion; take the configurations from a folder of that model instead");
}

} // namespace detail

/// The noise schedule of Stable Diffusion: sqrt(beta) rises linearly, in 1000 steps.
[[nodiscard]] inline std::vector<double> ldm_betas() {
    constexpr int steps = 1000;
    const double first = std::sqrt(0.00085);
    const double last = std::sqrt(0.012);
    std::vector<double> betas;
    for (int i = 0; i < steps; ++i) {
        const double root = first + (last - first) * i / (steps - 1);
        betas.push_back(root * root);
    }
    return betas;
}

/// config.json of a UNet under diffusers' names. `second`: Stable Diffusion 2, whose heads are of 64 channels; 1 has 8
/// heads. Throws Error where that, or 32 groups of a norm, do not divide the channels.
[[nodiscard]] inline nlohmann::json ldm_unet_config(const StateDict& unet, const LdmLayout& layout, bool second,
                                                    int sample_size, const std::string& where) {
    const auto extent = [&](const StateDict& tensors, const std::string& name, std::size_t axis) {
        return detail::ldm_extent(tensors, name, axis, where);
    };
    std::vector<std::int64_t> channels;
    std::vector<std::int64_t> heads;
    std::vector<std::string> down;
    std::vector<std::string> up;
    std::string attention;
    for (int level = 0; level < layout.unet_levels; ++level) {
        const std::string block = concat_text("down_blocks.", level);
        const auto width = extent(unet, block + ".resnets.0.conv2.weight", 0);
        detail::require_divisible(width, 32, "the UNet's channels", where);
        detail::require_divisible(width, second ? 64 : 8, "the UNet's channels", where);
        channels.push_back(width);
        heads.push_back(second ? width / 64 : 8);
        const bool crosses = layout.down_attention.at(static_cast<std::size_t>(level));
        attention = crosses && attention.empty() ? block + ".attentions.0" : attention;
        down.push_back(crosses ? "CrossAttnDownBlock2D" : "DownBlock2D");
        up.push_back(layout.up_attention.at(static_cast<std::size_t>(level)) ? "CrossAttnUpBlock2D" : "UpBlock2D");
    }
    attention = attention.empty() ? "mid_block.attentions.0" : attention;
    return {{"_class_name", "UNet2DConditionModel"},
            {"_diffusers_version", "0.11.1"},
            {"act_fn", "silu"},
            {"attention_head_dim", second ? nlohmann::json(heads) : nlohmann::json(8)},
            {"block_out_channels", channels},
            {"center_input_sample", false},
            {"cross_attention_dim", extent(unet, attention + ".transformer_blocks.0.attn2.to_k.weight", 1)},
            {"down_block_types", down},
            {"downsample_padding", 1},
            {"flip_sin_to_cos", true},
            {"freq_shift", 0},
            {"in_channels", extent(unet, "conv_in.weight", 1)},
            {"layers_per_block", layout.unet_layers},
            {"mid_block_scale_factor", 1},
            {"norm_eps", 1e-05},
            {"norm_num_groups", 32},
            {"out_channels", extent(unet, "conv_out.weight", 0)},
            {"sample_size", sample_size},
            {"up_block_types", up},
            {"use_linear_projection", unet.at(attention + ".proj_in.weight").shape.size() == 2}};
}

/// config.json of an autoencoder under diffusers' names; `image_size`: pixels a side that it was made for.
[[nodiscard]] inline nlohmann::json ldm_vae_config(const StateDict& vae, const LdmLayout& layout, int image_size,
                                                   const std::string& where) {
    const auto extent = [&](const StateDict& tensors, const std::string& name, std::size_t axis) {
        return detail::ldm_extent(tensors, name, axis, where);
    };
    std::vector<std::int64_t> vae_channels;
    for (int level = 0; level < layout.vae_levels; ++level) {
        vae_channels.push_back(extent(vae, concat_text("encoder.down_blocks.", level, ".resnets.0.conv2.weight"), 0));
        detail::require_divisible(vae_channels.back(), 32, "the autoencoder's channels", where);
    }
    const std::size_t vae_levels = vae_channels.size();
    return {{"_class_name", "AutoencoderKL"},
            {"_diffusers_version", "0.11.1"},
            {"act_fn", "silu"},
            {"block_out_channels", vae_channels},
            {"down_block_types", std::vector<std::string>(vae_levels, "DownEncoderBlock2D")},
            {"up_block_types", std::vector<std::string>(vae_levels, "UpDecoderBlock2D")},
            {"in_channels", extent(vae, "encoder.conv_in.weight", 1)},
            {"out_channels", extent(vae, "decoder.conv_out.weight", 0)},
            {"latent_channels", extent(vae, "post_quant_conv.weight", 1)},
            {"layers_per_block", layout.vae_layers},
            {"norm_num_groups", 32},
            {"sample_size", image_size}};
}

/// config.json of a text encoder under transformers' names; `open_clip`: Stable Diffusion 2's.
[[nodiscard]] inline nlohmann::json ldm_text_config(const StateDict& text, int layers, bool open_clip,
                                                    const std::string& where) {
    const auto extent = [&](const StateDict& tensors, const std::string& name, std::size_t axis) {
        return detail::ldm_extent(tensors, name, axis, where);
    };
    const std::string embeddings = "text_model.embeddings.";
    const auto vocabulary = extent(text, embeddings + "token_embedding.weight", 0);
    const auto width = extent(text, embeddings + "token_embedding.weight", 1);
    detail::require_divisible(width, 64, "the text encoder's width", where);
    return {{"architectures", {"CLIPTextModel"}},
            {"model_type", "clip_text_model"},
            {"vocab_size", vocabulary},
            {"hidden_size", width},
            {"projection_dim", open_clip ? 512 : 768}, // of no consequence here
            {"intermediate_size", extent(text, "text_model.encoder.layers.0.mlp.fc1.weight", 0)},
            {"num_hidden_layers", layers},
            {"num_attention_heads", width / 64},
            {"max_position_embeddings", extent(text, embeddings + "position_embedding.weight", 0)},
            {"layer_norm_eps", 1e-05},
            {"hidden_act", open_clip ? "gelu" : "quick_gelu"},
            {"attention_dropout", 0.0},
            {"dropout", 0.0},
            {"initializer_factor", 1.0},
            {"initializer_range", 0.02},
            {"bos_token_id", vocabulary - 2},
            {"eos_token_id", vocabulary - 1},
            {"pad_token_id", open_clip ? 0 : vocabulary - 1},
            {"torch_dtype", "float32"},
            {"transformers_version", "4.26.1"}};
}

/// scheduler_config.json. `betas` is the file's noise schedule or nothing; another than Stable Diffusion's goes into
/// trained_betas.
[[nodiscard]] inline nlohmann::json ldm_scheduler_config(const std::string& prediction_type,
                                                         const std::optional<std::vector<float>>& betas) {
    nlohmann::json scheduler = {{"_class_name", "DDIMScheduler"},
                                {"_diffusers_version", "0.11.1"},
                                {"beta_start", 0.00085},
                                {"beta_end", 0.012},
                                {"beta_schedule", "scaled_linear"},
                                {"num_train_timesteps", 1000},
                                {"trained_betas", nullptr},
                                {"clip_sample", false},
                                {"set_alpha_to_one", false},
                                {"steps_offset", 1},
                                {"prediction_type", prediction_type}};
    if (betas) {
        const std::vector<double> usual = ldm_betas();
        bool same = betas->size() == usual.size();
        for (std::size_t i = 0; same && i < usual.size(); ++i) {
            same = std::abs((*betas)[i] - usual[i]) <= 1e-4 * usual[i];
        }
        if (!same) {
            scheduler["num_train_timesteps"] = betas->size();
            scheduler["trained_betas"] = *betas;
        }
    }
    return scheduler;
}

/// model_index.json
[[nodiscard]] inline nlohmann::json ldm_model_index() {
    const std::array<nlohmann::json, 2> absent{nullptr, nullptr};
    return {{"_class_name", "StableDiffusionPipeline"},
            {"_diffusers_version", "0.11.1"},
            {"feature_extractor", absent},
            {"requires_safety_checker", nullptr},
            {"safety_checker", absent},
            {"scheduler", {"diffusers", "DDIMScheduler"}},
            {"text_encoder", {"transformers", "CLIPTextModel"}},
            {"tokenizer", {"transformers", "CLIPTokenizer"}},
            {"unet", {"diffusers", "UNet2DConditionModel"}},
            {"vae", {"diffusers", "AutoencoderKL"}}};
}

/// The configurations of a file's parts (ldm_to_diffusers). `betas` is the file's noise schedule or nothing; another
/// than Stable Diffusion's goes into the scheduler's trained_betas. Head counts and group norms cannot be read off
/// shapes: heads are 8 (Stable Diffusion 1) or of 64 channels (2, and both text encoders), groups are 32; where that
/// does not divide the channels, an Error says so.
[[nodiscard]] inline LdmConfigs ldm_configs(const LdmParts& parts, const LdmLayout& layout, const LdmFacts& facts,
                                            const std::optional<std::vector<float>>& betas, const std::string& where) {
    const int vae_factor = 1 << (layout.vae_levels - 1);
    require(facts.image_size > 0 && facts.image_size % vae_factor == 0, where, ": an image size of ", facts.image_size,
            ", expected a multiple of ", vae_factor);
    return {ldm_unet_config(parts.at(LdmPart::unet), layout, layout.open_clip, facts.image_size / vae_factor, where),
            ldm_vae_config(parts.at(LdmPart::vae), layout, facts.image_size, where),
            ldm_text_config(parts.at(LdmPart::text_encoder), layout.text_layers, layout.open_clip, where),
            ldm_scheduler_config(facts.prediction_type, betas), ldm_model_index()};
}

/// The noise schedule that a single file must carry for this scheduler_config.json, or nothing where it is Stable
/// Diffusion's. Throws Error for a schedule that is neither given as trained_betas nor (scaled_)linear.
[[nodiscard]] inline std::optional<std::vector<float>> ldm_betas_of(const nlohmann::json& scheduler,
                                                                    const std::string& where) {
    require(scheduler.is_object(), where, ": expected an object");
    try {
        if (scheduler.contains("trained_betas") && !scheduler["trained_betas"].is_null()) {
            return scheduler["trained_betas"].get<std::vector<float>>();
        }
        const auto kind = scheduler.value("beta_schedule", "linear"); // defaults of diffusers
        const double first = scheduler.value("beta_start", 0.0001);
        const double last = scheduler.value("beta_end", 0.02);
        const int steps = scheduler.value("num_train_timesteps", 1000);
        const bool scaled = kind == "scaled_linear";
        if (scaled && first == 0.00085 && last == 0.012 && steps == 1000) {
            return std::nullopt;
        }
        require(scaled || kind == "linear", where, ": a single file cannot say the beta_schedule \"", kind, "\"");
        require(steps > 1 && steps <= 1'000'000 && first > 0 && last > 0, where, ": beta_start ", first, ", beta_end ",
                last, " and num_train_timesteps ", steps, " are no noise schedule");
        std::vector<float> betas;
        for (int i = 0; i < steps; ++i) {
            const double part = static_cast<double>(i) / (steps - 1);
            const double root = std::sqrt(first) + (std::sqrt(last) - std::sqrt(first)) * part;
            betas.push_back(static_cast<float>(scaled ? root * root : first + (last - first) * part));
        }
        return betas;
    } catch (const nlohmann::json::exception&) {
        fail(where, ": the noise schedule's keys are of the wrong types");
    }
}

} // namespace reel
