#pragma once
// A whole CLIP from a folder of transformers. Needs nlohmann-json, zlib (target reel::io).

#include <filesystem>
#include <string>
#include <tuple>
#include <utility>

#include <reel/io/weights/weights.hpp>
#include <reel/models/clip.hpp>
#include <reel/models/configs.hpp>
#include <reel/models/state_dict.hpp>

namespace reel {

namespace detail {

/// Keys that transformers writes into every configuration, also in the parts of a CLIP's: how text is generated, how
/// results are returned. None of them means anything for a CLIP.
[[nodiscard]] inline nlohmann::json without_generation_keys(nlohmann::json config) {
    for (const char* key : {"add_cross_attention",
                            "bad_words_ids",
                            "begin_suppress_tokens",
                            "chunk_size_feed_forward",
                            "cross_attention_hidden_size",
                            "decoder_start_token_id",
                            "diversity_penalty",
                            "do_sample",
                            "early_stopping",
                            "encoder_no_repeat_ngram_size",
                            "exponential_decay_length_penalty",
                            "finetuning_task",
                            "forced_bos_token_id",
                            "forced_eos_token_id",
                            "id2label",
                            "is_decoder",
                            "is_encoder_decoder",
                            "label2id",
                            "length_penalty",
                            "max_length",
                            "min_length",
                            "no_repeat_ngram_size",
                            "num_beam_groups",
                            "num_beams",
                            "num_return_sequences",
                            "output_attentions",
                            "output_hidden_states",
                            "output_scores",
                            "prefix",
                            "problem_type",
                            "pruned_heads",
                            "remove_invalid_values",
                            "repetition_penalty",
                            "return_dict",
                            "return_dict_in_generate",
                            "sep_token_id",
                            "suppress_tokens",
                            "task_specific_params",
                            "temperature",
                            "tf_legacy_loss",
                            "tie_encoder_decoder",
                            "tie_word_embeddings",
                            "tokenizer_class",
                            "top_k",
                            "top_p",
                            "torchscript",
                            "typical_p",
                            "use_bfloat16"}) {
        config.erase(key);
    }
    return config;
}

/// "text_config" or "vision_config", with what "..._config_dict" of older releases says instead.
[[nodiscard]] inline ConfigReader clip_part(ConfigReader& reader, const std::string& key) {
    nlohmann::json part = nlohmann::json::object();
    for (const std::string& name : {key, key + "_dict"}) {
        const nlohmann::json* given = reader.raw(name);
        if (given != nullptr && !given->is_null()) {
            require(given->is_object(), reader.where(), ": \"", name, "\" is no JSON object");
            part.update(*given);
        }
    }
    return {without_generation_keys(std::move(part)), reader.where() + ": " + key};
}

} // namespace detail

/// Reads the vision_config of a whole CLIP. Missing keys have transformers' defaults; what would change the network and
/// is not supported is an Error that names it.
[[nodiscard]] inline CLIPVisionConfig read_clip_vision_config(ConfigReader reader) {
    CLIPVisionConfig c;
    c.hidden_size = reader.get<index_t>("hidden_size", c.hidden_size);
    c.intermediate_size = reader.get<index_t>("intermediate_size", c.intermediate_size);
    c.num_hidden_layers = reader.get<index_t>("num_hidden_layers", c.num_hidden_layers);
    c.num_attention_heads = reader.get<index_t>("num_attention_heads", c.num_attention_heads);
    c.num_channels = reader.get<index_t>("num_channels", c.num_channels);
    c.image_size = reader.get<index_t>("image_size", c.image_size);
    c.patch_size = reader.get<index_t>("patch_size", c.patch_size);
    c.layer_norm_eps = reader.get<double>("layer_norm_eps", c.layer_norm_eps);
    const auto activation = reader.get<std::string>("hidden_act", "quick_gelu");
    require(activation == "quick_gelu" || activation == "gelu", reader.where(), ": \"hidden_act\" is \"", activation,
            "\", but only quick_gelu and gelu are supported");
    c.quick_gelu = activation == "quick_gelu";
    for (const auto& [key, value, limit] : {std::tuple{"hidden_size", c.hidden_size, UNetConfig::limit},
                                            std::tuple{"intermediate_size", c.intermediate_size, UNetConfig::limit},
                                            std::tuple{"num_hidden_layers", c.num_hidden_layers, index_t{1024}},
                                            std::tuple{"num_attention_heads", c.num_attention_heads, UNetConfig::limit},
                                            std::tuple{"num_channels", c.num_channels, index_t{3}},
                                            std::tuple{"image_size", c.image_size, index_t{16384}},
                                            std::tuple{"patch_size", c.patch_size, c.image_size}}) {
        require(value > 0 && value <= limit, reader.where(), ": \"", key, "\" is ", value, ", expected 1 to ", limit);
    }
    require(c.hidden_size % c.num_attention_heads == 0, reader.where(), ": hidden_size ", c.hidden_size,
            " is not a multiple of num_attention_heads ", c.num_attention_heads);
    detail::expect_null_or(reader, "model_type", "clip_vision_model");
    reader.ignore({"architectures", "attention_dropout", "dropout", "bos_token_id", "eos_token_id", "pad_token_id",
                   "initializer_factor", "initializer_range", "projection_dim", "torch_dtype", "dtype",
                   "transformers_version", "_name_or_path"});
    reader.finish();
    return c;
}

/// Reads config.json of a whole CLIP (CLIPModel), of transformers 4.x.
[[nodiscard]] inline CLIPConfig read_clip_config(ConfigReader reader) {
    CLIPConfig c;
    reader.expect("model_type", "clip");
    c.text = read_clip_text_config(detail::clip_part(reader, "text_config"));
    c.vision = read_clip_vision_config(detail::clip_part(reader, "vision_config"));
    c.projection_dim = reader.get<index_t>("projection_dim", c.projection_dim);
    require(c.projection_dim > 0 && c.projection_dim <= UNetConfig::limit, reader.where(), ": \"projection_dim\" is ",
            c.projection_dim, ", expected 1 to ", UNetConfig::limit);
    reader.ignore({"architectures", "initializer_factor", "logit_scale_init_value", "torch_dtype", "dtype",
                   "transformers_version", "_name_or_path", "_commit_hash", "bos_token_id", "eos_token_id",
                   "pad_token_id"});
    reader.finish();
    return c;
}

/// Loads a folder with a whole CLIP (config.json, and model.safetensors or pytorch_model.bin, in one file or several),
/// such as clip-vit-base-patch32. Throws Error for anything missing, unexpected or unsupported.
template <Scalar T, Backend B>
[[nodiscard]] CLIPModel<T, B> load_clip_model(B& backend, const std::filesystem::path& folder) {
    const auto path = folder / "config.json";
    nlohmann::json config = detail::without_generation_keys(read_json(path));
    CLIPModel<T, B> model(read_clip_config({std::move(config), path.string()}));
    const auto file = find_weights(folder, transformers_weight_names).string();
    // Buffers of older transformers: 0, 1, 2, ...
    const LoadRules rules{.ignored = [](const std::string& n) {
        return n == "text_model.embeddings.position_ids" || n == "vision_model.embeddings.position_ids";
    }};
    load_parameters(model, backend, load_weights(folder, transformers_weight_names), file, rules);
    return model;
}

} // namespace reel
