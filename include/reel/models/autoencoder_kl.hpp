#pragma once

#include <reel/models/latent_distribution.hpp>
#include <reel/nn/attention.hpp>
#include <reel/nn/resnet.hpp>

namespace reel {

/// What config.json of a vae/ says, under its names. Defaults are those of Stable Diffusion 1.x.
struct AutoencoderKLConfig {
    index_t in_channels = 3;
    index_t out_channels = 3;
    std::vector<index_t> block_out_channels{128, 256, 512, 512};
    index_t layers_per_block = 2;
    index_t latent_channels = 4;
    index_t norm_num_groups = 32;
    index_t sample_size = 512;
    double scaling_factor = 0.18215;
    bool use_quant_conv = true; ///< false: the encoder's moments are the latents' as they are
    bool use_post_quant_conv = true;

    /// How many pixels a latent spans in each direction.
    [[nodiscard]] index_t pixels_per_latent() const {
        return index_t{1} << (static_cast<index_t>(block_out_channels.size()) - 1);
    }
};

/// One-head attention over the pixels of a picture, with biases and a residual: diffusers' AttentionBlock.
template <Scalar T, Backend B = Cpu>
struct PixelAttention {
    GroupNorm<T, B> group_norm;
    Linear<T, B> to_q;
    Linear<T, B> to_k;
    Linear<T, B> to_v;
    Linear<T, B> to_out;

    PixelAttention(index_t channels, index_t groups)
        : group_norm(groups, channels, 1e-6), to_q(channels, channels), to_k(channels, channels),
          to_v(channels, channels), to_out(channels, channels) {}

    // The names of diffusers 0.11.1, which later releases read too.
    static void members(auto& self, const auto& visit) {
        visit("group_norm", self.group_norm);
        visit("query", self.to_q);
        visit("key", self.to_k);
        visit("value", self.to_v);
        visit("proj_attn", self.to_out);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        const Shape s = x.shape();
        const V h = reshape(group_norm(x, s[0]), {s[0], s[1] * s[2], s[3]});
        const V attended = scaled_dot_product_attention(to_q(h), to_k(h), to_v(h), AttentionOptions{});
        return add(reshape(to_out(attended), {s[0], s[1], s[2], s[3]}), x);
    }
};

/// Resnet, attention, resnet.
template <Scalar T, Backend B = Cpu>
struct AutoencoderMidBlock {
    std::vector<PixelAttention<T, B>> attentions;
    std::vector<ResnetBlock<T, B>> resnets;

    AutoencoderMidBlock(index_t channels, index_t groups) {
        attentions.emplace_back(channels, groups);
        resnets.emplace_back(channels, channels, 0, groups, 1e-6);
        resnets.emplace_back(channels, channels, 0, groups, 1e-6);
    }

    static void members(auto& self, const auto& visit) {
        visit("attentions", self.attentions);
        visit("resnets", self.resnets);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return resnets[1](attentions[0](resnets[0](x, V{}, x.shape(0))), V{}, x.shape(0));
    }
};

/// Resnets and then, except in the last block, a change of size: DownEncoderBlock2D and UpDecoderBlock2D.
template <Scalar T, Backend B, class Resample>
struct AutoencoderBlock {
    std::vector<ResnetBlock<T, B>> resnets;
    std::vector<Resample> resamplers;

    AutoencoderBlock(index_t in, index_t out, index_t layers, index_t groups) {
        for (index_t i = 0; i < layers; ++i) {
            resnets.emplace_back(i == 0 ? in : out, out, 0, groups, 1e-6);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("resnets", self.resnets);
        visit(std::same_as<Resample, Upsample<T, B>> ? "upsamplers" : "downsamplers", self.resamplers);
    }

    template <class V>
    [[nodiscard]] V operator()(V x) const {
        for (const auto& resnet : resnets) {
            x = resnet(x, V{}, x.shape(0));
        }
        for (const auto& resample : resamplers) {
            x = resample(x);
        }
        return x;
    }
};

/// Pictures to the moments of a latent distribution.
template <Scalar T, Backend B = Cpu>
struct AutoencoderEncoder {
    Conv2d<T, B> conv_in;
    std::vector<AutoencoderBlock<T, B, Downsample<T, B>>> down_blocks;
    AutoencoderMidBlock<T, B> mid_block;
    GroupNorm<T, B> conv_norm_out;
    Conv2d<T, B> conv_out;

    explicit AutoencoderEncoder(const AutoencoderKLConfig& c);

    static void members(auto& self, const auto& visit) {
        visit("conv_in", self.conv_in);
        visit("down_blocks", self.down_blocks);
        visit("mid_block", self.mid_block);
        visit("conv_norm_out", self.conv_norm_out);
        visit("conv_out", self.conv_out);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& pictures) const;
};

template <Scalar T, Backend B>
AutoencoderEncoder<T, B>::AutoencoderEncoder(const AutoencoderKLConfig& c)
    : conv_in(conv3x3<T, B>(c.in_channels, c.block_out_channels.front())),
      mid_block(c.block_out_channels.back(), c.norm_num_groups),
      conv_norm_out(c.norm_num_groups, c.block_out_channels.back(), 1e-6),
      conv_out(conv3x3<T, B>(c.block_out_channels.back(), 2 * c.latent_channels)) {
    index_t in = c.block_out_channels.front();
    for (std::size_t i = 0; i < c.block_out_channels.size(); ++i) {
        const index_t out = c.block_out_channels[i];
        down_blocks.emplace_back(in, out, c.layers_per_block, c.norm_num_groups);
        if (i + 1 < c.block_out_channels.size()) {
            down_blocks.back().resamplers.emplace_back(out, false);
        }
        in = out;
    }
}

template <Scalar T, Backend B>
template <class V>
V AutoencoderEncoder<T, B>::operator()(const V& pictures) const {
    V x = conv_in(pictures);
    for (const auto& block : down_blocks) {
        x = block(std::move(x));
    }
    x = mid_block(x);
    return conv_out(conv_norm_out(x, x.shape(0), true));
}

/// Latents to pictures.
template <Scalar T, Backend B = Cpu>
struct AutoencoderDecoder {
    Conv2d<T, B> conv_in;
    AutoencoderMidBlock<T, B> mid_block;
    std::vector<AutoencoderBlock<T, B, Upsample<T, B>>> up_blocks;
    GroupNorm<T, B> conv_norm_out;
    Conv2d<T, B> conv_out;

