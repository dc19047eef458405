#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <reel/autograd/functions.hpp>
#include <reel/models/latent_distribution.hpp>
#include <reel/nn/layers.hpp>

namespace reel {

/// What config.json of diffusers' AutoencoderTiny says, under its names. Defaults are those of TAESD.
struct AutoencoderTinyConfig {
    index_t in_channels = 3;
    index_t out_channels = 3;
    index_t latent_channels = 4;
    index_t encoder_channels = 64;                       ///< each of encoder_block_out_channels
    index_t decoder_channels = 64;                       ///< each of decoder_block_out_channels
    std::vector<index_t> num_encoder_blocks{1, 3, 3, 3}; ///< from the picture's size down
    std::vector<index_t> num_decoder_blocks{3, 3, 3, 1}; ///< and up again
    double scaling_factor = 1.0;

    /// How many pixels a latent spans in each direction.
    [[nodiscard]] index_t pixels_per_latent() const {
        return index_t{1} << (static_cast<index_t>(num_decoder_blocks.size()) - 1);
    }
};

namespace functors {

/// 3 tanh(x / 3): a latent held in -3..3.
struct SoftClamp {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        using std::tanh;
        return T(3) * tanh(x / T(3));
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T x) const {
        using std::tanh;
        const T inner = tanh(x / T(3));
        return T(1) - inner * inner;
    }
};

/// A pixel of -1..1 in 0..1.
struct ToUnitRange {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        return (x + T(1)) / T(2);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T) const {
        return T(0.5);
    }
};

/// A pixel of 0..1 in -1..1.
struct FromUnitRange {
    template <class T>
    [[nodiscard]] constexpr T operator()(T x) const {
        return T(2) * x - T(1);
    }
    template <class T>
    [[nodiscard]] constexpr T slope(T) const {
        return T(2);
    }
};

} // namespace functors

/// A 3x3 convolution without a bias.
template <Scalar T, Backend B = Cpu>
struct PlainConv2d {
    Parameter<T, B> weight; ///< [channels, 3, 3, channels]
    ConvOptions options;

    PlainConv2d(index_t channels, index_t stride)
        : weight({.shape = {channels, 3, 3, channels},
                  .layout = ParameterLayout::conv,
                  .init = ParameterInit::fan_in_uniform,
                  .fan_in = channels * 9}),
          options(ConvOptions::same_pad(1, stride)) {}

    static void members(auto& self, const auto& visit) { visit("weight", self.weight); }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return conv2d(x, weight.template as<V>(), V{}, options);
    }
};

/// Three convolutions with ReLUs between, the input added, a ReLU: diffusers' AutoencoderTinyBlock.
template <Scalar T, Backend B = Cpu>
struct AutoencoderTinyBlock {
    Conv2d<T, B> conv_0;
    Conv2d<T, B> conv_2;
    Conv2d<T, B> conv_4;

    explicit AutoencoderTinyBlock(index_t channels)
        : conv_0(conv3x3<T, B>(channels, channels)), conv_2(conv3x3<T, B>(channels, channels)),
          conv_4(conv3x3<T, B>(channels, channels)) {}

    static void members(auto& self, const auto& visit) {
        visit("conv.0", self.conv_0);
        visit("conv.2", self.conv_2);
        visit("conv.4", self.conv_4);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        const V h = activate(Relu{}, conv_2(activate(Relu{}, conv_0(x))));
        return activate(Relu{}, add(conv_4(h), x));
    }
};

/// Pictures in -1..1 to latents. Layers are numbered as they are run, as in diffusers' EncoderTiny.
template <Scalar T, Backend B = Cpu>
struct AutoencoderTinyEncoder {
    Conv2d<T, B> conv_in;
    std::vector<std::vector<AutoencoderTinyBlock<T, B>>> blocks; ///< of each size
    std::vector<PlainConv2d<T, B>> downsamplers;                 ///< between them
    Conv2d<T, B> conv_out;

    explicit AutoencoderTinyEncoder(const AutoencoderTinyConfig& c)
        : conv_in(conv3x3<T, B>(c.in_channels, c.encoder_channels)),
          conv_out(conv3x3<T, B>(c.encoder_channels, c.latent_channels)) {
        for (std::size_t level = 0; level < c.num_encoder_blocks.size(); ++level) {
            blocks.emplace_back(static_cast<std::size_t>(c.num_encoder_blocks[level]),
                                AutoencoderTinyBlock<T, B>(c.encoder_channels));
            if (level > 0) {
                downsamplers.emplace_back(c.encoder_channels, 2);
            }
        }
    }

    static void members(auto& self, const auto& visit) {
        index_t at = 0;
        const auto next = [&](auto& layer) { visit(("layers." + std::to_string(at++)).c_str(), layer); };
        next(self.conv_in);
        for (std::size_t level = 0; level < self.blocks.size(); ++level) {
            if (level > 0) {
                next(self.downsamplers[level - 1]);
            }
            for (auto& block : self.blocks[level]) {
                next(block);
            }
        }
        next(self.conv_out);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& pictures) const {
        V x = conv_in(activate(functors::ToUnitRange{}, pictures));
        for (std::size_t level = 0; level < blocks.size(); ++level) {
            x = level > 0 ? downsamplers[level - 1](x) : std::move(x);
            for (const auto& block : blocks[level]) {
                x = block(x);
            }
        }
        return conv_out(x);
    }
};

