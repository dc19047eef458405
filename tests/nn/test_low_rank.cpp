// LowRank: what a layer with factors gives, its gradients, and which layers of a module get them.

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include <reel/autograd/losses.hpp>
#include <reel/nn/attention.hpp>
#include <reel/nn/train_low_rank.hpp>

using namespace reel;

namespace {

using Block = BasicTransformerBlock<double>;

template <class T>
Tensor<T> randoms(Cpu& cpu, const Shape& shape, std::uint64_t stream) {
    Tensor<compute_t<T>> x(cpu, shape);
    fill_normal(cpu, x, 7, stream);
    return reel::detail::stored_as<T>(x);
}

/// A layer of 6 to 5 with factors of rank 2, both random.
template <class T>
Linear<T> layer_with_factors(Cpu& cpu) {
    Linear<T> layer(6, 5);
    initialize(layer, cpu, 3);
    train_low_rank<T>(layer, cpu, {{""}, 2, 9});
    layer.low_rank->up.set_master(randoms<compute_t<T>>(cpu, {5, 2}, 4));
    return layer;
}

template <class T>
double difference(const Tensor<T>& a, const Tensor<T>& b) {
    REQUIRE(a.shape() == b.shape());
    const auto x = a.to_host();
    const auto y = b.to_host();
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
    }
    return largest;
}

template <class M>
std::set<std::string> trained_in(const M& module) {
    std::set<std::string> names;
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        if (parameter.requires_grad()) {
            names.insert(name);
        }
    });
    return names;
}

} // namespace

TEST_CASE("a layer with factors gives x (W + B A)^T + bias, called in every way") {
    Cpu cpu(1);
    const Linear<double> layer = layer_with_factors<double>(cpu);
    const auto x = randoms<double>(cpu, {3, 4, 6}, 1);
    const auto& factors = *layer.low_rank;
    const auto whole = add(layer.weight.value(), matmul(factors.up.value(), factors.down.value()));
    const auto expected = linear(x, whole, layer.bias->value());
    CHECK(difference(layer(x), expected) < 1e-14);
    CHECK(difference(layer(Variable<double>(x)).value(), expected) < 1e-14);
    const Tensor<double> y(cpu, expected.shape());
    layer.into(y, x);
    CHECK(difference(y, expected) < 1e-14);
    CHECK(difference(expected, linear(x, layer.weight.value(), layer.bias->value())) > 0.1);
    // A copy goes its own way.
    Linear<double> other = layer;
    other.low_rank->up.set(Tensor<double>::zeros(cpu, {5, 2}));
    CHECK(difference(layer(x), expected) < 1e-14);
    CHECK(difference(other(x), expected) > 0.1);
}

TEST_CASE("factors begin as PEFT's: A uniform within one over the root of the width, B zero, by seed and name") {
    Cpu cpu(1);
    Linear<double> layer(64, 32);
    initialize(layer, cpu, 3);
    CHECK(train_low_rank<double>(layer, cpu, {{""}, 4, 9}) == 4 * (64 + 32));
    const auto start = layer.low_rank->down.value().to_host();
    double largest = 0;
    double sum = 0;
    for (const double value : start) {
        largest = std::max(largest, std::abs(value));
        sum += value * value;
    }
    CHECK(largest <= 0.125);
    CHECK(largest > 0.12);
    CHECK(std::sqrt(sum / static_cast<double>(start.size())) == doctest::Approx(0.125 / std::sqrt(3)).epsilon(0.1));
    CHECK(layer.low_rank->up.value().to_host() == std::vector<double>(32 * 4, 0));
    train_low_rank<double>(layer, cpu, {{""}, 4, 9});
    CHECK(layer.low_rank->down.value().to_host() == start);
    train_low_rank<double>(layer, cpu, {{""}, 4, 10});
    CHECK(layer.low_rank->down.value().to_host() != start);
}

TEST_CASE("gradients of the factors and of the input agree with finite differences; the weight has none") {
    Cpu cpu(1);
    Linear<double> layer = layer_with_factors<double>(cpu);
    const auto target = randoms<double>(cpu, {3, 5}, 2);
    const auto in = Variable<double>::leaf(randoms<double>(cpu, {3, 6}, 1));
    backward(mse_loss(layer(in), target));
    CHECK_FALSE(layer.weight.grad().defined());
    CHECK_FALSE(layer.bias->grad().defined());
    const auto check = [&](const Tensor<double>& value, const Tensor<double>& gradient) {
        const auto start = value.to_host();
        for (std::size_t i = 0; i < start.size(); ++i) {
            const auto at = [&](double step) {
                auto moved = start;
                moved[i] += step;
                value.copy_from(Tensor<double>::from_host(cpu, value.shape(), moved));
                return mse(layer(in.value()), target);
            };
            const double slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            CHECK(std::abs(slope - gradient.to_host()[i]) < 1e-8);
        }
        value.copy_from(Tensor<double>::from_host(cpu, value.shape(), start));
    };
    check(layer.low_rank->down.value(), layer.low_rank->down.grad());
    check(layer.low_rank->up.value(), layer.low_rank->up.grad());
    check(in.value(), in.grad());
}

