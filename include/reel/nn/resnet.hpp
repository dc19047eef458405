#pragma once

#include <reel/nn/layers.hpp>

namespace reel {

/// diffusers' ResnetBlock2D: norm, SiLU, convolution, time embedding, norm, SiLU, convolution, residual. Over a clip
/// the group norms look at all its frames together, as in the reference.
template <Scalar T, Backend B = Cpu>
struct ResnetBlock {
    GroupNorm<T, B> norm1;
    Conv2d<T, B> conv1;
    std::optional<Linear<T, B>> time_emb_proj;
    GroupNorm<T, B> norm2;
    Conv2d<T, B> conv2;
    std::optional<Linear<T, B>> conv_shortcut;

    /// `time_channels` = 0: no time embedding, as in a VAE.
    ResnetBlock(index_t in, index_t out, index_t time_channels, index_t groups, double epsilon)
        : norm1(groups, in, epsilon), conv1(conv3x3<T, B>(in, out)), norm2(groups, out, epsilon),
          conv2(conv3x3<T, B>(out, out)) {
        if (time_channels > 0) {
            time_emb_proj.emplace(time_channels, out);
        }
        if (in != out) {
            conv_shortcut.emplace(in, out, true, ParameterLayout::pointwise);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("norm1", self.norm1);
        visit("conv1", self.conv1);
        visit("time_emb_proj", self.time_emb_proj);
        visit("norm2", self.norm2);
        visit("conv2", self.conv2);
        visit("conv_shortcut", self.conv_shortcut);
    }

    /// x [pictures, height, width, in]; `sets` clips or pictures are normalised separately; time [sets, time_channels]
    /// is the embedding after its own SiLU, or undefined.
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& activated_time, index_t sets) const {
        V h = conv1(norm1(x, sets, true));
        if (time_emb_proj) {
            h = add_vectors(h, (*time_emb_proj)(activated_time));
        }
        h = conv2(norm2(h, sets, true));
        return add(conv_shortcut ? (*conv_shortcut)(x) : x, h);
    }
};

/// Doubles a picture's size, or enlarges it to a given one, by repetition and a convolution.
template <Scalar T, Backend B = Cpu>
struct Upsample {
    Conv2d<T, B> conv;

    explicit Upsample(index_t channels) : conv(conv3x3<T, B>(channels, channels)) {}

    static void members(auto& self, const auto& visit) { visit("conv", self.conv); }

    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t out_height, index_t out_width) const {
        return conv(upsample_nearest(x, out_height, out_width));
    }
    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return (*this)(x, 2 * x.shape(1), 2 * x.shape(2));
    }
};

/// Halves a picture's size by a convolution of stride 2. A UNet pads every side, Stable Diffusion's VAE right and
/// bottom only.
template <Scalar T, Backend B = Cpu>
struct Downsample {
    Conv2d<T, B> conv;

    Downsample(index_t channels, bool pad_all_sides)
        : conv(channels, channels, 3, pad_all_sides ? ConvOptions::same_pad(1, 2) : ConvOptions{2, 0, 1, 0, 1}) {}

    static void members(auto& self, const auto& visit) { visit("conv", self.conv); }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return conv(x);
    }
};

/// diffusers' TimestepEmbedding: linear_1, SiLU, linear_2.
template <Scalar T, Backend B = Cpu>
struct TimestepEmbedding {
    Linear<T, B> linear_1;
    Linear<T, B> linear_2;

    TimestepEmbedding(index_t in, index_t channels) : linear_1(in, channels), linear_2(channels, channels) {}

    static void members(auto& self, const auto& visit) {
        visit("linear_1", self.linear_1);
        visit("linear_2", self.linear_2);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return linear_2(activate(Silu{}, linear_1(x)));
    }
};

/// Sines and cosines of a timestep at `channels / 2` frequencies: [timesteps, channels]. Computed in float as
/// diffusers' get_timestep_embedding does, whatever T: the rounding of the phase is part of the model.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> timestep_embedding(B& backend, std::span<const double> timesteps, index_t channels,
                                              bool flip_sin_to_cos, double frequency_shift) {
    const index_t half = channels / 2;
    std::vector<T> values(timesteps.size() * static_cast<std::size_t>(channels), T(0));
    for (std::size_t row = 0; row < timesteps.size(); ++row) {
        for (index_t i = 0; i < half; ++i) {
            const float exponent = static_cast<float>(-std::log(10000.0)) * static_cast<float>(i) /
                                   static_cast<float>(static_cast<double>(half) - frequency_shift);
            const auto frequency = static_cast<float>(std::exp(static_cast<double>(exponent)));
            const double phase = static_cast<double>(static_cast<float>(timesteps[row]) * frequency);
            T* to = values.data() + row * static_cast<std::size_t>(channels) + i;
            to[flip_sin_to_cos ? half : 0] = static_cast<T>(static_cast<float>(std::sin(phase)));
            to[flip_sin_to_cos ? 0 : half] = static_cast<T>(static_cast<float>(std::cos(phase)));
        }
    }
    return Tensor<T, B>::from_host(backend, {static_cast<index_t>(timesteps.size()), channels},
                                   std::span<const T>(values));
}

} // namespace reel
