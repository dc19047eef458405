#pragma once

#include <reel/nn/layers.hpp>
#include <reel/ops/attention.hpp>

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

/// Causal self-attention of CLIP's text tower, with biases everywhere.
template <Real T, Backend B = Cpu>
struct CLIPAttention {
    Linear<T, B> k_proj;
    Linear<T, B> v_proj;
    Linear<T, B> q_proj;
    Linear<T, B> out_proj;
    index_t heads;

    CLIPAttention(index_t width, index_t head_count)
        : k_proj(width, width), v_proj(width, width), q_proj(width, width), out_proj(width, width), heads(head_count) {}

    static void members(auto& self, const auto& visit) {
        visit("k_proj", self.k_proj);
        visit("v_proj", self.v_proj);
        visit("q_proj", self.q_proj);
        visit("out_proj", self.out_proj);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        AttentionOptions options;
        options.heads = heads;
        options.causal = true;
        return out_proj(scaled_dot_product_attention(q_proj(x), k_proj(x), v_proj(x), options));
    }
};

template <Real T, Backend B = Cpu>
struct CLIPEncoderLayer {
    CLIPAttention<T, B> self_attn;
    LayerNorm<T, B> layer_norm1;
    Linear<T, B> fc1;
    Linear<T, B> fc2;
    LayerNorm<T, B> layer_norm2;
    bool quick_gelu;

    explicit CLIPEncoderLayer(const CLIPTextConfig& c)
        : self_attn(c.hidden_size, c.num_attention_heads), layer_norm1(c.hidden_size, c.layer_norm_eps),
          fc1(c.hidden_size, c.intermediate_size), fc2(c.intermediate_size, c.hidden_size),
          layer_norm2(c.hidden_size, c.layer_norm_eps), quick_gelu(c.quick_gelu) {}

    static void members(auto& self, const auto& visit) {
        visit("self_attn", self.self_attn);
        visit("layer_norm1", self.layer_norm1);
        visit("mlp.fc1", self.fc1);
        visit("mlp.fc2", self.fc2);
        visit("layer_norm2", self.layer_norm2);
    }

    template <class V>
    [[nodiscard]] V operator()(V x) const {
        x = add(x, self_attn(layer_norm1(x)));
        const V inner = fc1(layer_norm2(x));
        return add(x, fc2(quick_gelu ? activate(QuickGelu{}, inner) : activate(Gelu{}, inner)));
    }
};

/// CLIP's text tower (Radford et al. 2021, arXiv:2103.00020), transformers' CLIPTextModel.
template <Real T, Backend B = Cpu>
struct CLIPTextModel {
    CLIPTextConfig config;
    Embedding<T, B> token_embedding;
    Embedding<T, B> position_embedding;
    std::vector<CLIPEncoderLayer<T, B>> layers;
    LayerNorm<T, B> final_layer_norm;

    explicit CLIPTextModel(const CLIPTextConfig& c)
        : config(c), token_embedding(c.vocab_size, c.hidden_size, 0.02),
          position_embedding(c.max_position_embeddings, c.hidden_size, 0.02),
          final_layer_norm(c.hidden_size, c.layer_norm_eps) {
        require(c.num_attention_heads > 0 && c.hidden_size % c.num_attention_heads == 0, "CLIPTextModel: hidden_size ",
                c.hidden_size, " is not a multiple of num_attention_heads ", c.num_attention_heads);
        for (index_t i = 0; i < c.num_hidden_layers; ++i) {
            layers.emplace_back(c);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("text_model.embeddings.token_embedding", self.token_embedding);
        visit("text_model.embeddings.position_embedding", self.position_embedding);
        visit("text_model.encoder.layers", self.layers);
        visit("text_model.final_layer_norm", self.final_layer_norm);
    }

    /// ids: `prompts` rows of equal length, one after the other. Returns the last hidden state after the final norm,
    /// [prompts, tokens, hidden_size], as a Tensor, or as the Variable asked for when training.
    template <class V = Tensor<T, B>>
    [[nodiscard]] V operator()(std::span<const std::int32_t> ids, index_t prompts = 1) const {
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
};

} // namespace reel