    explicit AutoencoderDecoder(const AutoencoderKLConfig& c);

    static void members(auto& self, const auto& visit) {
        visit("conv_in", self.conv_in);
        visit("mid_block", self.mid_block);
        visit("up_blocks", self.up_blocks);
        visit("conv_norm_out", self.conv_norm_out);
        visit("conv_out", self.conv_out);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& latents) const;
};

template <Scalar T, Backend B>
AutoencoderDecoder<T, B>::AutoencoderDecoder(const AutoencoderKLConfig& c)
    : conv_in(conv3x3<T, B>(c.latent_channels, c.block_out_channels.back())),
      mid_block(c.block_out_channels.back(), c.norm_num_groups),
      conv_norm_out(c.norm_num_groups, c.block_out_channels.front(), 1e-6),
      conv_out(conv3x3<T, B>(c.block_out_channels.front(), c.out_channels)) {
    index_t in = c.block_out_channels.back();
    for (std::size_t i = c.block_out_channels.size(); i-- > 0;) {
        const index_t out = c.block_out_channels[i];
        up_blocks.emplace_back(in, out, c.layers_per_block + 1, c.norm_num_groups);
        if (i > 0) {
            up_blocks.back().resamplers.emplace_back(out);
        }
        in = out;
    }
}

template <Scalar T, Backend B>
template <class V>
V AutoencoderDecoder<T, B>::operator()(const V& latents) const {
    V x = mid_block(conv_in(latents));
    for (const auto& block : up_blocks) {
        x = block(std::move(x));
    }
    return conv_out(conv_norm_out(x, x.shape(0), true));
}

/// Stable Diffusion's autoencoder (Rombach et al. 2022, arXiv:2112.10752), diffusers' AutoencoderKL. Pictures are in
/// -1..1. Latents are unscaled here; diffusion works on config.scaling_factor times these.
template <Scalar T, Backend B = Cpu>
struct AutoencoderKL {
    AutoencoderKLConfig config;
    AutoencoderEncoder<T, B> encoder;
    AutoencoderDecoder<T, B> decoder;
    Linear<T, B> quant_conv;
    Linear<T, B> post_quant_conv;

    explicit AutoencoderKL(const AutoencoderKLConfig& c)
        : config(c), encoder(c), decoder(c),
          quant_conv(2 * c.latent_channels, 2 * c.latent_channels, true, ParameterLayout::pointwise),
          post_quant_conv(c.latent_channels, c.latent_channels, true, ParameterLayout::pointwise) {}

    static void members(auto& self, const auto& visit) {
        visit("encoder", self.encoder);
        visit("decoder", self.decoder);
        if (self.config.use_quant_conv) {
            visit("quant_conv", self.quant_conv);
        }
        if (self.config.use_post_quant_conv) {
            visit("post_quant_conv", self.post_quant_conv);
        }
    }

    /// Moments (mean, then log variance) of pictures [n, height, width, in_channels]: [n, h, w, 2 * latent_channels].
    template <class V>
    [[nodiscard]] V encode(const V& pictures) const {
        V moments = encoder(pictures);
        return config.use_quant_conv ? quant_conv(moments) : moments;
    }

    /// Pictures [n, height, width, out_channels] of latents [n, h, w, latent_channels].
    template <class V>
    [[nodiscard]] V decode(const V& latents) const {
        return decoder(config.use_post_quant_conv ? post_quant_conv(latents) : latents);
    }
};

#ifdef REEL_COMPILED // reel/compiled/models_*.cpp have these
extern template Tensor<float> AutoencoderEncoder<float>::operator()(const Tensor<float>&) const;
extern template Variable<float> AutoencoderEncoder<float>::operator()(const Variable<float>&) const;
extern template struct AutoencoderEncoder<float>;
extern template Tensor<float> AutoencoderDecoder<float>::operator()(const Tensor<float>&) const;
extern template Variable<float> AutoencoderDecoder<float>::operator()(const Variable<float>&) const;
extern template struct AutoencoderDecoder<float>;
extern template Tensor<double> AutoencoderEncoder<double>::operator()(const Tensor<double>&) const;
extern template Variable<double> AutoencoderEncoder<double>::operator()(const Variable<double>&) const;
extern template struct AutoencoderEncoder<double>;
extern template Tensor<double> AutoencoderDecoder<double>::operator()(const Tensor<double>&) const;
extern template Variable<double> AutoencoderDecoder<double>::operator()(const Variable<double>&) const;
extern template struct AutoencoderDecoder<double>;
extern template Tensor<bfloat16> AutoencoderEncoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
extern template struct AutoencoderEncoder<bfloat16>;
extern template Tensor<bfloat16> AutoencoderDecoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
extern template struct AutoencoderDecoder<bfloat16>;
#endif

} // namespace reel
