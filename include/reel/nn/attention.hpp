#pragma once

#include <reel/nn/layers.hpp>

namespace reel {

/// Multi-head attention with projections, named as diffusers' CrossAttention: to_q, to_k, to_v without bias, to_out.0
/// with one. Queries are [batches, queries, channels]; keys come from `context` [key batches, keys, context_channels],
/// and `options` says which query batch sees which (self, sparse-causal, text, along frames).
template <Scalar T, Backend B = Cpu>
struct CrossAttention {
    Linear<T, B> to_q;
    Linear<T, B> to_k;
    Linear<T, B> to_v;
    std::vector<Linear<T, B>> to_out;
    index_t heads;

    CrossAttention(index_t channels, index_t context_channels, index_t head_count)
        : to_q(channels, channels, false), to_k(context_channels, channels, false),
          to_v(context_channels, channels, false), heads(head_count) {
        require(head_count > 0 && channels % head_count == 0, "attention: ", channels, " channels in ", head_count,
                " heads; expected a multiple");
        to_out.emplace_back(channels, channels);
    }

    static void members(auto& self, const auto& visit) {
        visit("to_q", self.to_q);
        visit("to_k", self.to_k);
        visit("to_v", self.to_v);
        visit("to_out", self.to_out);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& context, AttentionOptions options) const {
        options.heads = heads;
        return to_out[0](scaled_dot_product_attention(to_q(x), to_k(context), to_v(context), options));
    }
};

/// diffusers' FeedForward with GEGLU: net.0.proj to twice four times the channels, net.2 back.
template <Scalar T, Backend B = Cpu>
struct FeedForward {
    Linear<T, B> expand;
    Linear<T, B> contract;

    explicit FeedForward(index_t channels) : expand(channels, 8 * channels), contract(4 * channels, channels) {}

    static void members(auto& self, const auto& visit) {
        visit("net.0.proj", self.expand);
        visit("net.2", self.contract);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return contract(geglu(expand(x)));
    }
};

/// Attention along the frames of a clip, added to the inflated block: norm_temp and attn_temp of the reference.
template <Scalar T, Backend B = Cpu>
struct TemporalAttention {
    LayerNorm<T, B> norm_temp;
    CrossAttention<T, B> attn_temp;

    TemporalAttention(index_t channels, index_t heads) : norm_temp(channels), attn_temp(channels, channels, heads) {}

    static void members(auto& self, const auto& visit) {
        visit("norm_temp", self.norm_temp);
        visit("attn_temp", self.attn_temp);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t frames) const {
        const V normal = norm_temp(x);
        return attn_temp(normal, normal, {.frames = frames});
    }
};

/// One layer of a spatial transformer, in the reference's order: sparse-causal self-attention, cross-attention to the
/// text, GEGLU feed-forward, attention along the frames; each with a layer norm before and a residual around.
/// Without `temporal` and with one frame per clip it is diffusers' 2D BasicTransformerBlock.
template <Scalar T, Backend B = Cpu>
struct BasicTransformerBlock {
    LayerNorm<T, B> norm1;
    CrossAttention<T, B> attn1;
    LayerNorm<T, B> norm2;
    CrossAttention<T, B> attn2;
    LayerNorm<T, B> norm3;
    FeedForward<T, B> ff;
    std::optional<TemporalAttention<T, B>> temporal;

    BasicTransformerBlock(index_t channels, index_t text_channels, index_t heads, bool with_temporal)
        : norm1(channels), attn1(channels, channels, heads), norm2(channels), attn2(channels, text_channels, heads),
          norm3(channels), ff(channels) {
        if (with_temporal) {
            temporal.emplace(channels, heads);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("attn1", self.attn1);
        visit("norm1", self.norm1);
        visit("attn2", self.attn2);
        visit("norm2", self.norm2);
        visit("ff", self.ff);
        visit("norm3", self.norm3);
        if (self.temporal) {
            visit("attn_temp", self.temporal->attn_temp);
            visit("norm_temp", self.temporal->norm_temp);
        }
    }

    /// x [clips * frames, tokens, channels], text [clips, text tokens, text channels].
    template <class V>
    [[nodiscard]] V operator()(V x, const V& text, index_t frames) const {
        const index_t clips = x.shape(0) / frames;
        AttentionOptions own;
        if (frames > 1) {
            own.key_batches = sparse_causal_keys(clips, frames);
            own.lists = 2;
        }
        V normal = norm1(x);
        x = add(attn1(normal, normal, own), x);
        normal = norm2(x);
        x = add(attn2(normal, text, {.key_batches = shared_keys(clips, frames)}), x);
        x = add(ff(norm3(x)), x);
        return temporal ? add((*temporal)(x, frames), x) : x;
    }
};

} // namespace reel
