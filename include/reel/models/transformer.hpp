#pragma once

#include <reel/nn/attention.hpp>

namespace reel {

/// What a Transformer3DModel is made of.
struct TransformerSpec {
    index_t channels = 0;
    index_t text_channels = 0;
    index_t heads = 1;
    index_t groups = 32;            ///< of its group norm
    index_t layers = 1;             ///< blocks, one after the other
    bool linear_projection = false; ///< checkpoints hold proj_in and proj_out as [out, in], not as [out, in, 1, 1]
    bool temporal = true;           ///< with attention along time
};

/// Transformer over the pixels of every frame and the frames of every pixel: diffusers' Transformer2DModel, inflated
/// (the reference's Transformer3DModel). The group norm looks at each picture alone and has its own epsilon.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct Transformer3DModel {
    using Block = BasicTransformerBlock<T, B, Parts>;
    using Linear = LinearOf<Parts, T, B>;

    GroupNorm<T, B> norm;
    Linear proj_in;
    std::vector<Block> transformer_blocks;
    Linear proj_out;

    explicit Transformer3DModel(const TransformerSpec& s)
        : norm(s.groups, s.channels, 1e-6), proj_in(s.channels, s.channels, true, layout(s.linear_projection)),
          proj_out(s.channels, s.channels, true, layout(s.linear_projection)) {
        for (index_t i = 0; i < s.layers; ++i) {
            transformer_blocks.emplace_back(s.channels, s.text_channels, s.heads, s.temporal);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("norm", self.norm);
        visit("proj_in", self.proj_in);
        visit("transformer_blocks", self.transformer_blocks);
        visit("proj_out", self.proj_out);
    }

    /// x [clips * frames, height, width, channels], text [clips, text tokens, text channels].
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& text, index_t frames) const {
        const Shape shape = x.shape();
        const Shape tokens{shape[0], shape[1] * shape[2], shape[3]};
        const auto [size, in_place] = pieces(x);
        V h = each_picture(x, tokens, size, [&](const V& pictures, const V& result) {
            const index_t count = pictures.shape(0);
            return apply(proj_in, reshape(norm(pictures, count), {count, tokens[1], tokens[2]}), result);
        });
        for (const auto& block : transformer_blocks) {
            h = block(std::move(h), text, frames);
        }
        return plus_each_picture(x, h, size, in_place, [&](const V& pictures) {
            return reshape(proj_out(pictures), {pictures.shape(0), shape[1], shape[2], shape[3]});
        });
    }

private:
    /// How many pictures to project at once, and whether the result takes the blocks' memory: for no more beside x and
    /// the result than some pictures need.
    template <class V>
    [[nodiscard]] std::pair<index_t, bool> pieces(const V& x) const {
        if constexpr (is_tensor<V>) {
            if (Block::is_long(x)) {
                const index_t bytes = x.size() / x.shape(0) * static_cast<index_t>(sizeof(T));
                const bool cut =
                    may_cut_pictures<T>("Transformer3DModel: proj_in", proj_in, x.backend(), x.shape(3), checked_);
                return {cut ? at_once(x.backend(), x.shape(0), bytes) : x.shape(0), true};
            }
        }
        return {x.shape(0), false};
    }

    static ParameterLayout layout(bool linear_projection) {
        return linear_projection ? ParameterLayout::plain : ParameterLayout::pointwise;
    }

    mutable CheckedOnce checked_;
};

} // namespace reel
