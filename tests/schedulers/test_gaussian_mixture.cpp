#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include <reel/schedulers/gaussian_mixture.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

namespace {

const std::vector<GaussianComponent> clusters{{.weight = 2, .mean = {1.5, -0.5}, .deviation = 0.3},
                                              {.weight = 1, .mean = {-1.0, 0.75}, .deviation = 0.15},
                                              {.weight = 0.5, .mean = {0.25, 2.0}, .deviation = 0.6}};

const std::array<NoiseLevel, 5> levels{NoiseLevel{1, 0}, NoiseLevel::from_alpha_bar(0.98),
                                       NoiseLevel::from_alpha_bar(0.5), NoiseLevel::from_alpha_bar(0.02),
                                       NoiseLevel{0, 1}};

Tensor<double> points(Cpu& cpu) {
    return Tensor<double>::from_host(cpu, {5, 2}, {0.1, 0.2, 1.4, -0.6, -0.9, 0.8, 3.0, -2.5, 0.0, 1.0});
}

} // namespace

TEST_CASE("The density of a noisy mixture is the sum that it is defined as, and integrates to one") {
    Cpu cpu(1);
    const GaussianMixture<double> mixture(cpu, clusters);
    for (const NoiseLevel level : levels) {
        const double side = 0.05;
        std::vector<double> grid;
        for (int i = -160; i <= 160; ++i) {
            for (int j = -160; j <= 160; ++j) {
                grid.insert(grid.end(), {side * i, side * j});
            }
        }
        const auto rows = static_cast<index_t>(grid.size() / 2);
        const auto logs = mixture.log_density(Tensor<double>::from_host(cpu, {rows, 2}, grid), level).to_host();
        double mass = 0;
        double worst = 0;
        for (std::size_t i = 0; i < logs.size(); ++i) {
            mass += std::exp(logs[i]) * side * side;
            double density = 0;
            for (const GaussianComponent& c : clusters) {
                const double v = std::pow(level.signal * c.deviation, 2) + std::pow(level.noise, 2);
                const double square = std::pow(grid[2 * i] - level.signal * c.mean[0], 2) +
                                      std::pow(grid[2 * i + 1] - level.signal * c.mean[1], 2);
                density += c.weight / 3.5 * std::exp(-square / (2 * v)) / (2 * std::numbers::pi * v);
            }
            worst = std::max(worst, std::abs(std::exp(logs[i]) - density));
        }
        CHECK(mass == doctest::Approx(1).epsilon(1e-6));
        CHECK(worst < 1e-12);
    }
    const auto far = Tensor<double>::full(cpu, {1, 2}, 500.0); // where every share underflows
    CHECK(std::isfinite(mixture.log_density(far, levels[1]).to_host()[0]));
    CHECK(std::isfinite(mixture.predict(PredictionType::sample, far, levels[1]).to_host()[0]));
}

TEST_CASE("The predicted noise is the score: finite differences of the log density") {
    Cpu cpu(1);
    const GaussianMixture<double> mixture(cpu, clusters);
    const auto x = points(cpu).to_host();
    const double h = 1e-4;
    for (const NoiseLevel level : levels) {
        const auto noise = mixture.predict(PredictionType::epsilon, points(cpu), level).to_host();
        for (std::size_t i = 0; i < x.size(); ++i) {
            // five points: the error is of fourth order in h
            const std::array<double, 4> shifts{-2 * h, -h, h, 2 * h};
            std::array<double, 4> f{};
            for (std::size_t k = 0; k < 4; ++k) {
                auto moved = x;
                moved[i] += shifts[k];
                f[k] = mixture.log_density(Tensor<double>::from_host(cpu, {5, 2}, moved), level).to_host()[i / 2];
            }
            const double slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
            CHECK(noise[i] == doctest::Approx(-level.noise * slope).epsilon(1e-7));
        }
    }
}

TEST_CASE_TEMPLATE("Noise, clean sample and velocity fit together, in float and double", T, double, float) {
    Cpu cpu(1);
    const GaussianMixture<T> mixture(cpu, clusters);
    const double limit = std::is_same_v<T, double> ? 1e-12 : 1e-5;
    const auto wide = points(cpu).to_host();
    const std::vector<T> values(wide.begin(), wide.end());
    const auto x = Tensor<T>::from_host(cpu, {5, 2}, values);
    for (const NoiseLevel level : levels) {
        const auto clean = mixture.predict(PredictionType::sample, x, level);
        const auto noise = mixture.predict(PredictionType::epsilon, x, level);
        const auto velocity = mixture.predict(PredictionType::v_prediction, x, level);
        CHECK(gap(mix({level.signal, level.noise}, clean, noise), x) < limit);
        CHECK(gap(mix({-level.noise, level.signal}, clean, noise), velocity) < limit);
    }
    // at pure noise, the best guess is the mean of the data
    const auto mean = mixture.predict(PredictionType::sample, x, NoiseLevel{0, 1}).to_host();
    CHECK(static_cast<double>(mean[0]) == doctest::Approx((2 * 1.5 - 1.0 + 0.5 * 0.25) / 3.5));
}

TEST_CASE("Levels between timesteps") {
    const NoiseSchedule schedule;
    CHECK(interpolated_level(schedule, 500).noise == schedule.level(500).noise);
    const double low = std::log(schedule.level(500).noise / schedule.level(500).signal);
    const double high = std::log(schedule.level(501).noise / schedule.level(501).signal);
    const NoiseLevel between = interpolated_level(schedule, 500.25);
    CHECK(std::log(between.noise / between.signal) == doctest::Approx(0.75 * low + 0.25 * high).epsilon(1e-12));
    CHECK(between.signal * between.signal + between.noise * between.noise == doctest::Approx(1));
    const NoiseSchedule zero({.rescale_betas_zero_snr = true});
    CHECK(interpolated_level(zero, 998.75).signal == 0);
    CHECK_THROWS_AS(static_cast<void>(interpolated_level(schedule, 999.5)), Error);
    CHECK_THROWS_AS(static_cast<void>(interpolated_level(schedule, -0.5)), Error);
}

TEST_CASE("What is no mixture is refused with a reason") {
    Cpu cpu(1);
    using Mixture2 = GaussianMixture<double>;
    CHECK_THROWS_WITH_AS(static_cast<void>(Mixture2(cpu, {})), doctest::Contains("at least one component"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(Mixture2(cpu, {{.mean = {1}, .deviation = 0}})),
                         doctest::Contains("deviation 0"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(Mixture2(cpu, {{.mean = {1}}, {.mean = {1, 2}}})),
                         doctest::Contains("2 dimensions, the first one has 1"), Error);
    const Mixture2 mixture(cpu, clusters);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(mixture.predict(PredictionType::sample, Tensor<double>::full(cpu, {2, 3}, 0.0), levels[1])),
        doctest::Contains("expected [..., 2]"), Error);
}
