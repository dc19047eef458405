#pragma once
// What the names of a Stable Diffusion depend on, read off a single file or a folder. Needs no library.

#include <reel/core/error.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/ldm_names.hpp>

#include <string>

namespace reel {

namespace detail {

inline void find_unet_layout(LdmLayout& layout, const StateDict& tensors, const std::string& where) {
    const std::string unet = "model.diffusion_model.";
    const int blocks = count_numbered(tensors, unet + "input_blocks.");
    require(blocks > 1, where, ": no UNet of Stable Diffusion is in it (no tensor \"", unet,
            "input_blocks.1...\"); name one with --unet FILE or DIR");
    layout.unet_layers = blocks - 1;
    for (int i = blocks - 1; i > 0; --i) {
        if (has_prefix(tensors, concat_text(unet, "input_blocks.", i, ".0.op."))) {
            layout.unet_layers = i - 1;
        }
    }
    const int step = layout.unet_layers + 1;
    layout.unet_levels = blocks / step;
    require(layout.unet_layers > 0 && blocks % step == 0, where, ": its UNet has ", blocks,
            " input blocks, which are no levels of ", step, " (a model other than Stable Diffusion 1 or 2?)");
    for (int level = 0; level < layout.unet_levels; ++level) {
        layout.down_attention.push_back(
            has_prefix(tensors, concat_text(unet, "input_blocks.", level * step + 1, ".1.")));
        layout.up_attention.push_back(
            has_prefix(tensors, concat_text(unet, "output_blocks.", level * step, ".1.transformer_blocks.")));
    }
}

inline void find_vae_layout(LdmLayout& layout, const StateDict& tensors, const std::string& where) {
    const std::string vae = "first_stage_model.encoder.down.";
    layout.vae_levels = count_numbered(tensors, vae);
    layout.vae_layers = count_numbered(tensors, vae + "0.block.");
    require(layout.vae_levels > 0 && layout.vae_layers > 0, where, ": no autoencoder is in it (no tensor \"", vae,
            "0.block.0...\"); name one with --vae FILE or DIR");
}

/// Of OpenCLIP's layers Stable Diffusion 2 reads the last but one: the last is left out where the file holds a whole
/// OpenCLIP, by its text_projection or by its 24 layers.
inline void find_text_layout(LdmLayout& layout, const StateDict& tensors, const std::string& where) {
    constexpr int layers_of_open_clip = 24;
    const std::string open_clip = "cond_stage_model.model.";
    layout.text_layers = count_numbered(tensors, "cond_stage_model.transformer.text_model.encoder.layers.");
    if (layout.text_layers == 0) {
        layout.open_clip = true;
        layout.text_layers = count_numbered(tensors, open_clip + "transformer.resblocks.");
        const bool whole = tensors.contains(open_clip + "text_projection") || layout.text_layers == layers_of_open_clip;
        layout.text_layers -= whole ? 1 : 0;
    }
    require(layout.text_layers > 0, where, ": no text encoder is in it (neither \"cond_stage_model.transformer",
            ".text_model...\" of Stable Diffusion 1 nor \"", open_clip,
            "transformer...\" of Stable Diffusion 2); name one with --text_encoder FILE or DIR");
}

} // namespace detail

/// The layout of a single file, from its names, of the parts that are looked for. Throws Error, which starts with
/// `where`, when one of them is missing or the blocks do not make up whole levels.
[[nodiscard]] inline LdmLayout ldm_layout(const StateDict& tensors, const std::string& where,
                                          const LdmPartSet& parts = all_ldm_parts) {
    LdmLayout layout;
    if (parts.contains(LdmPart::unet)) {
        detail::find_unet_layout(layout, tensors, where);
    }
    if (parts.contains(LdmPart::vae)) {
        detail::find_vae_layout(layout, tensors, where);
    }
    if (parts.contains(LdmPart::text_encoder)) {
        detail::find_text_layout(layout, tensors, where);
    }
    return layout;
}

/// The layout of a UNet under diffusers' names; without blocks, none.
[[nodiscard]] inline LdmLayout ldm_unet_layout(const StateDict& unet) {
    LdmLayout layout;
    layout.unet_levels = detail::count_numbered(unet, "down_blocks.");
    layout.unet_layers = detail::count_numbered(unet, "down_blocks.0.resnets.");
    for (int level = 0; level < layout.unet_levels; ++level) {
        layout.down_attention.push_back(detail::has_prefix(unet, concat_text("down_blocks.", level, ".attentions.")));
        layout.up_attention.push_back(detail::has_prefix(unet, concat_text("up_blocks.", level, ".attentions.")));
    }
    return layout;
}

/// The same. Throws Error when it has no blocks.
[[nodiscard]] inline LdmLayout diffusers_unet_layout(const StateDict& unet, const std::string& where) {
    LdmLayout layout = ldm_unet_layout(unet);
    require(layout.unet_layers > 0, where, ": its unet/ has no \"down_blocks.0.resnets.0...\"");
    return layout;
}

/// The layout of a diffusers folder, from the names of its parts. `open_clip` asks for the names of Stable Diffusion 2.
/// Throws Error as ldm_layout does.
[[nodiscard]] inline LdmLayout diffusers_layout(const StateDict& unet, const StateDict& vae, const StateDict& text,
                                                bool open_clip, const std::string& where) {
    LdmLayout layout = diffusers_unet_layout(unet, where);
    layout.open_clip = open_clip;
    layout.vae_levels = detail::count_numbered(vae, "encoder.down_blocks.");
    layout.vae_layers = detail::count_numbered(vae, "encoder.down_blocks.0.resnets.");
    layout.text_layers = detail::count_numbered(text, "text_model.encoder.layers.");
    require(layout.vae_layers > 0, where, ": its vae/ has no \"encoder.down_blocks.0.resnets.0...\"");
    require(layout.text_layers > 0, where, ": its text_encoder/ has no \"text_model.encoder.layers.0...\"");
    return layout;
}

} // namespace reel
