#pragma once

#include <reel/autograd/checkpoint.hpp>
#include <reel/nn/layers.hpp>
#include <reel/nn/pieces.hpp>

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
    [[nodiscard]] V operator()(const V& x, const V& context, const AttentionOptions& options) const {
        return attend(x, to_k(context), to_v(context), options);
    }

    /// With keys and values that are projected already.
    template <class V>
    [[nodiscard]] V attend(const V& x, const V& keys, const V& values, AttentionOptions options) const {
        options.heads = heads;
        return to_out[0](scaled_dot_product_attention(to_q(x), keys, values, options));
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

    /// How many of so many rows to widen at once, in a part of a piece: enough to repay the packing of the weights.
    [[nodiscard]] index_t rows_at_once(const B& backend, index_t rows, index_t parts = 1) const {
        const index_t bytes = 12 * contract.weight.spec().shape[0] * static_cast<index_t>(sizeof(T));
        return at_once(backend, rows, parts * bytes, 2048);
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
        if constexpr (std::same_as<V, Tensor<T, B>>) {
            if (is_long(x)) {
                x = x.unique() && x.owns_memory() ? x : x.clone();
                run_in_pieces_(x, text, frames);
                return x;
            }
        }
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
        x = add(widened(x), x);
        return temporal ? add((*temporal)(x, frames), x) : x;
    }

    /// True when x goes through in pieces.
    [[nodiscard]] static bool is_long(const Tensor<T, B>& x) {
        return 12 * x.size() * static_cast<index_t>(sizeof(T)) > piece_bytes(x.backend());
    }

    /// The same in place: clip by clip, some frames, rows or tokens at a time, with no more beside x than they need.
    void run_in_pieces_(const Tensor<T, B>& x, const Tensor<T, B>& text, index_t frames) const {
        for (index_t clip = 0; clip * frames < x.shape(0); ++clip) {
            const Tensor<T, B> own = x.slice(clip * frames, (clip + 1) * frames);
            attend_to_frames_(own);
            attend_to_text_(own, text.slice(clip, clip + 1));
            feed_forward_(own);
            if (temporal) {
                attend_along_frames_(own);
            }
        }
    }

private:
    /// The feed-forward of the normalised rows. What gradients would keep of it, eight times the input, is computed
    /// again, some rows at a time, where that is half a piece's worth: a hundredth or so of a tuning step's time for
    /// a fifth of what it holds for a moment.
    template <class V>
    [[nodiscard]] V widened(const V& x) const {
        const auto block = [this](const auto& rows) { return ff(norm3(rows)); };
        if constexpr (requires { x.requires_grad(); }) {
            if (8 * x.size() * static_cast<index_t>(sizeof(T)) > piece_bytes(x.backend()) / 2) {
                const index_t size = ff.rows_at_once(x.backend(), x.size() / x.shape(2), 2);
                return checkpoint_rows(trains(norm3) || trains(ff), size, block, x);
            }
        }
        return block(x);
    }

    /// Bytes of one frame [tokens, channels].
    [[nodiscard]] static index_t frame_bytes(const Tensor<T, B>& x) {
        return x.shape(1) * x.shape(2) * static_cast<index_t>(sizeof(T));
    }

    /// Sparse-causal attention of a clip. Of the frames before a piece it needs the keys and values of the first and
    /// the last, which are kept, since x itself has changed there.
    void attend_to_frames_(const Tensor<T, B>& x) const {
        B& backend = x.backend();
        const Shape two{2, x.shape(1), x.shape(2)};
        const Tensor<T, B> former_keys(backend, two);
        const Tensor<T, B> former_values(backend, two);
        for_each_piece(x.shape(0), at_once(backend, x.shape(0), 6 * frame_bytes(x)), [&](index_t begin, index_t end) {
            const index_t frames = end - begin;
            const auto piece = x.slice(begin, end);
            const Tensor<T, B> normal = norm1(piece);
            const auto projected = [&](const Linear<T, B>& projection, const Tensor<T, B>& former) {
                Tensor<T, B> all(backend, two.with(0, 2 + frames)); // the first frame, the former one, the piece's
                projection.into(all.slice(2, 2 + frames), normal);
                if (begin == 0) {
                    former.slice(0, 1).copy_from(all.slice(2, 3));
                }
                all.slice(0, begin == 0 ? 1 : 2).copy_from(former.slice(0, begin == 0 ? 1 : 2));
                former.slice(1, 2).copy_from(all.slice(1 + frames, 2 + frames));
                return all;
            };
            AttentionOptions options;
            options.lists = 2;
            for (index_t frame = begin; frame < end; ++frame) {
                options.key_batches.push_back(0);
                options.key_batches.push_back(frame >= 2 ? static_cast<std::int32_t>(1 + frame - begin) : -1);
            }
            const Tensor<T, B> keys = projected(attn1.to_k, former_keys);
            const Tensor<T, B> values = projected(attn1.to_v, former_values);
            accumulate_(piece, attn1.attend(normal, keys, values, options));
        });
    }

    void attend_to_text_(const Tensor<T, B>& x, const Tensor<T, B>& text) const {
        const Tensor<T, B> keys = attn2.to_k(text);
        const Tensor<T, B> values = attn2.to_v(text);
        const index_t size = at_once(x.backend(), x.shape(0), 4 * frame_bytes(x));
        for_each_piece(x.shape(0), size, [&](index_t begin, index_t end) {
            const auto piece = x.slice(begin, end);
            accumulate_(piece, attn2.attend(norm2(piece), keys, values, {.key_batches = shared_keys(1, end - begin)}));
        });
    }

    void feed_forward_(const Tensor<T, B>& x) const {
        const Tensor<T, B> rows = x.reshape({-1, x.shape(2)});
        for_each_piece(rows.shape(0), ff.rows_at_once(x.backend(), rows.shape(0)), [&](index_t begin, index_t end) {
            const auto piece = rows.slice(begin, end);
            accumulate_(piece, ff(norm3(piece)));
        });
    }

    void attend_along_frames_(const Tensor<T, B>& x) const {
        const index_t frames = x.shape(0);
        const index_t channels = x.shape(2);
        const Tensor<T, B> rows = x.reshape({frames, -1});
        const index_t size = at_once(x.backend(), x.shape(1), 7 * frames * channels * static_cast<index_t>(sizeof(T)));
        for_each_piece(x.shape(1), size, [&](index_t begin, index_t end) {
            const auto tokens = slice_channels(rows, begin * channels, end * channels);
            const auto change = (*temporal)(tokens.reshape({frames, end - begin, channels}), frames);
            accumulate_channels_(rows, change.reshape({frames, -1}), begin * channels);
        });
    }
};

} // namespace reel
