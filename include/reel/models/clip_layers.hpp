#pragma once

#include <vector>

#include <reel/nn/layers.hpp>
#include <reel/ops/attention.hpp>

namespace reel {

/// Self-attention of CLIP's towers, with biases everywhere: causal in the text's, not in the pictures'.
template <Scalar T, Backend B = Cpu>
struct CLIPAttention {
    Linear<T, B> k_proj;
    Linear<T, B> v_proj;
    Linear<T, B> q_proj;
    Linear<T, B> out_proj;
    index_t heads;
    bool causal;

    CLIPAttention(index_t width, index_t head_count, bool is_causal)
        : k_proj(width, width), v_proj(width, width), q_proj(width, width), out_proj(width, width), heads(head_count),
          causal(is_causal) {}

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
        options.causal = causal;
        return out_proj(scaled_dot_product_attention(q_proj(x), k_proj(x), v_proj(x), options));
    }
};

/// One layer of either tower. `Config` is CLIPTextConfig or CLIPVisionConfig.
template <Scalar T, Backend B = Cpu>
struct CLIPEncoderLayer {
    CLIPAttention<T, B> self_attn;
    LayerNorm<T, B> layer_norm1;
    Linear<T, B> fc1;
    Linear<T, B> fc2;
    LayerNorm<T, B> layer_norm2;
    bool quick_gelu;

    template <class Config>
    CLIPEncoderLayer(const Config& c, bool causal)
        : self_attn(c.hidden_size, c.num_attention_heads, causal), layer_norm1(c.hidden_size, c.layer_norm_eps),
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

} // namespace reel
