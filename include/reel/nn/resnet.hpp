#pragma once

#include <reel/nn/layers.hpp>
#include <reel/nn/pieces.hpp>

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
        if constexpr (std::same_as<V, Tensor<T, B>> && NormsInPieces<B, T>) {
            if (is_long(x)) {
                return in_pieces(x, V{}, activated_time, sets);
            }
        }
        V h = conv1(norm1(x, sets, true));
        if (time_emb_proj) {
            h = add_vectors(h, (*time_emb_proj)(activated_time));
        }
        h = conv2(norm2(h, sets, true));
        return add(conv_shortcut ? (*conv_shortcut)(x) : x, h);
    }

    /// The same of the channels of x followed by those of `skip`.
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& skip, const V& activated_time, index_t sets) const {
        if constexpr (std::same_as<V, Tensor<T, B>> && NormsInPieces<B, T>) {
            if (is_long(x)) {
                return in_pieces(x, skip, activated_time, sets);
            }
        }
        return (*this)(concat_channels(x, skip), activated_time, sets);
    }

private:
    [[nodiscard]] bool is_long(const Tensor<T, B>& x) const {
        return at_once(x.backend(), x.shape(0), picture_bytes(x)) < x.shape(0);
    }

    /// Bytes of what one picture needs beside x and the result.
    [[nodiscard]] index_t picture_bytes(const Tensor<T, B>& x) const {
        return x.shape(1) * x.shape(2) * (norm1.weight.spec().shape[0] + norm2.weight.spec().shape[0]) *
               static_cast<index_t>(sizeof(T));
    }

    /// Some pictures of a clip at a time; norms are taken over the whole clip all the same. `skip` may be undefined.
    [[nodiscard]] Tensor<T, B> in_pieces(const Tensor<T, B>& x, const Tensor<T, B>& skip,
                                         const Tensor<T, B>& activated_time, index_t sets) const {
        const index_t pictures = x.shape(0) / sets;
        const index_t size = at_once(x.backend(), pictures, picture_bytes(x));
        const Tensor<T, B> time = time_emb_proj ? (*time_emb_proj)(activated_time) : Tensor<T, B>{};
        const Tensor<T, B> h(x.backend(), x.shape().with(3, norm2.weight.spec().shape[0]));
        const auto each_piece = [&](const auto& run) {
            for (index_t set = 0; set < sets; ++set) {
                for_each_piece(pictures, size, [&](index_t begin, index_t end) {
                    run(set, set * pictures + begin, set * pictures + end);
                });
            }
        };
        const auto input = [&](index_t begin, index_t end) {
            return skip.defined() ? concat_channels(x.slice(begin, end), skip.slice(begin, end)) : x.slice(begin, end);
        };
        const auto of_x = skip.defined() ? norm1.statistics(x, skip, sets) : norm1.statistics(x, sets);
        each_piece([&](index_t set, index_t begin, index_t end) {
            const auto piece = h.slice(begin, end);
            conv1.into(piece, norm1.apply(input(begin, end), of_x.slice(set, set + 1), true));
            if (time.defined()) {
                add_vectors_into(piece, piece, time.slice(set, set + 1));
            }
        });
        const auto of_h = norm2.statistics(h, sets);
        each_piece([&](index_t set, index_t begin, index_t end) {
            const auto piece = h.slice(begin, end);
            conv2.into(piece, norm2.apply(piece, of_h.slice(set, set + 1), true));
            const auto residual = input(begin, end);
            accumulate_(piece, conv_shortcut ? (*conv_shortcut)(residual) : residual);
        });
        return h;
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
        if constexpr (std::same_as<V, Tensor<T, B>>) {
            const index_t bytes = out_height * out_width * x.shape(3) * static_cast<index_t>(sizeof(T));
            const index_t size = at_once(x.backend(), x.shape(0), bytes);
            if (size < x.shape(0)) {
                const Tensor<T, B> y(x.backend(), {x.shape(0), out_height, out_width, x.shape(3)});
                for_each_piece(x.shape(0), size, [&](index_t begin, index_t end) {
                    conv.into(y.slice(begin, end), upsample_nearest(x.slice(begin, end), out_height, out_width));
                });
                return y;
            }
        }
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
