#pragma once
// What a file of weights is for, told by its tensors' names: for the sentence that somebody gets who gave the wrong
// one. Needs no library.

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/ldm_names.hpp>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace reel {

/// What files of weights that are passed around turn out to be.
enum class WeightsKind {
    stable_diffusion, ///< one file of Stable Diffusion 1 or 2
    unet,             ///< a UNet of diffusers
    vae,              ///< an autoencoder alone, under diffusers' names or the original ones
    text_encoder,     ///< a text encoder alone
    lora,
    textual_inversion, ///< vectors for new words
    controlnet,
    ip_adapter,
    motion_module, ///< of AnimateDiff
    tiny_vae,      ///< TAESD, or a half of one
    sdxl,
    sd3,
    flux,
    clip, ///< a whole CLIP, with its vision tower
    optimizer,
    unknown
};

namespace detail {

[[nodiscard]] inline bool has_any_prefix(const StateDict& tensors, std::initializer_list<std::string_view> prefixes) {
    return ranges::any_of(prefixes, [&](std::string_view prefix) { return has_prefix(tensors, prefix); });
}

/// Whether a name has one of the texts in it.
[[nodiscard]] inline bool has_inside(const StateDict& tensors, std::initializer_list<std::string_view> texts) {
    return ranges::any_of(tensors, [&](const auto& entry) {
        return ranges::any_of(texts,
                              [&](std::string_view text) { return entry.first.find(text) != std::string::npos; });
    });
}

/// One or two matrices of a text encoder's width.
[[nodiscard]] inline bool looks_like_words(const StateDict& tensors) {
    return !tensors.empty() && tensors.size() <= 2 && ranges::all_of(tensors, [](const auto& entry) {
        const auto& shape = entry.second.shape;
        const std::int64_t width = shape.empty() ? 0 : shape.back();
        return shape.size() <= 2 && (width == 768 || width == 1024 || width == 1280);
    });
}

} // namespace detail

/// The halves of a TAESD, which its own code keeps in files apart.
enum class TaesdHalf { encoder, decoder };

/// Which half a file holds whose layers have numbers alone, or nothing for another file. The decoder's layer 0 is a
/// clamp without weights.
[[nodiscard]] inline std::optional<TaesdHalf> taesd_half(const StateDict& tensors) {
    if (tensors.contains("0.weight") && tensors.contains("1.conv.0.weight")) {
        return TaesdHalf::encoder;
    }
    const bool decoder =
        !tensors.contains("0.weight") && tensors.contains("1.weight") && tensors.contains("3.conv.0.weight");
    return decoder ? std::optional(TaesdHalf::decoder) : std::nullopt;
}

/// What the tensors are.
[[nodiscard]] inline WeightsKind weights_kind(const StateDict& tensors) {
    const auto starts = [&](auto... prefixes) { return detail::has_any_prefix(tensors, {prefixes...}); };
    const auto has = [&](auto... texts) { return detail::has_inside(tensors, {texts...}); };
    if (starts("conditioner.embedders.", "model.diffusion_model.label_emb.", "add_embedding.")) {
        return WeightsKind::sdxl;
    }
    if (has("double_blocks.", "single_transformer_blocks.")) {
        return WeightsKind::flux;
    }
    if (has("joint_blocks.", "attn.add_q_proj.")) {
        return WeightsKind::sd3;
    }
    if (starts("control_model.", "controlnet_cond_embedding.", "controlnet_down_blocks.", "input_hint_block.")) {
        return WeightsKind::controlnet;
    }
    if (starts("ip_adapter.", "image_proj.", "image_proj_model.")) {
        return WeightsKind::ip_adapter;
    }
    const bool whole = starts("model.diffusion_model.input_blocks.", "diffusion_model.input_blocks.", "input_blocks.");
    if (!whole && !has(".base_layer.") &&
        (starts("lora_unet_", "lora_te") || has(".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", "_lora.down.",
                                                ".lora_linear_layer.", ".hada_w1_a", ".lokr_w1", ".lora_mid."))) {
        return WeightsKind::lora;
    }
    if (has("motion_modules.")) {
        return WeightsKind::motion_module;
    }
    if (whole) {
        return WeightsKind::stable_diffusion;
    }
    if (starts("down_blocks.0.resnets.", "down_blocks.0.attentions.", "time_embedding.linear_1.")) {
        return WeightsKind::unet;
    }
    if (starts("emb_params", "string_to_param.", "clip_l", "clip_g")) {
        return WeightsKind::textual_inversion;
    }
    if (starts("decoder.layers.", "taesd_encoder.", "taesd_decoder.", "decoder.1.weight") || taesd_half(tensors)) {
        return WeightsKind::tiny_vae;
    }
    if (starts("encoder.down", "decoder.up", "first_stage_model.")) {
        return WeightsKind::vae;
    }
    if (starts("vision_model.", "visual.")) {
        return WeightsKind::clip;
    }
    if (starts("text_model.", "embeddings.token_embedding.", "cond_stage_model.")) {
        return WeightsKind::text_encoder;
    }
    if (starts("state.0.exp_avg", "optimizer", "param_groups")) {
        return WeightsKind::optimizer;
    }
    return detail::looks_like_words(tensors) ? WeightsKind::textual_inversion : WeightsKind::unknown;
}

/// "a LoRA, which --lora takes": what a message says that it is, and where it belongs.
[[nodiscard]] inline std::string what_it_is(WeightsKind kind) {
    switch (kind) {
    case WeightsKind::stable_diffusion:
        return "a whole Stable Diffusion 1 or 2 in one file, which --model takes";
    case WeightsKind::unet:
        return "a UNet alone, which --unet takes";
    case WeightsKind::vae:
        return "an autoencoder alone, which --vae takes";
    case WeightsKind::text_encoder:
        return "a text encoder alone, which --text_encoder takes";
    case WeightsKind::lora:
        return "a LoRA for a model, which --lora takes";
    case WeightsKind::textual_inversion:
        return "an embedding of textual inversion, which --embedding takes";
    case WeightsKind::controlnet:
        return "a ControlNet, which reel does not have";
    case WeightsKind::ip_adapter:
        return "an IP-Adapter, which reel does not have";
    case WeightsKind::motion_module:
        return "a motion module of AnimateDiff, which reel does not have";
    case WeightsKind::tiny_vae:
        return "a tiny autoencoder (TAESD), which --vae takes";
    case WeightsKind::sdxl:
        return "Stable Diffusion XL, which reel does not have; it runs Stable Diffusion 1.x and 2.x";
    case WeightsKind::sd3:
        return "Stable Diffusion 3, which reel does not have; it runs Stable Diffusion 1.x and 2.x";
    case WeightsKind::flux:
        return "FLUX, which reel does not have; it runs Stable Diffusion 1.x and 2.x";
    case WeightsKind::clip:
        return "a whole CLIP, which --clip_model of run_study takes";
    case WeightsKind::optimizer:
        return "an optimizer's state";
    case WeightsKind::unknown:
        break;
    }
    return "weights that are not Stable Diffusion's";
}

/// Throws the sentence that says what was given in place of `expected` ("a model", "an autoencoder"), naming a tensor.
[[noreturn]] inline void refuse_weights(const StateDict& tensors, const std::string& expected,
                                        const std::string& where) {
    fail(where, ": expected ", expected, ", but this is ", what_it_is(weights_kind(tensors)), " (tensor \"",
         tensors.empty() ? "" : tensors.begin()->first.substr(0, 120), "\")");
}

} // namespace reel
