#pragma once
// LoRA files of models that reel does not have, and files that are no LoRA. Needs no library.

#include <reel/io/lora/lora_names.hpp>
#include <reel/io/lora/lora_tensor_name.hpp>
#include <reel/io/weights/host_tensor.hpp>

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace reel {

namespace detail {

[[nodiscard]] inline bool has_any(std::string_view text, std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) {
        if (text.find(part) != std::string_view::npos) {
            return true;
        }
    }
    return false;
}

/// Whether a name is of a transformer block of the UNet other than the first, of which Stable Diffusion XL has up to
/// ten in a place, and 1 and 2 have one.
[[nodiscard]] inline bool is_later_block(std::string_view name) {
    constexpr std::string_view blocks = "transformer_blocks";
    const std::size_t at = name.find(blocks);
    return at != std::string_view::npos && name.size() > at + blocks.size() + 1 &&
           name[at + blocks.size() + 1] != '0' &&
           has_any(name.substr(0, at),
                   {"down_blocks", "up_blocks", "mid_block", "input_blocks", "output_blocks", "middle_block"});
}

} // namespace detail

/// The other model that a name in a LoRA file is of; "" where it may be of Stable Diffusion 1 or 2.
[[nodiscard]] inline std::string foreign_model(std::string_view name) {
    using detail::has_any;
    if (has_any(name, {"motion_modules"})) {
        return "AnimateDiff's motion module";
    }
    if (has_any(name, {"double_blocks", "single_blocks", "single_transformer_blocks"})) {
        return "FLUX";
    }
    if (has_any(name, {"joint_blocks", "add_q_proj", "add_k_proj", "add_v_proj", "context_embedder"})) {
        return "Stable Diffusion 3";
    }
    if (name.starts_with("lora_te3_") || name.starts_with("text_encoder_3.")) {
        return "Stable Diffusion 3";
    }
    if (name.starts_with("lora_te2_") || name.starts_with("text_encoder_2.") ||
        has_any(name, {"add_embedding", "label_emb"}) || detail::is_later_block(name)) {
        return "Stable Diffusion XL";
    }
    if (name.starts_with("transformer.") || name.starts_with("lora_transformer_") ||
        name.starts_with("diffusion_model.blocks.") || name.starts_with("diffusion_model.layers.") ||
        name.starts_with("lora_unet_blocks_")) {
        return "a diffusion transformer, such as Stable Diffusion 3, FLUX or Wan";
    }
    return "";
}

/// What a file without any adapter's tensor is, as the end of a sentence about it; "" where one is in it.
[[nodiscard]] inline std::string no_lora(const StateDict& tensors, const LoraNames& names) {
    std::size_t of_model = 0;
    for (const auto& [name, tensor] : tensors) {
        if (lora_tensor_name(name) || !refused_adapter(name).empty()) {
            return "";
        }
        constexpr std::string_view weight = ".weight";
        const bool ends = name.ends_with(weight);
        of_model += name.starts_with("model.diffusion_model.") || name.starts_with("cond_stage_model.") ||
                            (ends && names.find(name.substr(0, name.size() - weight.size())) != nullptr)
                        ? 1
                        : 0;
    }
    if (of_model > 0) {
        return "this is a whole model or a part of one, not a LoRA; give it as --model";
    }
    return "no LoRA is in it (\"" + (tensors.empty() ? std::string() : tensors.begin()->first) +
           "\" is no tensor of one)";
}

} // namespace reel
