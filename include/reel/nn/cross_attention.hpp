#pragma once

#include <memory>

#include <reel/nn/attention_processor.hpp>
#include <reel/nn/parts.hpp>

namespace reel {

/// Multi-head attention with projections, named as diffusers' CrossAttention: to_q, to_k, to_v without bias, to_out.0
/// with one. Queries are [batches, queries, channels]; keys come from `context` [key batches, keys, context_channels],
/// and `options` says which query batch sees which (self, sparse-causal, text, along frames).
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct CrossAttention {
    using Linear = LinearOf<Parts, T, B>;
    using AttendIs = CrossAttention;

    Linear to_q;
    Linear to_k;
    Linear to_v;
    std::vector<Linear> to_out;
    index_t heads;
    std::shared_ptr<const AttentionProcessor<T, B>> processor; ///< in place of the attention itself, or null

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

    /// Beyond the keys that its options name.
    [[nodiscard]] Couples couples() const {
        return couples_of(to_q) | (processor ? processor->couples : Couples::nothing);
    }

    /// `piece` is for a processor to know where it is.
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& context, const AttentionOptions& options,
                               const ClipPiece& piece = {}) const {
        return attend(x, to_k(context), to_v(context), options, piece);
    }

    /// With keys and values that are projected already.
    template <class V>
    [[nodiscard]] V attend(const V& x, const V& keys, const V& values, AttentionOptions options,
                           const ClipPiece& piece = {}) const {
        options.heads = heads;
        return to_out[0](processor ? (*processor)(to_q(x), keys, values, options, piece)
                                   : scaled_dot_product_attention(to_q(x), keys, values, options));
    }
};

/// An attention whose call is attend() of what its to_k and to_v give, so that they can be projected apart: it names
/// itself as `AttendIs`. One derived from reel's names another there: it has a call of its own.
template <class Attention>
concept ProjectsApart = std::same_as<typename Attention::AttendIs, Attention>;

/// part(arguments..., piece) where the part takes the piece, part(arguments...) otherwise.
template <class Part, class... Arguments>
[[nodiscard]] auto call_part(const Part& part, const ClipPiece& piece, const Arguments&... arguments) {
    if constexpr (std::is_invocable_v<const Part&, const Arguments&..., const ClipPiece&>) {
        return part(arguments..., piece);
    } else {
        return part(arguments...);
    }
}

/// Attention along the frames of a clip, added to the inflated block: norm_temp and attn_temp of the reference.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct TemporalAttention {
    LayerNorm<T, B> norm_temp;
    AttentionOf<Parts, T, B> attn_temp;

    TemporalAttention(index_t channels, index_t heads) : norm_temp(channels), attn_temp(channels, channels, heads) {}

    static void members(auto& self, const auto& visit) {
        visit("attn_temp", self.attn_temp);
        visit("norm_temp", self.norm_temp);
    }

    [[nodiscard]] Couples couples() const { return Couples::frames | couples_of(attn_temp); }

    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t frames, const ClipPiece& piece = {}) const {
        const V normal = norm_temp(x);
        return call_part(attn_temp, piece, normal, normal, AttentionOptions{.frames = frames});
    }
};

} // namespace reel
