#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <reel/nn/initialize.hpp>
#include <reel/nn/layers.hpp>

using reel::Cpu;
using reel::Parameter;
using reel::ParameterInit;
using reel::ParameterSpec;

namespace {

std::vector<double> start(const ParameterSpec& spec, const std::string& name, std::uint64_t seed, int threads = 1) {
    Cpu cpu(threads);
    Parameter<double> parameter(spec);
    reel::initialize(parameter, cpu, name, seed);
    return parameter.value().to_host();
}

double mean(const std::vector<double>& x) {
    double sum = 0;
    for (const double value : x) {
        sum += value;
    }
    return sum / static_cast<double>(x.size());
}

double deviation(const std::vector<double>& x) {
    double squares = 0;
    for (const double value : x) {
        squares += value * value;
    }
    return std::sqrt(squares / static_cast<double>(x.size()) - mean(x) * mean(x));
}

const ParameterSpec uniform{.shape = {100, 1000}, .init = ParameterInit::fan_in_uniform, .fan_in = 400};
const ParameterSpec normal{.shape = {100, 1000}, .init = ParameterInit::normal, .deviation = 0.02};

} // namespace

TEST_CASE("equal seeds and names give equal values, on any number of threads; others give others") {
    for (const ParameterSpec& spec : {uniform, normal}) {
        const auto values = start(spec, "a.weight", 3);
        CHECK(start(spec, "a.weight", 3) == values);
        CHECK(start(spec, "a.weight", 3, 2) == values);
        const auto by_seed = start(spec, "a.weight", 4);
        const auto by_name = start(spec, "b.weight", 3);
        double seeds = 0;
        double names = 0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            seeds += values[i] * by_seed[i];
            names += values[i] * by_name[i];
        }
        const double scale = deviation(values) * deviation(values) * static_cast<double>(values.size());
        CHECK(std::abs(seeds / scale) < 0.02); // uncorrelated: six standard errors of 1e5 numbers
        CHECK(std::abs(names / scale) < 0.02);
    }
}

TEST_CASE("fan_in_uniform is uniform in +-1/sqrt(fan_in)") {
    const auto values = start(uniform, "weight", 1);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    CHECK(*low >= -0.05);
    CHECK(*low < -0.0499);
    CHECK(*high <= 0.05);
    CHECK(*high > 0.0499);
    CHECK(std::abs(mean(values)) < 6e-4);
    CHECK(deviation(values) == doctest::Approx(0.05 / std::sqrt(3.0)).epsilon(0.01));
    std::vector<int> tenths(10);
    for (const double x : values) {
        ++tenths[static_cast<std::size_t>(std::min(9.0, (x + 0.05) * 100))];
    }
    for (const int count : tenths) {
        CHECK(std::abs(count - 10000) < 600);
    }
}

TEST_CASE("normal has the deviation asked for") {
    const auto values = start(normal, "weight", 1);
    CHECK(std::abs(mean(values)) < 4e-4);
    CHECK(deviation(values) == doctest::Approx(0.02).epsilon(0.01));
    const auto within = std::count_if(values.begin(), values.end(), [](double x) { return std::abs(x) < 0.02; });
    CHECK(static_cast<double>(within) / 1e5 == doctest::Approx(0.6827).epsilon(0.01));
}

TEST_CASE("zeros, ones, and layers as PyTorch starts them") {
    Cpu cpu(1);
    CHECK(start({.shape = {3}, .init = ParameterInit::zeros}, "x", 0) == std::vector<double>(3, 0));
    CHECK(start({.shape = {3}, .init = ParameterInit::ones}, "x", 0) == std::vector<double>(3, 1));
    reel::Conv2d<float> conv(4, 64, 3, reel::ConvOptions::same_pad(1));
    reel::GroupNorm<float> norm(2, 8, 1e-5);
    reel::initialize(conv, cpu, 9);
    reel::initialize(norm, cpu, 9);
    for (const auto* parameter : {&conv.weight, &conv.bias}) {
        const auto values = parameter->value().to_host();
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        CHECK(*low >= -1.0F / 6);
        CHECK(*high <= 1.0F / 6);
        CHECK(*high - *low > 0.3F);
    }
    CHECK(norm.weight.value().to_host() == std::vector<float>(8, 1));
    CHECK(norm.bias.value().to_host() == std::vector<float>(8, 0));
}

TEST_CASE("float and double models start alike") {
    Cpu cpu(1);
    reel::Linear<float> single(30, 20);
    reel::Linear<double> twice(30, 20);
    reel::initialize(single, cpu, 2);
    reel::initialize(twice, cpu, 2);
    const auto a = single.weight.value().to_host();
    const auto b = twice.weight.value().to_host();
    for (std::size_t i = 0; i < a.size(); ++i) {
        CHECK(a[i] == static_cast<float>(b[i]));
    }
}
