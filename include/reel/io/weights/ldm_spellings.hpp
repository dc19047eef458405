#pragma once
// Single files as they are found, under the names of the original code: what merging, compiling and distributed
// programs, other trainers and exporters make of the names. Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/ldm_names.hpp>
#include <reel/io/weights/model_weights.hpp>
#include <reel/io/weights/peft_adapter.hpp>

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace reel {

namespace detail {

/// The attention of a single file's autoencoder under the original names.
[[nodiscard]] inline std::string original_vae_attention(std::string name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> pairs{{{".to_q.", ".q."},
                                                                                  {".to_k.", ".k."},
                                                                                  {".to_v.", ".v."},
                                                                                  {".to_out.0.", ".proj_out."},
                                                                                  {".query.", ".q."},
                                                                                  {".key.", ".k."},
                                                                                  {".value.", ".v."},
                                                                                  {".proj_attn.", ".proj_out."}}};
    if (const std::size_t attention = name.find(".mid.attn_1."); attention != std::string::npos) {
        for (const auto& [found, usual] : pairs) {
            if (const std::size_t at = name.find(found, attention + 10); at != std::string::npos) {
                return name.replace(at, found.size(), usual);
            }
        }
    }
    return name;
}

} // namespace detail

/// A single file's tensors under the names of the original code. Known are: wrappers (without_wrappers()); PEFT's
/// `base_layer` (merge_peft_adapters(), with `folder` for its configuration); a UNet or an autoencoder alone, without
/// the prefix of a whole model; CLIP without "text_model."; the autoencoder's attention under diffusers' names, old and
/// new. Throws Error, which starts with `where`, when two tensors get one name.
[[nodiscard]] inline StateDict usual_ldm_names(StateDict tensors, const std::filesystem::path& folder,
                                               const std::string& where) {
    tensors = detail::renamed(std::move(tensors), without_wrappers, where);
    tensors = merge_peft_adapters(std::move(tensors), folder);
    const auto has = [&](std::string_view prefix) { return detail::has_prefix(tensors, prefix); };
    const bool bare_vae = !has("first_stage_model.") && (has("encoder.down.") || has("decoder.up."));
    const bool bare_unet = has("input_blocks.0.0.") && !has("model.diffusion_model.");
    const bool short_unet = has("diffusion_model.") && !has("model.diffusion_model.");
    return detail::renamed(
        std::move(tensors),
        [&](const std::string& name) -> std::string {
            const auto starts = [&](auto... prefixes) { return (name.starts_with(prefixes) || ...); };
            const std::string clip = "cond_stage_model.transformer.";
            if (name.starts_with(clip)) {
                const std::string_view rest = std::string_view(name).substr(clip.size());
                const bool bare = rest.starts_with("embeddings.") || rest.starts_with("encoder.") ||
                                  rest.starts_with("final_layer_norm.");
                return bare ? concat_text(clip, "text_model.", rest) : name;
            }
            if (bare_vae && starts("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "loss.", "model_ema.")) {
                return detail::original_vae_attention("first_stage_model." + name);
            }
            if (bare_unet && starts("input_blocks.", "middle_block.", "output_blocks.", "time_embed.", "out.")) {
                return "model.diffusion_model." + name;
            }
            if (short_unet && starts("diffusion_model.")) {
                return "model." + name;
            }
            return detail::original_vae_attention(name);
        },
        where);
}

} // namespace reel
