#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include <reel/nn/check_coupling.hpp>
#include <reel/nn/feature_processor.hpp>
#include <reel/nn/normalised_pictures.hpp>
#include <reel/nn/parts.hpp>

namespace reel {

/// diffusers' ResnetBlock2D: norm, SiLU, convolution, time embedding, norm, SiLU, convolution, residual. Over a clip
/// the group norms look at all its frames together, as in the reference.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct ResnetBlock {
    GroupNorm<T, B> norm1;
    Conv2d<T, B> conv1;
    std::optional<LinearOf<Parts, T, B>> time_emb_proj;
    GroupNorm<T, B> norm2;
    Conv2d<T, B> conv2;
    std::optional<LinearOf<Parts, T, B>> conv_shortcut;
    std::shared_ptr<const FeatureProcessor<T, B>> feature_processor; ///< of what is added to the input, or null

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
        return run<V>({x, {}}, activated_time, sets);
    }

    /// The same of the channels of x followed by those of `skip`.
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& skip, const V& activated_time, index_t sets) const {
        return run<V>({x, skip}, activated_time, sets);
    }

private:
    /// The block, of all pictures or some at a time.
    template <class V>
    [[nodiscard]] V run(const JoinedChannels<V>& given, const V& activated_time, index_t sets) const {
        const index_t size = pictures_at_once(given.x, sets);
        const bool cut = size > 0;
        const JoinedChannels<V> x = cut ? given : JoinedChannels<V>{given.all(), {}};
        const V time = time_emb_proj ? (*time_emb_proj)(activated_time) : V{};
        V h = normalised_pictures(norm1, x, sets, size, result_for(x.x, cut), [&](V normal, const SomePictures<V>& p) {
            V y = apply(conv1, std::move(normal), p.result);
            return time.defined() ? p.plus_vectors(y, time) : y;
        });
        const V in_place = cut ? h : V{};
        JoinedChannels<V> changed{std::move(h), {}};
        if (feature_processor) {
            V own = normalised_pictures(
                norm2, std::move(changed), sets, size, in_place,
                [&](V normal, const SomePictures<V>& p) { return apply(conv2, std::move(normal), p.result); });
            return with_shortcut((*feature_processor)(own, sets), x, size);
        }
        return normalised_pictures(norm2, std::move(changed), sets, size, in_place,
                                   [&](V normal, const SomePictures<V>& p) {
                                       const V y = apply(conv2, std::move(normal), p.result);
                                       return plus(y, shortcut(p.of(x)), p.in_pieces());
                                   });
    }

    template <class V>
    [[nodiscard]] V shortcut(const V& x) const {
        return conv_shortcut ? (*conv_shortcut)(x) : x;
    }

    /// Not in the features' own memory, which a processor may have kept.
    template <class V>
    [[nodiscard]] V with_shortcut(const V& features, const JoinedChannels<V>& x, index_t size) const {
        if constexpr (is_tensor<V>) {
            if (size > 0) {
                const V sum(features.backend(), features.shape());
                for_each_piece(sum.shape(0), size, [&](index_t begin, index_t end) {
                    sum.slice(begin, end).copy_from(features.slice(begin, end));
                    accumulate_(sum.slice(begin, end), shortcut(x.slice(begin, end)));
                });
                return sum;
            }
        }
        return add(shortcut(x.all()), features);
    }

    /// Of a clip's pictures; 0: all sets go whole.
    template <class V>
    [[nodiscard]] index_t pictures_at_once(const V& x, index_t sets) const {
        if constexpr (is_tensor<V> && NormsInPieces<B, T>) {
            const index_t bytes = x.shape(1) * x.shape(2) *
                                  (norm1.weight.spec().shape[0] + norm2.weight.spec().shape[0]) *
                                  static_cast<index_t>(sizeof(T));
            if (at_once(x.backend(), x.shape(0), bytes) < x.shape(0) &&
                (!conv_shortcut || may_cut_pictures<T>("ResnetBlock: conv_shortcut", *conv_shortcut, x.backend(),
                                                       norm1.weight.spec().shape[0], checked_))) {
                return at_once(x.backend(), x.shape(0) / sets, bytes);
            }
        }
        return 0;
    }

    template <class V>
    [[nodiscard]] V result_for(const V& x, bool cut) const {
        if constexpr (is_tensor<V>) {
            return cut ? V(x.backend(), x.shape().with(3, norm2.weight.spec().shape[0])) : V{};
        } else {
            return {};
        }
    }

    mutable CheckedOnce checked_;
};

/// Doubles a picture's size, or enlarges it to a given one, by repetition and a convolution.
template <Scalar T, Backend B = Cpu>
struct Upsample {
    Conv2d<T, B> conv;

    explicit Upsample(index_t channels) : conv(conv3x3<T, B>(channels, channels)) {}

    static void members(auto& self, const auto& visit) { visit("conv", self.conv); }

    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t out_height, index_t out_width) const {
        const index_t bytes = out_height * out_width * x.shape(3) * static_cast<index_t>(sizeof(T));
        const Shape out{x.shape(0), out_height, out_width, x.shape(3)};
        return each_picture(x, out, at_once(x.backend(), x.shape(0), bytes), [&](const V& pictures, const V& result) {
            return apply(conv, upsample_nearest(pictures, out_height, out_width), result);
        });
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
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct TimestepEmbedding {
    LinearOf<Parts, T, B> linear_1;
    LinearOf<Parts, T, B> linear_2;
    std::optional<LinearOf<Parts, T, B>> cond_proj; ///< of a condition `condition` wide, added to what comes in

    TimestepEmbedding(index_t in, index_t channels, index_t condition = 0)
        : linear_1(in, channels), linear_2(channels, channels) {
        if (condition > 0) {
            cond_proj.emplace(condition, in, false);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("linear_1", self.linear_1);
        visit("linear_2", self.linear_2);
        visit("cond_proj", self.cond_proj);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        return linear_2(activate(Silu{}, linear_1(x)));
    }

    /// With a condition [timesteps, condition], or undefined for none.
    template <class V>
    [[nodiscard]] V operator()(const V& x, const V& condition) const {
        return (*this)(condition.defined() ? add(x, (*cond_proj)(condition)) : x);
    }
};

/// A guidance scale as sines and cosines: [rows, width], all rows alike, `width` even and above 2. As diffusers'
/// get_guidance_scale_embedding, which embeds 1000 (scale - 1) in float (Luo et al. 2023, arXiv:2310.04378).
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> guidance_scale_embedding(B& backend, double scale, index_t rows, index_t width) {
    const index_t half = width / 2;
    const float step = std::log(10000.0F) / static_cast<float>(half - 1);
    const float strength = static_cast<float>(scale - 1) * 1000.0F;
    std::vector<T> values(static_cast<std::size_t>(rows * width));
    for (index_t i = 0; i < half; ++i) {
        const auto frequency = static_cast<float>(std::exp(static_cast<double>(static_cast<float>(i) * -step)));
        const auto phase = static_cast<double>(strength * frequency);
        for (index_t row = 0; row < rows; ++row) {
            T* const to = values.data() + row * width + i;
            to[0] = static_cast<T>(static_cast<float>(std::sin(phase)));
            to[half] = static_cast<T>(static_cast<float>(std::cos(phase)));
        }
    }
    return Tensor<T, B>::from_host(backend, {rows, width}, std::span<const T>(values));
}

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
