#pragma once

#include <reel/nn/attention.hpp>

namespace reel {

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

    /// `linear_projection` says how checkpoints hold proj_in and proj_out: [out, in] or [out, in, 1, 1].
    Transformer3DModel(index_t channels, index_t text_channels, index_t heads, index_t groups, index_t layers,
                       bool linear_projection, bool temporal)
        : norm(groups, channels, 1e-6), proj_in(channels, channels, true, layout(linear_projection)),
          proj_out(channels, channels, true, layout(linear_projection)) {
        for (index_t i = 0; i < layers; ++i) {
            transformer_blocks.emplace_back(channels, text_channels, heads, temporal);
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
