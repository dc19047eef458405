#pragma once

#include <reel/nn/branch_run.hpp>
#include <reel/nn/cross_attention.hpp>
#include <reel/nn/feed_forward.hpp>
#include <reel/nn/former_frames.hpp>

namespace reel {

/// One layer of a spatial transformer, in the reference's order: sparse-causal self-attention, cross-attention to the
/// text, GEGLU feed-forward, attention along the frames; each with a layer norm before and a residual around.
/// Without `temporal` and with one frame per clip it is diffusers' 2D BasicTransformerBlock.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct BasicTransformerBlock {
    using Attention = AttentionOf<Parts, T, B>;

    LayerNorm<T, B> norm1;
    Attention attn1;
    LayerNorm<T, B> norm2;
    Attention attn2;
    LayerNorm<T, B> norm3;
    FeedForward<T, B, Parts> ff;
    std::optional<TemporalOf<Parts, T, B>> temporal;

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
        visit("", self.temporal); // its members stand among these
    }

    /// x [clips * frames, tokens, channels], text [clips, text tokens, text channels].
    template <class V>
    [[nodiscard]] V operator()(V x, const V& text, index_t frames) const {
        if constexpr (is_tensor<V>) {
            if (is_long(x)) {
                x = x.unique() && x.owns_memory() ? x : x.clone();
                run_in_pieces_(x, text, frames);
                return x;
            }
        }
        for_each_branch(text, BranchRun<V>(x, x.shape(0) / frames, BranchRun<V>::How::whole, name));
        return x;
    }

    /// True when x goes through in pieces.
    [[nodiscard]] static bool is_long(const Tensor<T, B>& x) {
        return 12 * x.size() * static_cast<index_t>(sizeof(T)) > piece_bytes(x.backend());
    }

    /// The same in place: some frames, rows or tokens at a time, with no more beside x than they need. Throws Error
    /// when a part that was exchanged, or a processor, couples more than it says; that is tried once.
    void run_in_pieces_(const Tensor<T, B>& x, const Tensor<T, B>& text, index_t frames) const {
        check_claims(x, text, frames);
        Tensor<T, B> changing = x;
        using Run = BranchRun<Tensor<T, B>>;
        for_each_branch(text, Run(changing, x.shape(0) / frames, Run::How::pieces, name));
    }

private:
    static constexpr const char* name = "BasicTransformerBlock";

    /// The block: its branches in order.
    template <class V>
    void for_each_branch(const V& text, const BranchRun<V>& visit) const {
        {
            FormerFrames<V> keys;
            FormerFrames<V> values;
            visit(branch("attn1", Couples::tokens | couples_of(attn1), 6, [&](const V& x, const ClipPiece& piece) {
                const V normal = norm1(x);
                const index_t frames = x.shape(0) / piece.clips;
                if constexpr (is_tensor<V>) {
                    if (!piece.all_frames) {
                        const AttentionOptions options = FormerFrames<V>::options(piece, frames);
                        if constexpr (ProjectsApart<Attention>) {
                            const V k = keys.before(attn1.to_k, normal, piece);
                            return attn1.attend(normal, k, values.before(attn1.to_v, normal, piece), options, piece);
                        } else {
                            const V seen = keys.before([](const V& same) { return same; }, normal, piece);
                            return call_part(attn1, piece, normal, seen, options);
                        }
                    }
                }
                AttentionOptions options;
                if (frames > 1) {
                    options.key_batches = sparse_causal_keys(piece.clips, frames);
                    options.lists = 2;
                }
                return call_part(attn1, piece, normal, normal, options);
            }));
        }
        {
            V keys;
            V values;
            visit(branch("attn2", Couples::tokens | couples_of(attn2), 4, [&](const V& x, const ClipPiece& piece) {
                const V normal = norm2(x);
                const AttentionOptions options{.key_batches = shared_keys(piece.clips, x.shape(0) / piece.clips)};
                if constexpr (is_tensor<V>) {
                    const V own = text.slice(piece.first_clip, piece.first_clip + piece.clips);
                    if constexpr (ProjectsApart<Attention>) {
                        if (!piece.all_frames) {
                            if (piece.first_frame == 0) {
                                keys = attn2.to_k(own);
                                values = attn2.to_v(own);
                            }
                            return attn2.attend(normal, keys, values, options, piece);
                        }
                    }
                    return call_part(attn2, piece, normal, own, options);
                } else {
                    return call_part(attn2, piece, normal, text, options);
                }
            }));
        }
        auto widened =
            branch("ff", couples_of(ff), 12, [this](const auto& x, const ClipPiece&) { return ff(norm3(x)); });
        if constexpr (!is_tensor<V>) {
            widened.kept = 8;
            widened.trains = trains(norm3) || trains(ff);
        }
        visit(widened);
        if (temporal) {
            const Couples couples =
                Couples::frames | couples_of(*temporal); // whatever else it is, it is of whole clips
            visit(branch("the temporal block", couples, 7, [this](const V& x, const ClipPiece& piece) {
                return call_part(*temporal, piece, x, piece.frames);
            }));
        }
    }

    template <class Run>
    [[nodiscard]] ResidualBranch<Run> branch(const char* what, Couples couples, index_t widths, Run run) const {
        return {what, couples, widths, std::move(run)};
    }

    /// Tries, once, whether the parts that were exchanged and the processors couple what they say.
    void check_claims(const Tensor<T, B>& x, const Tensor<T, B>& text, index_t frames) const {
        bool claimed = !std::same_as<Parts, DefaultParts> && !checked_;
        std::string where = name;
        const auto each_processor = [this](const auto& visit) {
            for_each_submodule(*this, [&](const std::string&, const auto& part) {
                if constexpr (requires { part.processor->checked; }) {
                    if (part.processor) {
                        visit(*part.processor);
                    }
                }
            });
        };
        each_processor([&](const auto& p) {
            if (!p.checked && p.couples != Couples::everything) {
                claimed = true;
                where = p.name + ": its processor, or another part of the " + name;
            }
        });
        if (!claimed) {
            return;
        }
        BasicTransformerBlock random = *this;
        set_random(random, x.backend());
        const index_t last = text.shape(0) - 1;
        const Tensor<T, B> texts(x.backend(), text.shape().with(0, 2));
        texts.slice(0, 1).copy_from(text.slice(0, 1));
        texts.slice(1, 2).copy_from(text.slice(last, last + 1));
        using Run = BranchRun<Tensor<T, B>>;
        Tensor<T, B> clip = x.slice(0, frames);
        random.for_each_branch(texts, Run(clip, 2, Run::How::check, where));
        checked_.set();
        each_processor([](const auto& p) { p.checked = true; });
    }

    mutable CheckedOnce checked_;
};

} // namespace reel
