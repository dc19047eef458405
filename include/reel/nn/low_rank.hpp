#pragma once

#include <string_view>

#include <reel/autograd/arithmetic.hpp>
#include <reel/autograd/layers.hpp>
#include <reel/nn/module.hpp>
#include <reel/nn/pieces.hpp>

namespace reel {

/// A change B A of a linear layer's weight, of few rows and columns: the layer gives x (W + B A)^T, and its weight W
/// stands still. A starts as torch.nn.Linear's weight does (Kaiming), B with zeros, so that nothing changes at first.
/// The product is never made: what comes of x goes through A and then B, in 16 bits as well, where W + B A would round
/// a small change away. Hu et al. 2021 (LoRA), arXiv:2106.09685. Names are PEFT's.
template <Scalar T, Backend B = Cpu>
struct LowRank {
    Parameter<T, B> down; ///< A [rank, in]
    Parameter<T, B> up;   ///< B [out, rank]

    /// `layout`: of the layer's weight, whose form in files the factors have.
    LowRank(index_t in, index_t out, index_t rank, ParameterLayout layout = ParameterLayout::plain)
        : down({.shape = {rank, in}, .layout = layout, .init = ParameterInit::fan_in_uniform, .fan_in = in}),
          up({.shape = {out, rank}, .layout = layout}) {}

    static void members(auto& self, const auto& visit) {
        visit("lora_A.weight", self.down);
        visit("lora_B.weight", self.up);
    }

    /// y + x A^T B^T. A tensor y is changed in place.
    template <class V>
    [[nodiscard]] V added_to(const V& y, const V& x) const {
        return plus(y, linear(linear(x, down.template as<V>()), up.template as<V>()), true);
    }
};

/// Whether a parameter of that name is a factor of a LowRank.
[[nodiscard]] inline bool is_low_rank_parameter(std::string_view name) {
    return name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight");
}

} // namespace reel
