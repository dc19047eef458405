#pragma once
// How Stable Diffusion 1.x and 2.x call their tensors in one file (the names of the latent-diffusion code, CompVis and
// Stability-AI) and in a diffusers folder. Needs no library.

#include <reel/core/error.hpp>
#include <reel/io/weights/host_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// The folders of a diffusers model that have weights.
enum class LdmPart { unet, vae, text_encoder };

/// Which of them are looked for.
using LdmPartSet = std::set<LdmPart>;

/// A whole model.
inline const LdmPartSet all_ldm_parts{LdmPart::unet, LdmPart::vae, LdmPart::text_encoder};

/// One parameter under both names.
struct LdmName {
    LdmPart part = LdmPart::unet;
    std::string ldm;        ///< in the single file
    std::string diffusers;  ///< in the part's folder, as diffusers 0.11.1 and transformers 4.26.1 write it
    std::string later{};    ///< as later releases write it, where that differs
    bool optional = false;  ///< the folder may lack it: the shortcut of a block that keeps its channels, for example
    bool pointwise = false; ///< the single file has [out, in, 1, 1], the folder [out, in]
    int third = -1;         ///< 0 to 2: this third of the single file's rows (query, key, value in one)
};

/// What the names depend on.
struct LdmLayout {
    int unet_levels = 0;
    int unet_layers = 0;              ///< residual blocks of a level on the way down
    std::vector<bool> down_attention; ///< by level
    std::vector<bool> up_attention;   ///< in the order of up_blocks, the innermost level first
    int vae_levels = 0;
    int vae_layers = 0;
    int text_layers = 0;
    bool open_clip = false; ///< Stable Diffusion 2: the text encoder is OpenCLIP's
};

namespace detail {

/// Whether a name with this beginning is there.
[[nodiscard]] inline bool has_prefix(const StateDict& tensors, std::string_view prefix) {
    const auto found = tensors.lower_bound(prefix);
    return found != tensors.end() && std::string_view(found->first).starts_with(prefix);
}

/// The least number from 0 on for which `prefix` + number + "." begins no name.
[[nodiscard]] inline int count_numbered(const StateDict& tensors, const std::string& prefix) {
    int count = 0;
    while (has_prefix(tensors, concat_text(prefix, count, "."))) {
        ++count;
    }
    return count;
}

/// Gathers names; `weight` and `bias` are added to those of a layer.
class LdmNames {
public:
    using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;

    LdmNames(LdmPart part, std::string prefix) : part_(part), prefix_(std::move(prefix)) {}

    void tensor(const std::string& ldm, const std::string& diffusers, bool optional = false) {
        names_.push_back({.part = part_, .ldm = prefix_ + ldm, .diffusers = diffusers, .optional = optional});
    }
    void layer(const std::string& ldm, const std::string& diffusers, bool optional = false) {
        tensor(ldm + ".weight", diffusers + ".weight", optional);
        tensor(ldm + ".bias", diffusers + ".bias", optional);
    }
    void layers(const std::string& ldm, const std::string& diffusers, const Pairs& pairs) {
        for (const auto& [left, right] : pairs) {
            layer(concat_text(ldm, ".", left), concat_text(diffusers, ".", right));
        }
    }

    void unet_resnet(const std::string& ldm, const std::string& diffusers) {
        layers(ldm, diffusers,
               {{"in_layers.0", "norm1"},
                {"in_layers.2", "conv1"},
                {"emb_layers.1", "time_emb_proj"},
                {"out_layers.0", "norm2"},
                {"out_layers.3", "conv2"}});
        layer(ldm + ".skip_connection", diffusers + ".conv_shortcut", true);
    }

    void transformer(const std::string& ldm, const std::string& diffusers) {
        const auto same = [&](const std::string& name) { layer(ldm + name, diffusers + name); };
        for (const char* name : {".norm", ".proj_in", ".proj_out"}) {
            same(name);
        }
        const std::string block = ".transformer_blocks.0";
        for (const char* name :
             {".norm1", ".norm2", ".norm3", ".ff.net.0.proj", ".ff.net.2", ".attn1.to_out.0", ".attn2.to_out.0"}) {
            same(block + name);
        }
        for (const char* attention : {".attn1", ".attn2"}) {
            for (const char* name : {".to_q.weight", ".to_k.weight", ".to_v.weight"}) {
                tensor(ldm + block + attention + name, diffusers + block + attention + name);
            }
        }
    }

