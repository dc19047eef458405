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
        if constexpr (std::same_as<V, Tensor<T, B>>) {
            if (BasicTransformerBlock<T, B>::is_long(x)) {
                return in_pieces(x, text, frames);
            }
        }
        V h = proj_in(reshape(norm(x, shape[0]), {shape[0], shape[1] * shape[2], shape[3]}));
        for (const auto& block : transformer_blocks) {
            h = block(std::move(h), text, frames);
        }
        return add(reshape(proj_out(h), {shape[0], shape[1], shape[2], shape[3]}), x);
    }

private:
    /// With no more beside x and the result than some pictures need.
    [[nodiscard]] Tensor<T, B> in_pieces(const Tensor<T, B>& x, const Tensor<T, B>& text, index_t frames) const {
        const Shape shape = x.shape();
        const Shape tokens{shape[0], shape[1] * shape[2], shape[3]};
        const Tensor<T, B> h(x.backend(), tokens);
        const index_t bytes = tokens[1] * tokens[2] * static_cast<index_t>(sizeof(T));
        const index_t size = at_once(x.backend(), shape[0], bytes);
        for_each_piece(shape[0], size, [&](index_t begin, index_t end) {
            const Tensor<T, B> normal = norm(x.slice(begin, end), end - begin);
            proj_in.into(h.slice(begin, end), normal.reshape(tokens.with(0, end - begin)));
        });
        for (const auto& block : transformer_blocks) {
            block.run_in_pieces_(h, text, frames);
        }
        for_each_piece(shape[0], size, [&](index_t begin, index_t end) {
            const Tensor<T, B> change = proj_out(h.slice(begin, end));
            h.slice(begin, end).copy_from(x.slice(begin, end).reshape(tokens.with(0, end - begin)));
            accumulate_(h.slice(begin, end), change);
        });
        return h.reshape(shape);
    }

    static ParameterLayout layout(bool linear_projection) {
        return linear_projection ? ParameterLayout::plain : ParameterLayout::pointwise;
    }
};

} // namespace reel