/// Latents to pictures in -1..1. Layers are numbered as they are run, those without parameters too, as in diffusers'
/// DecoderTiny.
template <Scalar T, Backend B = Cpu>
struct AutoencoderTinyDecoder {
    Conv2d<T, B> conv_in;
    std::vector<std::vector<AutoencoderTinyBlock<T, B>>> blocks; ///< of each size
    std::vector<PlainConv2d<T, B>> upsamplers;                   ///< the convolutions after each doubling
    Conv2d<T, B> conv_out;

    explicit AutoencoderTinyDecoder(const AutoencoderTinyConfig& c)
        : conv_in(conv3x3<T, B>(c.latent_channels, c.decoder_channels)),
          conv_out(conv3x3<T, B>(c.decoder_channels, c.out_channels)) {
        for (std::size_t level = 0; level < c.num_decoder_blocks.size(); ++level) {
            blocks.emplace_back(static_cast<std::size_t>(c.num_decoder_blocks[level]),
                                AutoencoderTinyBlock<T, B>(c.decoder_channels));
            if (level > 0) {
                upsamplers.emplace_back(c.decoder_channels, 1);
            }
        }
    }

    static void members(auto& self, const auto& visit) {
        index_t at = 0;
        const auto next = [&](auto& layer) { visit(("layers." + std::to_string(at++)).c_str(), layer); };
        next(self.conv_in);
        ++at; // ReLU
        for (std::size_t level = 0; level < self.blocks.size(); ++level) {
            if (level > 0) {
                ++at; // the doubling
                next(self.upsamplers[level - 1]);
            }
            for (auto& block : self.blocks[level]) {
                next(block);
            }
        }
        next(self.conv_out);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& latents) const {
        V x = activate(Relu{}, conv_in(activate(functors::SoftClamp{}, latents)));
        for (std::size_t level = 0; level < blocks.size(); ++level) {
            if (level > 0) {
                x = upsamplers[level - 1](upsample_nearest(x, 2 * x.shape(1), 2 * x.shape(2)));
            }
            for (const auto& block : blocks[level]) {
                x = block(x);
            }
        }
        return activate(functors::FromUnitRange{}, conv_out(x));
    }
};

/// A small autoencoder whose latents are those that Stable Diffusion works on: diffusers' AutoencoderTiny, TAESD
/// (github.com/madebyollin/taesd). Pictures are in -1..1. It has no distribution: what encode() gives has no spread, so
/// that sample_latents() is its mean, to the bit, whatever the noise.
template <Scalar T, Backend B = Cpu>
struct AutoencoderTiny {
    AutoencoderTinyConfig config;
    AutoencoderTinyEncoder<T, B> encoder;
    AutoencoderTinyDecoder<T, B> decoder;

    explicit AutoencoderTiny(const AutoencoderTinyConfig& c) : config(c), encoder(c), decoder(c) {}

    static void members(auto& self, const auto& visit) {
        visit("encoder", self.encoder);
        visit("decoder", self.decoder);
    }

    /// Moments of pictures [n, height, width, in_channels]: latents, then no_spread, [n, h, w, 2 * latent_channels].
    template <class V>
    [[nodiscard]] V encode(const V& pictures) const {
        const V latents = encoder(pictures);
        return concat_channels(latents,
                               V(Tensor<T, B>::full(latents.backend(), latents.shape(), static_cast<T>(no_spread))));
    }

    /// Pictures [n, height, width, out_channels] of latents [n, h, w, latent_channels].
    template <class V>
    [[nodiscard]] V decode(const V& latents) const {
        return decoder(latents);
    }
};

#ifdef REEL_COMPILED // reel/compiled/models_*.cpp have these
extern template Tensor<float> AutoencoderTinyEncoder<float>::operator()(const Tensor<float>&) const;
extern template struct AutoencoderTinyEncoder<float>;
extern template Tensor<float> AutoencoderTinyDecoder<float>::operator()(const Tensor<float>&) const;
extern template struct AutoencoderTinyDecoder<float>;
extern template Tensor<double> AutoencoderTinyEncoder<double>::operator()(const Tensor<double>&) const;
extern template struct AutoencoderTinyEncoder<double>;
extern template Tensor<double> AutoencoderTinyDecoder<double>::operator()(const Tensor<double>&) const;
extern template struct AutoencoderTinyDecoder<double>;
extern template Tensor<bfloat16> AutoencoderTinyEncoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
extern template struct AutoencoderTinyEncoder<bfloat16>;
extern template Tensor<bfloat16> AutoencoderTinyDecoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
extern template struct AutoencoderTinyDecoder<bfloat16>;
#endif

} // namespace reel