    void vae_resnet(const std::string& ldm, const std::string& diffusers) {
        layers(ldm, diffusers, {{"norm1", "norm1"}, {"conv1", "conv1"}, {"norm2", "norm2"}, {"conv2", "conv2"}});
        layer(ldm + ".nin_shortcut", diffusers + ".conv_shortcut", true);
    }

    void vae_middle(const std::string& ldm, const std::string& diffusers) {
        vae_resnet(ldm + ".block_1", diffusers + ".resnets.0");
        vae_resnet(ldm + ".block_2", diffusers + ".resnets.1");
        const std::string attention = diffusers + ".attentions.0";
        layer(ldm + ".attn_1.norm", attention + ".group_norm");
        constexpr std::array<std::array<const char*, 3>, 4> projections{{{".q", ".query", ".to_q"},
                                                                         {".k", ".key", ".to_k"},
                                                                         {".v", ".value", ".to_v"},
                                                                         {".proj_out", ".proj_attn", ".to_out.0"}}};
        for (const auto& [left, right, later] : projections) {
            layer(ldm + ".attn_1" + left, attention + right);
            for (std::size_t back = 1; back <= 2; ++back) {
                LdmName& name = names_[names_.size() - back];
                const bool weight = name.ldm.ends_with(".weight");
                name.pointwise = weight;
                name.later = attention + later + (weight ? ".weight" : ".bias");
            }
        }
    }

    /// Query, key and value of OpenCLIP's attention, which are one tensor there.
    void thirds(const std::string& ldm, const std::string& diffusers, const std::string& ending) {
        int third = 0;
        for (const char* name : {".q_proj", ".k_proj", ".v_proj"}) {
            tensor(ldm, diffusers + name + ending);
            names_.back().third = third++;
        }
    }

    [[nodiscard]] std::vector<LdmName> take() { return std::move(names_); }

private:
    LdmPart part_;
    std::string prefix_;
    std::vector<LdmName> names_;
};

} // namespace detail

/// All names of a UNet. The single file numbers its blocks through: on the way down the first convolution, then each
/// level's blocks and, but for the last level, the halving after them; on the way up one block more for each level.
[[nodiscard]] inline std::vector<LdmName> ldm_unet_names(const LdmLayout& layout) {
    detail::LdmNames names(LdmPart::unet, "model.diffusion_model.");
    names.layer("time_embed.0", "time_embedding.linear_1");
    names.layer("time_embed.2", "time_embedding.linear_2");
    names.layer("input_blocks.0.0", "conv_in");
    for (int level = 0, block = 1; level < layout.unet_levels; ++level, ++block) {
        const std::string folder = concat_text("down_blocks.", level);
        for (int i = 0; i < layout.unet_layers; ++i, ++block) {
            const std::string file = concat_text("input_blocks.", block);
            names.unet_resnet(file + ".0", concat_text(folder, ".resnets.", i));
            if (layout.down_attention.at(static_cast<std::size_t>(level))) {
                names.transformer(file + ".1", concat_text(folder, ".attentions.", i));
            }
        }
        if (level + 1 < layout.unet_levels) {
            names.layer(concat_text("input_blocks.", block, ".0.op"), folder + ".downsamplers.0.conv");
        }
    }
    names.unet_resnet("middle_block.0", "mid_block.resnets.0");
    names.transformer("middle_block.1", "mid_block.attentions.0");
    names.unet_resnet("middle_block.2", "mid_block.resnets.1");
    for (int level = 0, block = 0; level < layout.unet_levels; ++level) {
        const bool attention = layout.up_attention.at(static_cast<std::size_t>(level));
        const std::string folder = concat_text("up_blocks.", level);
        for (int i = 0; i <= layout.unet_layers; ++i, ++block) {
            const std::string file = concat_text("output_blocks.", block);
            names.unet_resnet(file + ".0", concat_text(folder, ".resnets.", i));
            if (attention) {
                names.transformer(file + ".1", concat_text(folder, ".attentions.", i));
            }
            if (i == layout.unet_layers && level + 1 < layout.unet_levels) {
                names.layer(concat_text(file, attention ? ".2" : ".1", ".conv"), folder + ".upsamplers.0.conv");
            }
        }
    }
    names.layer("out.0", "conv_norm_out");
    names.layer("out.2", "conv_out");
    return names.take();
}

