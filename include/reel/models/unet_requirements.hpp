#pragma once

#include <ranges>
#include <span>
#include <vector>

#include <reel/nn/attention.hpp>

/// What a UNet is made of and called with, as small concepts with names, so that an error says which one is not met.
namespace reel {

/// `Parts::Linear<T, B>`: a Module that is made with (in, out, with_bias, layout) and called with tensors and
/// variables.
template <class Parts, class T, class B>
concept HasLinear = requires {
    typename LinearOf<Parts, T, B>;
}
&&Module<LinearOf<Parts, T, B>>&&
    std::is_constructible_v<LinearOf<Parts, T, B>, index_t, index_t, bool, ParameterLayout>&&
        std::is_constructible_v<LinearOf<Parts, T, B>, index_t, index_t>&&
            std::is_invocable_v<const LinearOf<Parts, T, B>&, const Tensor<T, B>&>&&
                std::is_invocable_v<const LinearOf<Parts, T, B>&, const Variable<T, B>&>;

/// `Parts::Attention<T, B, Parts>`: a Module that is made with (channels, context_channels, heads) and called with (x,
/// context, AttentionOptions), tensors and variables.
template <class Parts, class T, class B>
concept HasAttention = requires {
    typename AttentionOf<Parts, T, B>;
}
&&Module<AttentionOf<Parts, T, B>>&& std::is_constructible_v<AttentionOf<Parts, T, B>, index_t, index_t, index_t>&&
    std::is_invocable_v<const AttentionOf<Parts, T, B>&, const Tensor<T, B>&, const Tensor<T, B>&,
                        const AttentionOptions&>&&
        std::is_invocable_v<const AttentionOf<Parts, T, B>&, const Variable<T, B>&, const Variable<T, B>&,
                            const AttentionOptions&>;

/// `Parts::Temporal<T, B, Parts>`: a Module that is made with (channels, heads) and called with (x, frames), tensors
/// and variables.
template <class Parts, class T, class B>
concept HasTemporal = requires {
    typename TemporalOf<Parts, T, B>;
}
&&Module<TemporalOf<Parts, T, B>>&& std::is_constructible_v<TemporalOf<Parts, T, B>, index_t, index_t>&&
    std::is_invocable_v<const TemporalOf<Parts, T, B>&, const Tensor<T, B>&, index_t>&&
        std::is_invocable_v<const TemporalOf<Parts, T, B>&, const Variable<T, B>&, index_t>;

/// Fails to compile, with the missing requirement in the error's first line, unless a UNet can be made of Parts.
template <class Parts, class T, class B>
[[nodiscard]] consteval bool check_parts() {
    static_assert(HasLinear<Parts, T, B>,
                  "reel: not Parts of a UNet: HasLinear is not met: it needs a Module template Linear<T, B>, made with "
                  "(in, out, with_bias, ParameterLayout), that is called with a tensor or a variable");
    static_assert(HasAttention<Parts, T, B>,
                  "reel: not Parts of a UNet: HasAttention is not met: it needs a Module template Attention<T, B, "
                  "Parts>, made with (channels, context_channels, heads), that is called with (x, context, "
                  "AttentionOptions) of tensors or variables");
    static_assert(HasTemporal<Parts, T, B>,
                  "reel: not Parts of a UNet: HasTemporal is not met: it needs a Module template Temporal<T, B, "
                  "Parts>, made with (channels, heads), that is called with (x, frames), x a tensor or a variable");
    return HasLinear<Parts, T, B> && HasAttention<Parts, T, B> && HasTemporal<Parts, T, B>;
}

/// What a UNet<T, B> takes and gives: Tensor<T, B>, or Variable<T, B> to record.
template <class V, class T, class B>
concept UNetValue = std::same_as<V, Tensor<T, B>> || std::same_as<V, Variable<T, B>>;

/// A number, or numbers one after another: one for all clips or one for each.
template <class X>
concept Timesteps = std::is_arithmetic_v<X> ||
    (std::ranges::input_range<const X>&& std::is_arithmetic_v<std::ranges::range_value_t<const X>> &&
     !std::same_as<std::ranges::range_value_t<const X>, char>);

/// Fails to compile, with the requirement that is not met in the error's first line, unless a UNet<T, B> can be called
/// with these.
template <class T, class B, class Sample, class Times, class Text>
[[nodiscard]] consteval bool check_unet_call() {
    static_assert(UNetValue<Sample, T, B>, "reel: UNet3DConditionModel: UNetValue is not met by the sample: expected a "
                                           "Tensor or a Variable of the model's scalar and backend");
    static_assert(Timesteps<Times>, "reel: UNet3DConditionModel: Timesteps is not met by the second argument: expected "
                                    "a number, or a range of numbers with one for every clip");
    static_assert(std::same_as<Sample, Text>,
                  "reel: UNet3DConditionModel: the text is not what the sample is: expected two Tensors or two "
                  "Variables; Variable<T, B>(x) makes a constant one");
    return UNetValue<Sample, T, B> && Timesteps<Times> && std::same_as<Sample, Text>;
}

namespace detail {

template <class X>
[[nodiscard]] std::vector<double> timesteps_of(const X& given) {
    if constexpr (std::is_arithmetic_v<X>) {
        return {static_cast<double>(given)};
    } else {
        std::vector<double> all;
        for (const auto t : given) {
            all.push_back(static_cast<double>(t));
        }
        return all;
    }
}

} // namespace detail

} // namespace reel
