#include <doctest/doctest.h>

#include <reel/autograd/losses.hpp>
#include <reel/nn/attention.hpp>
#include <reel/nn/initialize.hpp>

using namespace reel;

namespace {

template <class T>
Parameter<T> random_parameter(Cpu& cpu, const Shape& shape, const std::string& name) {
    Parameter<T> parameter({.shape = shape, .init = ParameterInit::normal});
    initialize(parameter, cpu, name, 5);
    return parameter;
}

template <class T>
Tensor<T> randoms(Cpu& cpu, const Shape& shape) {
    Tensor<compute_t<T>> x(cpu, shape);
    fill_normal(cpu, x, 7, 1);
    return reel::detail::stored_as<T>(x);
}

/// W + 0.5 B A.
const auto low_rank = [](const auto& w, const auto& down, const auto& up) { return w + matmul(up, down) * 0.5; };

/// g v / |v| of every row: weight norm, Salimans and Kingma 2016, arXiv:1602.07868.
const auto weight_norm = [](const auto& g, const auto& v) {
    const auto norms = sqrt(sum(square(v), -1)); // [out]
    const auto factors = reshape(g / norms, {g.shape(0), 1});
    return masked(v, factors);
};

/// The largest difference between gradients of sum(y^2) / 2 and finite differences, relative to the largest gradient.
template <class Loss>
double gradient_error(Parameter<double>& input, const Loss& loss) {
    const auto gradient = input.grad().to_host();
    const auto values = input.value();
    const auto start = values.to_host();
    double largest = 0;
    double error = 0;
    for (std::size_t i = 0; i < start.size(); ++i) {
        const double h = 1e-5;
        const auto at = [&](double step) {
            auto moved = start;
            moved[i] += step;
            values.copy_from(Tensor<double>::from_host(values.backend(), values.shape(), moved));
            return loss();
        };
        const double expected = (at(h) - at(-h)) / (2 * h);
        largest = std::max(largest, std::abs(gradient[i]));
        error = std::max(error, std::abs(expected - gradient[i]));
    }
    values.copy_from(Tensor<double>::from_host(values.backend(), values.shape(), start));
    return error / largest;
}

} // namespace

TEST_CASE("a derived parameter has the value of its inputs' function, and follows them") {
    Cpu cpu(1);
    Linear<double> layer(6, 4);
    initialize(layer, cpu, 1);
    const auto base = layer.weight.value();
    auto down = random_parameter<double>(cpu, {2, 6}, "down");
    auto up = random_parameter<double>(cpu, {4, 2}, "up");
    int calls = 0;
    layer.weight.derive(
        [&calls](const auto& w, const auto& a, const auto& b) {
            ++calls;
            return low_rank(w, a, b);
        },
        layer.weight, down, up);
    CHECK(layer.weight.is_derived());
    CHECK(layer.weight.defined());
    CHECK_FALSE(layer.weight.requires_grad());
    const auto expected = [&] { return (base + matmul(up.value(), down.value()) * 0.5).to_host(); };
    CHECK(layer.weight.value().to_host() == expected());
    const auto x = randoms<double>(cpu, {3, 6});
    const auto y = layer(x);
    static_cast<void>(layer(x));
    CHECK(calls == 1); // kept while nothing changes
    CHECK(layer(Variable<double>(x)).value().to_host() == y.to_host());
    CHECK(calls == 1);
    up.set(Tensor<double>::zeros(cpu, {4, 2}));
    CHECK(layer.weight.value().to_host() == base.to_host());
    CHECK(calls == 2);
    up.train(true);
    up.value().fill(1); // as an optimizer changes it
    CHECK(layer.weight.value().to_host() == expected());
    CHECK(layer.weight.records());
    CHECK(trains(layer));
    up.value().fill(2);
    CHECK(layer.weight.value().to_host() == expected());
    up.train(false);
    CHECK(layer.weight.value().to_host() == expected());
    CHECK_FALSE(trains(layer));
    const auto last = layer(x).to_host();
    layer.weight.settle();
    CHECK_FALSE(layer.weight.is_derived());
    up.set(Tensor<double>::zeros(cpu, {4, 2}));
    CHECK(layer(x).to_host() == last);
}

TEST_CASE("inputs may move, go away, and be derived themselves") {
    Cpu cpu(1);
    Parameter<double> twice({.shape = {3}});
    Parameter<double> sum({.shape = {3}});
    std::vector<Parameter<double>> inputs;
    {
        auto gone = random_parameter<double>(cpu, {3}, "gone");
        inputs.push_back(random_parameter<double>(cpu, {3}, "kept"));
        twice.derive([](const auto& a) { return a * 2.0; }, inputs[0]);
        sum.derive([](const auto& a, const auto& b) { return a + b; }, twice, gone);
    }
    const auto before = sum.value().to_host();
    for (int i = 0; i < 20; ++i) {
        inputs.push_back(random_parameter<double>(cpu, {3}, "more")); // moves the first
    }
    inputs[0].set(inputs[0].value() + Tensor<double>::full(cpu, {3}, 1.0));
    const auto after = sum.value().to_host();
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(after[i] == doctest::Approx(before[i] + 2));
    }
    inputs[0].train(true);
    CHECK(sum.records());
    backward(reel::sum(sum.as<Variable<double>>()));
    CHECK(inputs[0].grad().to_host() == std::vector<double>{2, 2, 2});
    const Parameter<double> copy = sum; // depends on the same inputs
    inputs[0].value().fill(0);
    CHECK(copy.value().to_host() == sum.value().to_host());
}

