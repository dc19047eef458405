#include <doctest/doctest.h>

#include <limits>

#include <reel/io/config/json.hpp>
#include <reel/optim/grad_scaler.hpp>

using namespace reel;

TEST_CASE("scales, skipped steps and counts are those of torch's GradScaler") {
    Cpu cpu(1);
    GradScaler scaler({.init_scale = 1024, .growth_interval = 4});
    const float infinite = std::numeric_limits<float>::infinity();
    int step = 0;
    for (const auto& expected : read_json("optim/golden/grad_scaler.json")) {
        CAPTURE(step);
        const bool bad = expected["bad"].get<bool>();
        const std::vector<float> values{bad ? infinite : 8.0F * static_cast<float>(step + 1), 4.0F};
        const auto gradient = Tensor<float>::from_host(cpu, {2}, values);
        const bool found_inf = scaler.unscale_(std::vector{NamedParameter<float>{"p", gradient, gradient}});
        CHECK(gradient.to_host()[1] == expected["unscaled"].get<float>());
        CHECK(found_inf != expected["moved"].get<bool>());
        scaler.update(found_inf);
        CHECK(scaler.get_scale() == expected["scale"].get<double>());
        CHECK(scaler.state().growth_tracker == expected["growth_tracker"].get<index_t>());
        ++step;
    }
    CHECK(step == 30);
}

TEST_CASE("the norm is taken without the scale, of 16 bits as well, and NaN is found") {
    Cpu cpu(1);
    const GradScaler scaler;
    CHECK(scaler.get_scale() == 65536);
    const std::vector<half> values{half(3.0F), half(4.0F)};
    const auto gradient = Tensor<half>::from_host(cpu, {2}, values);
    std::vector<NamedParameter<half>> parameters{{"a", gradient, gradient}, {"b", gradient, {}}};
    const auto norm = [&] { return scaler.unscaled_norm(std::span<const NamedParameter<half>>(parameters)); };
    CHECK(norm().value() == doctest::Approx(5.0 / 65536));
    const std::vector<half> broken{half(1.0F), half(std::numeric_limits<float>::quiet_NaN())};
    parameters[1].gradient = Tensor<half>::from_host(cpu, {2}, broken);
    CHECK_FALSE(norm().has_value());
}

TEST_CASE("a state continues; one that is disabled never changes; the scale stays a float") {
    GradScaler first({.growth_interval = 2});
    first.update(false);
    GradScaler second({.growth_interval = 2});
    second.restore(first.state());
    second.update(false);
    CHECK(second.get_scale() == 2 * 65536);
    CHECK(second.state().growth_tracker == 0);
    GradScaler off({.enabled = false});
    off.update(true);
    CHECK(off.get_scale() == 1);
    GradScaler top({.init_scale = 3e38, .growth_interval = 1});
    top.update(false);
    CHECK(top.get_scale() == 3e38);
    CHECK_THROWS_WITH_AS(second.restore({0, 0}), doctest::Contains("scale 0"), Error);
    CHECK_THROWS_WITH_AS(second.restore({1, 2}), doctest::Contains("growth_tracker 2"), Error);
    CHECK_THROWS_WITH_AS(GradScaler({.growth_factor = 1}), doctest::Contains("growth_factor is 1"), Error);
    CHECK_THROWS_WITH_AS(GradScaler({.backoff_factor = 1}), doctest::Contains("backoff_factor is 1"), Error);
    CHECK_THROWS_WITH_AS(GradScaler({.init_scale = 0}), doctest::Contains("init_scale is 0"), Error);
    CHECK_THROWS_WITH_AS(GradScaler({.growth_interval = 0}), doctest::Contains("growth_interval is 0"), Error);
}
