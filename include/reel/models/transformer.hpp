#pragma once

#include <reel/nn/attention.hpp>

namespace reel {

/// Transformer over the pixels of every frame and the frames of every pixel: diffusers' Transformer2DModel, inflated
/// (the reference's Transformer3DModel). The group norm looks at each picture alone and has its own epsilon.
template <Scalar T, Backend B = Cpu>
struct Transformer3DModel {
    GroupNorm<T, B> norm;
    Linear<T, B> proj_in;
    std::vector<BasicTransformerBlock<T, B>> transformer_blocks;
    Linear<T, B> proj_out;

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
        V h = proj_in(reshape(norm(x, shape[0]), {shape[0], shape[1] * shape[2], shape[3]}));
        for (const auto& block : transformer_blocks) {
            h = block(h, text, frames);
        }
        return add(reshape(proj_out(h), {shape[0], shape[1], shape[2], shape[3]}), x);
    }

private:
    static ParameterLayout layout(bool linear_projection) {
        return linear_projection ? ParameterLayout::plain : ParameterLayout::pointwise;
    }
};

} // namespace reel