TEST_CASE("gradients of a LoRA and of weight norm are those of finite differences") {
    Cpu cpu(1);
    const auto x = randoms<double>(cpu, {5, 6});
    Linear<double> layer(6, 4);
    initialize(layer, cpu, 1);
    const auto target = Tensor<double>::zeros(cpu, {5, 4});
    const auto loss = [&] { return mse_loss(layer(Variable<double>(x)), target); };
    const auto number = [&] { return static_cast<double>(squared_norm(layer(x))) / 20; };
    SUBCASE("low rank") {
        auto down = random_parameter<double>(cpu, {2, 6}, "down");
        auto up = random_parameter<double>(cpu, {4, 2}, "up");
        layer.weight.derive(low_rank, layer.weight, down, up);
        down.train(true);
        up.train(true);
        backward(loss());
        CHECK(gradient_error(down, number) < 1e-8);
        CHECK(gradient_error(up, number) < 1e-8);
        backward(loss()); // recorded anew: a recording runs back once
    }
    SUBCASE("weight norm") {
        auto g = random_parameter<double>(cpu, {4}, "g");
        auto v = random_parameter<double>(cpu, {4, 6}, "v");
        layer.weight.derive(weight_norm, g, v);
        g.train(true);
        v.train(true);
        backward(loss());
        CHECK(gradient_error(g, number) < 1e-8);
        CHECK(gradient_error(v, number) < 1e-8);
    }
}

TEST_CASE_TEMPLATE("16 bits derive as others do", T, float, bfloat16) {
    Cpu cpu(1);
    Linear<T> layer(6, 4);
    initialize(layer, cpu, 1);
    auto down = random_parameter<T>(cpu, {2, 6}, "down");
    auto up = random_parameter<T>(cpu, {4, 2}, "up");
    layer.weight.derive(low_rank, layer.weight, down, up);
    up.train(true);
    const auto x = randoms<T>(cpu, {5, 6});
    const auto recorded = layer(Variable<T>(x));
    CHECK(cast<double>(recorded.value()).to_host() == cast<double>(layer(x)).to_host());
    backward(recorded, recorded.value());
    CHECK(up.master_grad().defined());
    CHECK(layer.weight.exact().shape() == Shape{4, 6});
}

TEST_CASE("what cannot be says so") {
    Cpu cpu(1);
    auto weight = random_parameter<double>(cpu, {2, 3}, "weight");
    auto other = random_parameter<double>(cpu, {3}, "other");
    weight.train(true);
    CHECK_THROWS_WITH_AS(weight.derive([](const auto& a) { return a; }, other),
                         "Parameter::derive: it trains; freeze it first, and train what it is derived from", Error);
    weight.train(false);
    weight.derive([](const auto& a) { return a; }, other);
    CHECK_THROWS_WITH_AS(static_cast<void>(weight.value()), "Parameter::derive: [3] made, [2, 3] declared", Error);
    CHECK_THROWS_WITH_AS(weight.train(true),
                         "Parameter::train: it is derived from others; train those, or settle() it first", Error);
    CHECK_THROWS_AS(weight.set(Tensor<double>::zeros(cpu, {2, 3})), Error);
    CHECK_NOTHROW(weight.train(false));
}

TEST_CASE("for_each_module visits every module of a type by its state-dict name") {
    Cpu cpu(1);
    BasicTransformerBlock<float> block(8, 6, 2, true);
    std::vector<std::string> names;
    for_each_module<Linear<float>>(block, [&](const std::string& name, Linear<float>& layer) {
        names.push_back(name);
        layer.weight.train(true);
    });
    CHECK(names == std::vector<std::string>{"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_q",
                                            "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2",
                                            "attn_temp.to_q", "attn_temp.to_k", "attn_temp.to_v",
                                            "attn_temp.to_out.0"});
    names.clear();
    const auto& constant = block;
    for_each_module<CrossAttention<float>>(constant,
                                           [&](const std::string& name, const auto&) { names.push_back(name); });
    CHECK(names == std::vector<std::string>{"attn1", "attn2", "attn_temp"});
    names.clear();
    for_each_submodule(constant, [&](const std::string& name, const auto&) { names.push_back(name); });
    CHECK(names.front() == "");
    CHECK(std::count(names.begin(), names.end(), "norm_temp") == 1);
}
