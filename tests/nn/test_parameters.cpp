#include <atomic>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <reel/autograd/functions.hpp>
#include <reel/nn/attention.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/nn/resnet.hpp>

using reel::Cpu;
using reel::Parameter;
using reel::ParameterLayout;
using reel::ParameterSpec;
using reel::Shape;
using reel::Tensor;
using reel::Variable;

namespace {

template <class M>
std::vector<std::string> names(const M& module) {
    std::vector<std::string> result;
    reel::for_each_parameter(module, [&](const std::string& name, const auto&) { result.push_back(name); });
    return result;
}

} // namespace

TEST_CASE("names are those of PyTorch's state dict") {
    CHECK(names(reel::Linear<float>(2, 3)) == std::vector<std::string>{"weight", "bias"});
    CHECK(names(reel::Linear<float>(2, 3, false)) == std::vector<std::string>{"weight"});
    CHECK(names(reel::CrossAttention<float>(4, 6, 2)) ==
          std::vector<std::string>{"to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "to_out.0.bias"});
    CHECK(names(reel::FeedForward<float>(4)) ==
          std::vector<std::string>{"net.0.proj.weight", "net.0.proj.bias", "net.2.weight", "net.2.bias"});
    const reel::ResnetBlock<float> same(4, 4, 0, 2, 1e-5);
    const reel::ResnetBlock<float> widening(4, 8, 16, 2, 1e-5);
    CHECK(names(same) == std::vector<std::string>{"norm1.weight", "norm1.bias", "conv1.weight", "conv1.bias",
                                                  "norm2.weight", "norm2.bias", "conv2.weight", "conv2.bias"});
    CHECK(names(widening).size() == 12);
    CHECK(reel::parameter_count(widening) ==
          (2 * 4) + (8 * 4 * 9 + 8) + (8 * 16 + 8) + (2 * 8) + (8 * 8 * 9 + 8) + (8 * 4 + 8));
    const reel::BasicTransformerBlock<float> flat(4, 6, 2, false);
    const reel::BasicTransformerBlock<float> inflated(4, 6, 2, true);
    CHECK(reel::parameter_count(inflated) - reel::parameter_count(flat) == 4 * 16 + 4 + 2 * 4);
    CHECK(names(inflated).size() - names(flat).size() == 7);
}

TEST_CASE("a file's axes") {
    CHECK(ParameterSpec{.shape = {8, 3, 5, 4}, .layout = ParameterLayout::conv}.file_shape() == Shape{8, 4, 3, 5});
    CHECK(ParameterSpec{.shape = {8, 4}, .layout = ParameterLayout::pointwise}.file_shape() == Shape{8, 4, 1, 1});
    CHECK(ParameterSpec{.shape = {8, 4}}.file_shape() == Shape{8, 4});
}

TEST_CASE("a parameter is undefined, then has a value, and trains when it is told to") {
    Cpu cpu(1);
    Parameter<float> parameter({.shape = {2}});
    CHECK_FALSE(parameter.value().defined());
    CHECK_THROWS_WITH_AS(parameter.set(Tensor<float>::zeros(cpu, {3})), "Parameter: [3] given, [2] declared",
                         reel::Error);
    parameter.train(true); // before it has a value
    parameter.set(Tensor<float>::from_host(cpu, {2}, {1, 2}));
    CHECK(parameter.requires_grad());
    CHECK(parameter.variable().requires_grad());
    reel::backward(reel::mse_loss(parameter.variable(), Tensor<float>::zeros(cpu, {2})));
    CHECK(parameter.grad().to_host() == std::vector<float>{1, 2});
    reel::backward(reel::mse_loss(parameter.variable(), Tensor<float>::zeros(cpu, {2})), 0.5);
    CHECK(parameter.grad().to_host() == std::vector<float>{1.5, 3});
    parameter.zero_grad();
    CHECK_FALSE(parameter.grad().defined());
    parameter.train(false);
    CHECK_FALSE(parameter.variable().requires_grad());
    CHECK(parameter.value().to_host() == std::vector<float>{1, 2});
}

TEST_CASE("what looks at someone else's memory is copied before it trains") {
    Cpu cpu(1);
    std::vector<float> theirs{1, 2};
    Parameter<float> parameter({.shape = {2}});
    parameter.set(Tensor<float>(cpu, {2}, theirs.data(), nullptr));
    CHECK(parameter.value().data() == theirs.data());
    parameter.train(true);
    CHECK(parameter.value().data() != theirs.data());
    parameter.value().fill(9);
    CHECK(theirs == std::vector<float>{1, 2});
}

TEST_CASE("a value that is set later is made once, when it is asked for") {
    Cpu cpu(1);
    std::atomic<int> made = 0;
    const auto make = [&] {
        ++made;
        return Tensor<float>::from_host(cpu, {2}, {1, 2});
    };
    Parameter<float> parameter({.shape = {2}});
    parameter.set_later(make);
    CHECK(parameter.defined());
    CHECK(parameter.waits());
    CHECK_FALSE(parameter.in_memory());
    parameter.train(false);
    parameter.zero_grad();
    CHECK_FALSE(parameter.grad().defined());
    const Parameter<float> copy = parameter;
    CHECK(made == 0);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] { static_cast<void>(parameter.value()); });
        }
    }
    CHECK(made == 1);
    CHECK_FALSE(parameter.waits());
    CHECK(parameter.in_memory());
    CHECK(copy.value().data() == parameter.value().data());
    CHECK(copy.as<Tensor<float>>().to_host() == std::vector<float>{1, 2});
    CHECK(made == 1);

    parameter.set_later(make);
    parameter.set(Tensor<float>::zeros(cpu, {2})); // nobody asked
    CHECK(made == 1);
    CHECK(parameter.value().to_host() == std::vector<float>{0, 0});
    parameter.set_later(make);
    parameter.train(true);
    CHECK(parameter.variable().requires_grad());
    CHECK(parameter.value().to_host() == std::vector<float>{1, 2});
    parameter.set_later(make); // what trains cannot wait
    CHECK_FALSE(parameter.waits());
    CHECK(parameter.variable().requires_grad());
    CHECK(made == 3);
}

TEST_CASE("set_trainable_modules matches ends of module names at any depth, never of parameters") {
    reel::BasicTransformerBlock<float> block(4, 6, 2, true);
    CHECK(reel::set_trainable_modules(block, {"attn1.to_q"}) == 16);
    CHECK(reel::trains(block));
    CHECK(reel::trains(block.attn1));
    CHECK_FALSE(reel::trains(block.attn2));
    CHECK(reel::set_trainable_modules(block, {"to_q"}) == 3 * 16);
    CHECK(reel::set_trainable_modules(block, {"attn_temp", "to_q"}) == 4 * 16 + 4 + 2 * 16);
    CHECK(reel::set_trainable_modules(block, {"norm1"}) == 8);
    CHECK_FALSE(reel::trains(block.attn1)); // the last call alone counts
    CHECK_THROWS_AS(static_cast<void>(reel::set_trainable_modules(block, {"to_q.weight"})), reel::Error);
}

TEST_CASE("modules that do not fit are refused") {
    CHECK_THROWS_WITH_AS(reel::CrossAttention<float>(10, 10, 3),
                         "attention: 10 channels in 3 heads; expected a multiple", reel::Error);
    CHECK_THROWS_WITH_AS(reel::GroupNorm<float>(3, 10, 1e-5), "GroupNorm: 10 channels in 3 groups; expected a multiple",
                         reel::Error);
    CHECK_THROWS_AS(reel::CrossAttention<float>(10, 10, 0), reel::Error);
}
