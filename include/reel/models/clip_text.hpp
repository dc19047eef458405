#pragma once

#include <reel/models/clip_layers.hpp>

namespace reel {

/// What config.json of a text_encoder/ says, under its names. Defaults are those of Stable Diffusion 1.x.
struct CLIPTextConfig {
    index_t vocab_size = 49408;
    index_t hidden_size = 768;
    index_t intermediate_size = 3072;
    index_t num_hidden_layers = 12;
    index_t num_attention_heads = 12;
    index_t max_position_embeddings = 77;
    double layer_norm_eps = 1e-5;
    bool quick_gelu = true; ///< hidden_act "quick_gelu"; otherwise "gelu"
};

/// CLIP's text tower (Radford et al. 2021, arXiv:2103.00020), transformers' CLIPTextModel.
template <Scalar T, Backend B = Cpu>
struct CLIPTextModel {
    CLIPTextConfig config;
    Embedding<T, B> token_embedding;
    Embedding<T, B> position_embedding;
    std::vector<CLIPEncoderLayer<T, B>> layers;
    LayerNorm<T, B> final_layer_norm;

    explicit CLIPTextModel(const CLIPTextConfig& c);

    static void members(auto& self, const auto& visit) {
        visit("text_model.embeddings.token_embedding", self.token_embedding);
        visit("text_model.embeddings.position_embedding", self.position_embedding);
        visit("text_model.encoder.layers", self.layers);
        visit("text_model.final_layer_norm", self.final_layer_norm);
    }

    /// ids: `prompts` rows of equal length, one after the other. Returns the last hidden state after the final norm,
    /// [prompts, tokens, hidden_size], as a Tensor, or as the Variable asked for when training.
    template <class V = Tensor<T, B>>
    [[nodiscard]] V operator()(std::span<const std::int32_t> ids, index_t prompts = 1) const;
};

template <Scalar T, Backend B>
CLIPTextModel<T, B>::CLIPTextModel(const CLIPTextConfig& c)
    : config(c), token_embedding(c.vocab_size, c.hidden_size, 0.02),
      position_embedding(c.max_position_embeddings, c.hidden_size, 0.02),
      final_layer_norm(c.hidden_size, c.layer_norm_eps) {
    require(c.num_attention_heads > 0 && c.hidden_size % c.num_attention_heads == 0, "CLIPTextModel: hidden_size ",
            c.hidden_size, " is not a multiple of num_attention_heads ", c.num_attention_heads);
    for (index_t i = 0; i < c.num_hidden_layers; ++i) {
        layers.emplace_back(c, true);
    }
}

template <Scalar T, Backend B>
template <class V>
V CLIPTextModel<T, B>::operator()(std::span<const std::int32_t> ids, index_t prompts) const {
    const auto count = static_cast<index_t>(ids.size());
    require(prompts > 0 && count % prompts == 0, "CLIPTextModel: ", count, " ids for ", prompts, " prompts");
    const index_t tokens = count / prompts;
    require(tokens > 0 && tokens <= config.max_position_embeddings, "CLIPTextModel: ", tokens,
            " tokens; expected 1 to ", config.max_position_embeddings);
    std::vector<std::int32_t> positions(ids.size());
    for (std::size_t i = 0; i < positions.size(); ++i) {
        positions[i] = static_cast<std::int32_t>(static_cast<index_t>(i) % tokens);
    }
    V x = add(token_embedding.template lookup<V>(ids),
              position_embedding.template lookup<V>(std::span<const std::int32_t>(positions)));
    x = reshape(x, {prompts, tokens, config.hidden_size});
    for (const auto& layer : layers) {
        x = layer(std::move(x));
    }
    return final_layer_norm(x);
}

#ifdef REEL_COMPILED // reel/compiled/models_*.cpp have these
extern template Tensor<float> CLIPTextModel<float>::operator()(std::span<const std::int32_t>, index_t) const;
extern template Variable<float> CLIPTextModel<float>::operator()(std::span<const std::int32_t>, index_t) const;
extern template struct CLIPTextModel<float>;
extern template Tensor<double> CLIPTextModel<double>::operator()(std::span<const std::int32_t>, index_t) const;
extern template Variable<double> CLIPTextModel<double>::operator()(std::span<const std::int32_t>, index_t) const;
extern template struct CLIPTextModel<double>;
extern template Tensor<bfloat16> CLIPTextModel<bfloat16>::operator()(std::span<const std::int32_t>, index_t) const;
extern template struct CLIPTextModel<bfloat16>;
#endif

} // namespace reel