TEST_CASE("in 16 bits a change that W + B A would round away is seen") {
    Cpu cpu(1);
    Linear<bfloat16> layer(6, 5, false);
    layer.weight.set_master(Tensor<float>::from_host(cpu, {5, 6}, std::vector<float>(30, 1)));
    train_low_rank<bfloat16>(layer, cpu, {{""}, 1, 9});
    layer.low_rank->down.set_master(Tensor<float>::from_host(cpu, {1, 6}, std::vector<float>{1, 0, 0, 0, 0, 0}));
    layer.low_rank->up.set_master(Tensor<float>::from_host(cpu, {5, 1}, std::vector<float>(5, 0x1p-10F)));
    const auto x = cast<bfloat16>(Tensor<float>::from_host(cpu, {1, 6}, std::vector<float>{1, -1, 1, -1, 1, -1}));
    CHECK(cast<float>(layer(x)).to_host() == std::vector<float>(5, 0x1p-10F)); // W x is 0
    CHECK(static_cast<float>(bfloat16(1 + 0x1p-10F)) == 1);
}

TEST_CASE("the layers of the named modules get factors, which alone train") {
    Cpu cpu(1);
    Block block(8, 6, 2, true);
    initialize(block, cpu, 1);
    const auto text = randoms<double>(cpu, {1, 3, 6}, 1);
    const auto x = randoms<double>(cpu, {4, 5, 8}, 2);
    const auto before = block(x, text, 4);
    const std::size_t parameters = trained_in(block).size();
    CHECK(parameters == 0);
    CHECK(train_low_rank<double>(block, cpu, {{"attn1.to_q", "attn_temp"}, 2, 5}) == 5 * 2 * (8 + 8));
    CHECK(trained_in(block) == std::set<std::string>{"attn1.to_q.lora_A.weight", "attn1.to_q.lora_B.weight",
                                                     "attn_temp.to_q.lora_A.weight", "attn_temp.to_q.lora_B.weight",
                                                     "attn_temp.to_k.lora_A.weight", "attn_temp.to_k.lora_B.weight",
                                                     "attn_temp.to_v.lora_A.weight", "attn_temp.to_v.lora_B.weight",
                                                     "attn_temp.to_out.0.lora_A.weight",
                                                     "attn_temp.to_out.0.lora_B.weight"});
    CHECK(difference(block(x, text, 4), before) == 0); // B is zero
    // In pieces, as long clips go, with factors that are not.
    for_each_parameter(block, [&](const std::string& name, auto& parameter) {
        if (name.ends_with("lora_B.weight")) {
            parameter.set(randoms<double>(cpu, parameter.spec().shape, 3));
        }
    });
    const auto whole = block(x, text, 4);
    CHECK(difference(whole, before) > 0.1);
    Cpu small(1);
    small.piece_bytes = 256;
    const auto there = Tensor<double>::from_host(small, x.shape(), x.to_host());
    const auto words = Tensor<double>::from_host(small, text.shape(), text.to_host());
    CHECK(difference(block(there, words, 4), whole) < 1e-13);
}

TEST_CASE("endings that match no linear layer and ranks above a width are refused, and change nothing") {
    Cpu cpu(1);
    Block block(8, 6, 2, true);
    initialize(block, cpu, 1);
    set_trainable_modules(block, {"attn2.to_k"});
    const auto refused = [&](const LowRankPlan& plan, const char* message) {
        CAPTURE(message);
        CHECK_THROWS_WITH_AS(static_cast<void>(train_low_rank<double>(block, cpu, plan)), message, Error);
        CHECK(trained_in(block) == std::set<std::string>{"attn2.to_k.weight"});
    };
    refused({{"attn1", "attn9"}, 2, 5},
            "trainable_modules: no module with a linear layer has a name that ends with \"attn9\"; expected endings "
            "such as \"attn1.to_q\", \"attn2\" or \"attn_temp\"");
    refused({{"norm1"}, 2, 5},
            "trainable_modules: no module with a linear layer has a name that ends with \"norm1\"; expected endings "
            "such as \"attn1.to_q\", \"attn2\" or \"attn_temp\"");
    refused({{"attn2"}, 7, 5}, "rank: expected 1 to 6, the width of the layer attn2.to_k, found 7");
    refused({{"attn2"}, 0, 5}, "rank: expected 1 to 8, the width of the layer attn2.to_q, found 0");
}
