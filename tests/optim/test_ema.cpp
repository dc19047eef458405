#include <doctest/doctest.h>

#include <reel/optim/ema.hpp>

using namespace reel;

namespace {

std::vector<NamedParameter<double>> one(Cpu& cpu, double value) {
    return {{"weight", Tensor<double>::full(cpu, {3}, value), {}}};
}

double average(const EMAModel<double>& ema) {
    return ema.averages().find("weight")->second.to_host()[1];
}

} // namespace

TEST_CASE("EMAModel: the decay of diffusers: 0, then k / (9 + k), at most the one given") {
    const EMAModel<double> ema(0.5);
    CHECK(ema.decay_at(1) == 0);
    CHECK(ema.decay_at(2) == doctest::Approx(2.0 / 11.0));
    CHECK(ema.decay_at(5) == doctest::Approx(5.0 / 14.0));
    CHECK(ema.decay_at(1000) == 0.5);
    CHECK_THROWS_AS(EMAModel<double>(1.0), Error);
}

TEST_CASE("EMAModel: averages follow the parameters and do not share their memory") {
    Cpu cpu;
    EMAModel<double> ema(0.9);
    auto parameters = one(cpu, 1);
    ema.step(parameters);
    parameters[0].value.fill(2);
    CHECK(average(ema) == 1);
    ema.step(parameters);
    CHECK(average(ema) == doctest::Approx(1 + (1 - 2.0 / 11.0)));
    CHECK(ema.step_count() == 2);
}

TEST_CASE("EMAModel: a run that is continued averages as an uninterrupted one") {
    Cpu cpu;
    EMAModel<double> whole(0.9);
    EMAModel<double> first(0.9);
    EMAModel<double> second(0.9);
    for (int i = 0; i < 30; ++i) {
        const auto parameters = one(cpu, 0.37 * i * i);
        whole.step(parameters);
        (i < 12 ? first : second).step(parameters);
        if (i == 11) {
            second.restore({{"weight", first.averages().find("weight")->second.clone()}}, first.step_count());
        }
    }
    CHECK(average(second) == average(whole));
}

TEST_CASE("EMAModel: a parameter that changed its shape is an error") {
    Cpu cpu;
    EMAModel<double> ema;
    ema.step(one(cpu, 1));
    CHECK_THROWS_AS(ema.step(std::vector<NamedParameter<double>>{{"weight", Tensor<double>::zeros(cpu, {4}), {}}}),
                    Error);
}
