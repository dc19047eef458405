#include <doctest/doctest.h>

#include "nn/exchanged_parts.hpp"

using namespace reel;
using namespace exchanged;

/// A backend of one's own, for which Linear is another: what could be exchanged before there were Parts.
struct OwnCpu : Cpu {
    using Cpu::Cpu;
};

/// With something beside the product, and an into() that lacks it.
template <>
struct reel::Linear<double, OwnCpu> {
    static constexpr Couples couples = Couples::nothing;
    Parameter<double, OwnCpu> weight;
    std::optional<Parameter<double, OwnCpu>> bias;

    Linear(index_t in, index_t out, bool with_bias = true, ParameterLayout layout = ParameterLayout::plain)
        : weight({.shape = {out, in}, .layout = layout, .init = ParameterInit::fan_in_uniform, .fan_in = in}) {
        if (with_bias) {
            bias.emplace(ParameterSpec{.shape = {out}});
        }
    }
    static void members(auto& self, const auto& visit) {
        visit("weight", self.weight);
        visit("bias", self.bias);
    }
    template <class V>
    [[nodiscard]] V operator()(const V& x) const {
        const V y = linear(x, weight.template as<V>(), bias ? bias->template as<V>() : V{});
        return add(y, scale(activate(Silu{}, y), 0.5));
    }
    void into(const Tensor<double, OwnCpu>& y, const Tensor<double, OwnCpu>& x) const {
        linear_into(y, x, weight.value(), bias ? bias->value() : Tensor<double, OwnCpu>{});
    }
};

TEST_CASE("a linear layer of one's own is not passed over in pieces") {
    OwnCpu cpu(2);
    Transformer3DModel<double, OwnCpu> model({.channels = 16, .text_channels = 12, .heads = 2, .groups = 4});
    initialize(model, cpu, 1);
    const auto x = randoms<double>(cpu, {6, 6, 5, 16}, 1);
    const auto text = randoms<double>(cpu, {2, 7, 12}, 2);
    cpu.piece_bytes = never;
    const auto whole = model(x, text, 3);
    const auto recorded = model(Variable<double, OwnCpu>(x), Variable<double, OwnCpu>(text), 3).value();
    cpu.piece_bytes = tiny;
    CHECK(difference(whole, recorded) == 0);
    CHECK(difference(whole, model(x, text, 3)) < 1e-12);
}

TEST_CASE_TEMPLATE("exchanged parts give the same whole, in pieces and recorded", T, float, double, bfloat16) {
    check_parts<T, LoraParts>();
    check_parts<T, ConvolutionParts>();
    check_parts<T, GatedParts>();
    check_parts<T, AllParts>();
    check_parts<T, SilentParts>();
}

TEST_CASE(
    "an exchanged part takes less memory in pieces than whole; one that does not say what it couples stays whole") {
    CHECK(bytes_in_pieces<ConvolutionParts>() < bytes_whole<ConvolutionParts>());
    CHECK(couples_of(TemporalConvolution<float, Cpu>(4, 1)) == Couples::frames);
    CHECK(couples_of(SilentConvolution<float, Cpu>(4, 1)) == Couples::everything);
    CHECK((Couples::tokens | Couples::frames) == Couples::clip);
    CHECK_FALSE(includes(Couples::clip, Couples::everything));
}

TEST_CASE("a wrong claim is found") {
    check_refused<ShiftedParts>("BasicTransformerBlock: the temporal block is said to couple frames");
    check_refused<MeanParts>("is said to couple nothing");
    check_refused<GlobalParts>("BasicTransformerBlock: attn1 is said to couple tokens");
}

TEST_CASE("a wrong claim is found before the part has learnt to show it") {
    Cpu cpu(1);
    cpu.piece_bytes = tiny;
    auto model = transformer<double, ShiftedParts>(cpu);
    for_each_parameter(model, [&](const std::string& name, auto& parameter) {
        if (name.find("conv_temp") != std::string::npos) {
            parameter.set(Tensor<double>::zeros(cpu, parameter.spec().shape)); // adds nothing yet
        }
    });
    CHECK_THROWS_AS(
        static_cast<void>(model(randoms<double>(cpu, {6, 6, 5, 16}, 1), randoms<double>(cpu, {2, 7, 12}, 2), 3)),
        Error);
}
