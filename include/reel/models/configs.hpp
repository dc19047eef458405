#pragma once
// Model configurations from and to the JSON of diffusers and transformers. Needs nlohmann-json (target reel::io).

#include <tuple>

#include <reel/io/config/config_reader.hpp>
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/unet_config.hpp>

namespace reel {

namespace detail {

/// Whether each block type is the cross-attention one; 2D and inflated (3D) names mean the same. Anything else is an
/// Error that names it.
template <class = void>
[[nodiscard]] std::vector<bool> block_attention(ConfigReader& reader, const std::string& key,
                                                std::vector<std::string> otherwise, const std::string& direction) {
    std::vector<bool> result;
    for (const std::string& type : reader.get<std::vector<std::string>>(key, std::move(otherwise))) {
        const bool attention =
            type == "CrossAttn" + direction + "Block2D" || type == "CrossAttn" + direction + "Block3D";
        require(attention || type == direction + "Block2D" || type == direction + "Block3D", reader.where(), ": \"",
                key, "\" has \"", type, "\", but only CrossAttn", direction, "Block2D and ", direction,
                "Block2D (or their 3D names) are supported");
        result.push_back(attention);
    }
    return result;
}

/// An absent or null key passes; so does one of the given values.
template <class = void>
void expect_null_or(ConfigReader& reader, const std::string& key, const nlohmann::json& supported) {
    if (reader.has(key)) {
        reader.expect(key, supported);
    } else {
        reader.ignore({key});
    }
}

/// The same for a key that may hold a list with one value for each level.
inline void expect_each(ConfigReader& reader, const std::string& key, const nlohmann::json& supported) {
    const nlohmann::json* value = reader.raw(key);
    const bool each =
        value != nullptr && value->is_array() &&
        std::all_of(value->begin(), value->end(), [&](const nlohmann::json& item) { return item == supported; });
    if (!each) {
        expect_null_or(reader, key, supported);
    }
}

/// The size a model was made for, which its weights do not depend on: one number, or height and width, of which the
/// first is taken; `otherwise` where there is none.
[[nodiscard]] inline index_t side_of(ConfigReader& reader, const std::string& key, index_t otherwise) {
    if (const nlohmann::json* size = reader.raw(key); size == nullptr || !size->is_array()) {
        return reader.get_optional<index_t>(key).value_or(otherwise);
    }
    const auto sides = reader.require<std::vector<index_t>>(key);
    require(sides.size() == 2, reader.where(), ": \"", key, "\" has ", sides.size(),
            " entries, expected one number, or height and width");
    return sides.front();
}

/// Keys that diffusers' EMAModel writes among a model's own: how the average was made.
inline void ignore_ema_keys(ConfigReader& reader) {
    reader.ignore(
        {"decay", "min_decay", "update_after_step", "use_ema_warmup", "inv_gamma", "power", "optimization_step"});
}

} // namespace detail

/// Reads config.json of a unet/: of diffusers 0.11.1 and later, 2D or as Tune-A-Video saves it. A key or value that
/// would change the network and is not supported is an Error that names it. `temporal` is true when the file describes
/// an inflated UNet.
template <class = void>
[[nodiscard]] UNetConfig read_unet_config(ConfigReader reader) {
    UNetConfig c;
    const auto kind = reader.get<std::string>("_class_name", "UNet2DConditionModel");
    require(kind == "UNet2DConditionModel" || kind == "UNet3DConditionModel", reader.where(), ": \"_class_name\" is \"",
            kind, "\", expected UNet2DConditionModel or UNet3DConditionModel");
    c.temporal = kind == "UNet3DConditionModel";
    c.sample_size = detail::side_of(reader, "sample_size", 0);
    c.in_channels = reader.get<index_t>("in_channels", c.in_channels);
    c.out_channels = reader.get<index_t>("out_channels", c.out_channels);
    c.center_input_sample =
        reader.get_optional<bool>("center_input_sample").value_or(false); // null is false, there too
    c.flip_sin_to_cos = reader.get<bool>("flip_sin_to_cos", c.flip_sin_to_cos);
    c.freq_shift = reader.get<double>("freq_shift", c.freq_shift);
    c.block_out_channels = reader.get<std::vector<index_t>>("block_out_channels", c.block_out_channels);
    c.down_block_attention = detail::block_attention(
        reader, "down_block_types",
        {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"}, "Down");
    c.up_block_attention =
        detail::block_attention(reader, "up_block_types",
                                {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"}, "Up");
    const std::size_t levels = c.block_out_channels.size();
    require(levels > 0 && levels <= 16, reader.where(), ": \"block_out_channels\" has ", levels,
            " entries, expected 1 to 16");
    const auto per_level = [&](const std::string& key, std::vector<index_t> otherwise) {
        auto values = reader.get_one_or_list<index_t>(key, std::move(otherwise));
        return values.size() == 1 ? std::vector<index_t>(levels, values.front()) : values;
    };
    c.heads = per_level("attention_head_dim", {8});
    detail::expect_null_or(reader, "num_attention_heads", nullptr); // diffusers, too, wants them under the other name
    const std::vector<index_t> layers = per_level("layers_per_block", {2});
    const std::vector<index_t> text = per_level("cross_attention_dim", {1280});
    require(!layers.empty() && std::equal(layers.begin() + 1, layers.end(), layers.begin()), reader.where(),
            ": \"layers_per_block\" differs between levels, which is not supported");
    require(!text.empty() && std::equal(text.begin() + 1, text.end(), text.begin()), reader.where(),
            ": \"cross_attention_dim\" differs between levels, which is not supported");
    c.layers_per_block = layers.front();
    c.cross_attention_dim = text.front();
    c.norm_num_groups = reader.get<index_t>("norm_num_groups", c.norm_num_groups);
    c.norm_eps = reader.get<double>("norm_eps", c.norm_eps);
    c.use_linear_projection = reader.get_optional<bool>("use_linear_projection").value_or(false);
    c.upcast_attention = reader.get_optional<bool>("upcast_attention").value_or(c.upcast_attention);
    const auto classes = reader.get_optional<index_t>("num_class_embeds");
    const auto embedding = reader.get_optional<std::string>("class_embed_type");
    if (embedding == "timestep") {
        c.class_embedding = ClassEmbedding::timestep;
    } else if (embedding == "identity") {
        c.class_embedding = ClassEmbedding::identity;
    } else {
        require(!embedding, reader.where(), ": \"class_embed_type\" is \"", embedding.value_or(""),
                "\", but only null, timestep and identity are supported");
        if (classes) {
            require(*classes > 0 && *classes <= UNetConfig::limit, reader.where(), ": \"num_class_embeds\" is ",
                    *classes, ", expected 1 to ", UNetConfig::limit);
            c.class_embedding = ClassEmbedding::table;
            c.num_class_embeds = *classes;
        }
    }
    reader.expect("act_fn", "silu");
    reader.expect("downsample_padding", 1);
    reader.expect("mid_block_scale_factor", 1);
    detail::expect_null_or(reader, "resnet_time_scale_shift", "default");
    detail::expect_null_or(reader, "dual_cross_attention", false);
    detail::expect_each(reader, "only_cross_attention", false);
    for (const char* key : {"mid_block_only_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"}) {
        detail::expect_null_or(reader, key, false);
    }
    if (const nlohmann::json* mid = reader.raw("mid_block_type"); mid != nullptr) { // null: none
        c.mid_block = !mid->is_null();
        require(!c.mid_block || *mid == "UNetMidBlock2DCrossAttn" || *mid == "UNetMidBlock3DCrossAttn", reader.where(),
                ": \"mid_block_type\" is ", mid->dump().substr(0, 80),
                ", but only UNetMidBlock2DCrossAttn and null are supported");
    }
    c.time_cond_proj_dim = reader.get_optional<index_t>("time_cond_proj_dim").value_or(0);
    // Keys of later releases, at the values that leave Stable Diffusion 1.x and 2.x as they were.
    detail::expect_each(reader, "transformer_layers_per_block", 1);
    detail::expect_null_or(reader, "resnet_out_scale_factor", 1.0);
    detail::expect_null_or(reader, "time_embedding_type", "positional");
    detail::expect_null_or(reader, "conv_in_kernel", 3);
    detail::expect_null_or(reader, "conv_out_kernel", 3);
    detail::expect_null_or(reader, "attention_type", "default");
    detail::expect_null_or(reader, "dropout", 0.0);
    for (const char* key :
         {"addition_embed_type", "addition_time_embed_dim", "addition_embed_type_num_heads", "cross_attention_norm",
          "encoder_hid_dim", "encoder_hid_dim_type", "projection_class_embeddings_input_dim",
          "reverse_transformer_layers_per_block", "time_embedding_act_fn", "time_embedding_dim", "timestep_post_act"}) {
        if (std::string_view(key) == "addition_embed_type_num_heads") {
            reader.ignore({key}); // means nothing without addition_embed_type
        } else {
            detail::expect_null_or(reader, key, nullptr);
        }
    }
    reader.ignore({"_diffusers_version", "_name_or_path"});
    detail::ignore_ema_keys(reader);
    reader.finish();
    c.validate(reader.where());
    return c;
}

/// The config.json that the Python Tune-A-Video (inflated) or diffusers (2D) loads.
template <class = void>
[[nodiscard]] nlohmann::json write_unet_config(const UNetConfig& c) {
    const std::string dimension = c.temporal ? "3D" : "2D";
    const auto types = [&](const std::vector<bool>& attention, const std::string& direction) {
        std::vector<std::string> names;
        for (const bool cross : attention) {
            names.push_back((cross ? "CrossAttn" : "") + direction + "Block" + dimension);
        }
        return names;
    };
    nlohmann::json j;
    j["_class_name"] = "UNet" + dimension + "ConditionModel";
    j["_diffusers_version"] = "0.11.1";
    j["sample_size"] = c.sample_size == 0 ? nlohmann::json() : nlohmann::json(c.sample_size);
    j["in_channels"] = c.in_channels;
    j["out_channels"] = c.out_channels;
    j["center_input_sample"] = c.center_input_sample;
    j["flip_sin_to_cos"] = c.flip_sin_to_cos;
    // diffusers keeps an integer here
    j["freq_shift"] = c.freq_shift == std::floor(c.freq_shift) ? nlohmann::json(static_cast<int>(c.freq_shift))
                                                               : nlohmann::json(c.freq_shift);
    j["block_out_channels"] = c.block_out_channels;
    j["down_block_types"] = types(c.down_block_attention, "Down");
    j["up_block_types"] = types(c.up_block_attention, "Up");
    j["mid_block_type"] = c.mid_block ? nlohmann::json("UNetMidBlock" + dimension + "CrossAttn") : nlohmann::json();
    if (c.time_cond_proj_dim > 0) { // a key that diffusers 0.11.1 lacks
        j["time_cond_proj_dim"] = c.time_cond_proj_dim;
    }
    j["layers_per_block"] = c.layers_per_block;
    j["norm_num_groups"] = c.norm_num_groups;
    j["norm_eps"] = c.norm_eps;
    j["cross_attention_dim"] = c.cross_attention_dim;
    const bool equal_heads = std::equal(c.heads.begin() + 1, c.heads.end(), c.heads.begin());
    j["attention_head_dim"] = equal_heads ? nlohmann::json(c.heads.front()) : nlohmann::json(c.heads);
    j["use_linear_projection"] = c.use_linear_projection;
    j["upcast_attention"] = c.upcast_attention;
    j["act_fn"] = "silu";
    j["downsample_padding"] = 1;
    j["mid_block_scale_factor"] = 1;
    j["resnet_time_scale_shift"] = "default";
    j["only_cross_attention"] = false;
    j["dual_cross_attention"] = false;
    j["num_class_embeds"] =
        c.class_embedding == ClassEmbedding::table ? nlohmann::json(c.num_class_embeds) : nlohmann::json();
    j["class_embed_type"] = c.class_embedding == ClassEmbedding::timestep   ? nlohmann::json("timestep")
                            : c.class_embedding == ClassEmbedding::identity ? nlohmann::json("identity")
                                                                            : nlohmann::json();
    return j;
}

/// Reads config.json of a vae/ (AutoencoderKL).
template <class = void>
[[nodiscard]] AutoencoderKLConfig read_autoencoder_kl_config(ConfigReader reader) {
    AutoencoderKLConfig c;
    reader.expect("_class_name", "AutoencoderKL");
    c.in_channels = reader.get<index_t>("in_channels", c.in_channels);
    c.out_channels = reader.get<index_t>("out_channels", c.out_channels);
    c.block_out_channels = reader.get<std::vector<index_t>>("block_out_channels", {64});
    c.layers_per_block = reader.get<index_t>("layers_per_block", 1);
    c.latent_channels = reader.get<index_t>("latent_channels", c.latent_channels);
    c.norm_num_groups = reader.get<index_t>("norm_num_groups", c.norm_num_groups);
    c.sample_size = detail::side_of(reader, "sample_size", 32);
    c.scaling_factor = reader.get<double>("scaling_factor", c.scaling_factor);
    const std::size_t levels = c.block_out_channels.size();
    require(levels > 0 && levels <= 16, reader.where(), ": block_out_channels has ", levels,
            " entries, expected 1 to 16");
    for (const auto& [key, type] :
         {std::pair{"down_block_types", "DownEncoderBlock2D"}, std::pair{"up_block_types", "UpDecoderBlock2D"}}) {
        reader.expect(key, nlohmann::json(std::vector<std::string>(levels, type)));
    }
    const auto bounded = [&](const char* key, index_t value, index_t limit) {
        require(value > 0 && value <= limit, reader.where(), ": \"", key, "\" is ", value, ", expected 1 to ", limit);
    };
    bounded("norm_num_groups", c.norm_num_groups, UNetConfig::limit);
    for (const index_t channels : c.block_out_channels) {
        bounded("block_out_channels", channels, UNetConfig::limit);
        require(channels % c.norm_num_groups == 0, reader.where(), ": block_out_channels ", channels,
                " is not a multiple of norm_num_groups ", c.norm_num_groups);
    }
    bounded("in_channels", c.in_channels, UNetConfig::limit);
    bounded("out_channels", c.out_channels, UNetConfig::limit);
    bounded("latent_channels", c.latent_channels, UNetConfig::limit);
    bounded("layers_per_block", c.layers_per_block, 64);
    reader.expect("act_fn", "silu");
    detail::expect_null_or(reader, "mid_block_add_attention", true);
    c.use_quant_conv = reader.get_optional<bool>("use_quant_conv").value_or(c.use_quant_conv);
    c.use_post_quant_conv = reader.get_optional<bool>("use_post_quant_conv").value_or(c.use_post_quant_conv);
    for (const char* key : {"shift_factor", "latents_mean", "latents_std"}) {
        detail::expect_null_or(reader, key, nullptr);
    }
    // force_upcast concerns 16-bit arithmetic only.
    reader.ignore({"_diffusers_version", "_name_or_path", "force_upcast"});
    detail::ignore_ema_keys(reader);
    reader.finish();
    return c;
}

/// Reads config.json of a text_encoder/ (CLIPTextModel), alone or as the text_config of a whole CLIP.
template <class = void>
[[nodiscard]] CLIPTextConfig read_clip_text_config(ConfigReader reader) {
    CLIPTextConfig c;
    c.vocab_size = reader.get<index_t>("vocab_size", c.vocab_size);
    c.hidden_size = reader.get<index_t>("hidden_size", 512);
    c.intermediate_size = reader.get<index_t>("intermediate_size", 2048);
    c.num_hidden_layers = reader.get<index_t>("num_hidden_layers", c.num_hidden_layers);
    c.num_attention_heads = reader.get<index_t>("num_attention_heads", 8);
    c.max_position_embeddings = reader.get<index_t>("max_position_embeddings", c.max_position_embeddings);
    c.layer_norm_eps = reader.get<double>("layer_norm_eps", c.layer_norm_eps);
    const auto activation = reader.get<std::string>("hidden_act", "quick_gelu");
    require(activation == "quick_gelu" || activation == "gelu", reader.where(), ": \"hidden_act\" is \"", activation,
            "\", but only quick_gelu and gelu are supported");
    c.quick_gelu = activation == "quick_gelu";
    for (const auto& [key, value, limit] :
         {std::tuple{"vocab_size", c.vocab_size, index_t{1} << 30},
          std::tuple{"hidden_size", c.hidden_size, UNetConfig::limit},
          std::tuple{"intermediate_size", c.intermediate_size, UNetConfig::limit},
          std::tuple{"num_hidden_layers", c.num_hidden_layers, index_t{1024}},
          std::tuple{"num_attention_heads", c.num_attention_heads, UNetConfig::limit},
          std::tuple{"max_position_embeddings", c.max_position_embeddings, UNetConfig::limit}}) {
        require(value > 0 && value <= limit, reader.where(), ": \"", key, "\" is ", value, ", expected 1 to ", limit);
    }
    require(c.hidden_size % c.num_attention_heads == 0, reader.where(), ": hidden_size ", c.hidden_size,
            " is not a multiple of num_attention_heads ", c.num_attention_heads);
    detail::expect_null_or(reader, "model_type", "clip_text_model");
    // Dropout is for training CLIP itself; the rest is how transformers describes a model, not what it computes.
    reader.ignore({"architectures", "attention_dropout", "dropout", "bos_token_id", "eos_token_id", "pad_token_id",
                   "initializer_factor", "initializer_range", "projection_dim", "torch_dtype", "dtype",
                   "transformers_version", "_name_or_path", "gradient_checkpointing"});
    reader.finish();
    return c;
}

} // namespace reel
