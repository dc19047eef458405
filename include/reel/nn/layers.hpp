#pragma once

#include <reel/autograd/functions.hpp>
#include <reel/autograd/layers.hpp>
#include <reel/nn/couples.hpp>
#include <reel/nn/low_rank.hpp>
#include <reel/nn/module.hpp>
#include <reel/nn/pieces.hpp>

/// The smallest modules, named and parameterised as in torch.nn. Each forward takes a Tensor or a Variable.
namespace reel {

/// y [..., out] = x [..., in] weight^T + bias, with what low-rank factors add where there are any.
template <Scalar T, Backend B = Cpu>
struct Linear {
    static constexpr Couples couples = Couples::nothing;
    using IntoIs = Linear;

    Parameter<T, B> weight;
    std::optional<Parameter<T, B>> bias;
    std::optional<LowRank<T, B>> low_rank;

    Linear(index_t in, index_t out, bool with_bias = true, ParameterLayout layout = ParameterLayout::plain)
        : weight({.shape = {out, in}, .layout = layout, .init = ParameterInit::fan_in_uniform, .fan_in = in}) {
        if (with_bias) {
            bias.emplace(ParameterSpec{.shape = {out}, .init = ParameterInit::fan_in_uniform, .fan_in = in});
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("weight", self.weight);
        visit("bias", self.bias);
        visit("", self.low_rank); // its members stand among these
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        V y = linear(x, weight.template as<V>(), bias ? bias->template as<V>() : V{});
        return low_rank ? low_rank->added_to(y, x) : y;
    }

    /// The same into a tensor that exists.
    void into(const Tensor<T, B>& y, const Tensor<T, B>& x) const {
        linear_into(y, x, weight.value(), bias ? bias->value() : Tensor<T, B>{});
        if (low_rank) {
            static_cast<void>(low_rank->added_to(y, x));
        }
    }
};

/// Convolution of [images, height, width, in] to [images, out_height, out_width, out].
template <Scalar T, Backend B = Cpu>
struct Conv2d {
    using IntoIs = Conv2d;

    Parameter<T, B> weight; ///< [out, kernel, kernel, in]
    Parameter<T, B> bias;
    ConvOptions options;

    Conv2d(index_t in, index_t out, index_t kernel, ConvOptions convolution)
        : weight({.shape = {out, kernel, kernel, in},
                  .layout = ParameterLayout::conv,
                  .init = ParameterInit::fan_in_uniform,
                  .fan_in = in * kernel * kernel}),
          bias({.shape = {out}, .init = ParameterInit::fan_in_uniform, .fan_in = in * kernel * kernel}),
          options(convolution) {}

    static void members(auto& self, const auto& visit) {
        visit("weight", self.weight);
        visit("bias", self.bias);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        if constexpr (PacksKernels<B, T>) {
            if (const auto kernel = packed(x.shape())) {
                if constexpr (std::same_as<V, Tensor<T, B>>) {
                    return conv2d(x, *kernel, bias.value(), options);
                } else {
                    return conv2d(x, kernel, bias.template as<V>(), options);
                }
            }
        }
        return conv2d(x, weight.template as<V>(), bias.template as<V>(), options);
    }

    /// The same into a tensor that exists.
    void into(const Tensor<T, B>& y, const Tensor<T, B>& x) const {
        if constexpr (PacksKernels<B, T>) {
            if (const auto kernel = packed(x.shape())) {
                conv2d_into(y, x, *kernel, bias.value(), options);
                return;
            }
        }
        conv2d_into(y, x, weight.value(), bias.value(), options);
    }

private:
    /// The weight as the backend has it ready, or null.
    [[nodiscard]] auto packed(const Shape& x) const requires PacksKernels<B, T> {
        return weight.in_place_of_value([&](const Tensor<T, B>& kernel) {
            return pack_kernel(kernel.backend(), detail::conv_geometry(x, kernel.shape(), options),
                               static_cast<const T*>(kernel.data()));
        });
    }
};

/// A 3x3 convolution that keeps the size.
template <Scalar T, Backend B = Cpu>
[[nodiscard]] Conv2d<T, B> conv3x3(index_t in, index_t out) {
    return Conv2d<T, B>(in, out, 3, ConvOptions::same_pad(1));
}

/// Group norm over the channels and over the rows of each set (a picture, or all frames of a clip).
template <Scalar T, Backend B = Cpu>
struct GroupNorm {
    Parameter<T, B> weight;
    Parameter<T, B> bias;
    index_t groups;
    double epsilon;

    GroupNorm(index_t group_count, index_t channels, double eps)
        : weight({.shape = {channels}, .init = ParameterInit::ones}), bias({.shape = {channels}}), groups(group_count),
          epsilon(eps) {
        require(group_count > 0 && channels % group_count == 0, "GroupNorm: ", channels, " channels in ", group_count,
                " groups; expected a multiple");
    }

    static void members(auto& self, const auto& visit) {
        visit("weight", self.weight);
        visit("bias", self.bias);
    }

    /// `sets`: into how many equal parts the rows fall that are normalised separately; `silu` adds the activation.
    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t sets, bool silu = false) const {
        return group_norm(x, weight.template as<V>(), bias.template as<V>(),
                          NormOptions{.sets = sets, .groups = groups, .epsilon = epsilon, .silu = silu});
    }

    /// What the sets of x are normalised by, for apply().
    [[nodiscard]] NormStatistics<T, B> statistics(const Tensor<T, B>& x, index_t sets) const {
        return norm_statistics(x, NormOptions{.sets = sets, .groups = groups, .epsilon = epsilon});
    }

    /// The same of the channels of x followed by those of y.
    [[nodiscard]] NormStatistics<T, B> statistics(const Tensor<T, B>& x, const Tensor<T, B>& y, index_t sets) const {
        return joined_norm_statistics(x, y, NormOptions{.sets = sets, .groups = groups, .epsilon = epsilon});
    }

    /// Rows of one set, normalised by its statistics.
    [[nodiscard]] Tensor<T, B> apply(const Tensor<T, B>& x, const NormStatistics<T, B>& of_set, bool silu) const {
        return normalised(x, of_set, weight.value(), bias.value(),
                          NormOptions{.groups = groups, .epsilon = epsilon, .silu = silu});
    }
};

/// Norm over the channels of every row.
template <Scalar T, Backend B = Cpu>
struct LayerNorm {
    Parameter<T, B> weight;
    Parameter<T, B> bias;
    double epsilon;

    explicit LayerNorm(index_t channels, double eps = 1e-5)
        : weight({.shape = {channels}, .init = ParameterInit::ones}), bias({.shape = {channels}}), epsilon(eps) {}

    static void members(auto& self, const auto& visit) {
        visit("weight", self.weight);
        visit("bias", self.bias);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        const index_t rows = x.size() / std::max<index_t>(x.shape(-1), 1);
        return group_norm(x, weight.template as<V>(), bias.template as<V>(),
                          NormOptions{.sets = rows, .groups = 1, .epsilon = epsilon});
    }
};

/// A table of vectors, looked up by index.
template <Scalar T, Backend B = Cpu>
struct Embedding {
    Parameter<T, B> weight;

    Embedding(index_t count, index_t width, double deviation = 1.0)
        : weight({.shape = {count, width}, .init = ParameterInit::normal, .deviation = deviation}) {}

    static void members(auto& self, const auto& visit) { visit("weight", self.weight); }

    /// `rows.size()` vectors: [rows, width].
    template <class V>
    [[nodiscard]] V lookup(std::span<const std::int32_t> rows) const {
        return embedding(weight.template as<V>(), rows);
    }
};

} // namespace reel