/// All names of an autoencoder. The single file's decoder counts its levels from the outermost.
[[nodiscard]] inline std::vector<LdmName> ldm_vae_names(const LdmLayout& layout) {
    detail::LdmNames names(LdmPart::vae, "first_stage_model.");
    for (const std::string side : {"encoder", "decoder"}) {
        const bool down = side == "encoder";
        names.layer(side + ".conv_in", side + ".conv_in");
        for (int level = 0; level < layout.vae_levels; ++level) {
            const std::string file =
                concat_text(side, down ? ".down." : ".up.", down ? level : layout.vae_levels - 1 - level);
            const std::string folder = concat_text(side, down ? ".down_blocks." : ".up_blocks.", level);
            for (int i = 0; i < layout.vae_layers + (down ? 0 : 1); ++i) {
                names.vae_resnet(concat_text(file, ".block.", i), concat_text(folder, ".resnets.", i));
            }
            if (level + 1 < layout.vae_levels) {
                names.layer(file + (down ? ".downsample.conv" : ".upsample.conv"),
                            folder + (down ? ".downsamplers.0.conv" : ".upsamplers.0.conv"));
            }
        }
        names.vae_middle(side + ".mid", side + ".mid_block");
        names.layer(side + ".norm_out", side + ".conv_norm_out");
        names.layer(side + ".conv_out", side + ".conv_out");
    }
    names.layer("quant_conv", "quant_conv");
    names.layer("post_quant_conv", "post_quant_conv");
    return names.take();
}

/// All names of a text encoder: CLIP's own, or (open_clip) those of OpenCLIP.
[[nodiscard]] inline std::vector<LdmName> ldm_text_names(const LdmLayout& layout) {
    const std::string model = "text_model.";
    const std::string embeddings = model + "embeddings.";
    if (!layout.open_clip) {
        detail::LdmNames names(LdmPart::text_encoder, "cond_stage_model.transformer.");
        const auto layer = [&](const std::string& name) { names.layer(name, name); };
        for (const char* name : {"token_embedding.weight", "position_embedding.weight"}) {
            names.tensor(embeddings + name, embeddings + name);
        }
        names.tensor(embeddings + "position_ids", embeddings + "position_ids", true); // 0, 1, 2, ...
        for (int i = 0; i < layout.text_layers; ++i) {
            for (const char* name : {"layer_norm1", "layer_norm2", "self_attn.q_proj", "self_attn.k_proj",
                                     "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"}) {
                layer(concat_text(model, "encoder.layers.", i, ".", name));
            }
        }
        layer(model + "final_layer_norm");
        return names.take();
    }
    detail::LdmNames names(LdmPart::text_encoder, "cond_stage_model.model.");
    names.tensor("token_embedding.weight", embeddings + "token_embedding.weight");
    names.tensor("positional_embedding", embeddings + "position_embedding.weight");
    for (int i = 0; i < layout.text_layers; ++i) {
        const std::string file = concat_text("transformer.resblocks.", i);
        const std::string folder = concat_text(model, "encoder.layers.", i);
        names.layers(file, folder,
                     {{"ln_1", "layer_norm1"},
                      {"ln_2", "layer_norm2"},
                      {"mlp.c_fc", "mlp.fc1"},
                      {"mlp.c_proj", "mlp.fc2"},
                      {"attn.out_proj", "self_attn.out_proj"}});
        names.thirds(file + ".attn.in_proj_weight", folder + ".self_attn", ".weight");
        names.thirds(file + ".attn.in_proj_bias", folder + ".self_attn", ".bias");
    }
    names.layer("ln_final", model + "final_layer_norm");
    return names.take();
}

/// All names of a whole model, or of some of its parts.
[[nodiscard]] inline std::vector<LdmName> ldm_names(const LdmLayout& layout, const LdmPartSet& parts = all_ldm_parts) {
    std::vector<LdmName> all;
    const auto add = [&](LdmPart part, std::vector<LdmName> (*names)(const LdmLayout&)) {
        if (parts.contains(part)) {
            const std::vector<LdmName> more = names(layout);
            all.insert(all.end(), more.begin(), more.end());
        }
    };
    add(LdmPart::unet, ldm_unet_names);
    add(LdmPart::vae, ldm_vae_names);
    add(LdmPart::text_encoder, ldm_text_names);
    return all;
}

} // namespace reel
