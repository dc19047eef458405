// What samplers in sigma are made of: quantiles, sigmas, timesteps, positions in a run, guidance rescale.

#include <doctest/doctest.h>

#include <reel/schedulers/detail/sigma_space.hpp>
#include <reel/schedulers/guidance.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

namespace {

double worst_gap(const std::vector<double>& values, const std::vector<double>& expected) {
    REQUIRE(values.size() == expected.size());
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        worst = std::max(worst, std::abs(values[i] - expected[i]) / std::max(std::abs(expected[i]), 1e-300));
    }
    return worst;
}

} // namespace

TEST_CASE("Quantiles of the beta distribution equal SciPy's") {
    const StateDict golden = read_safetensors("schedulers/golden/sigmas.safetensors");
    const auto shapes = golden.at("beta.shapes").to_vector<double>(); // pairs
    const auto ps = golden.at("beta.p").to_vector<double>();
    const auto quantiles = golden.at("beta.quantiles").to_vector<double>();
    REQUIRE(quantiles.size() == shapes.size() / 2 * ps.size());
    for (std::size_t s = 0; s < shapes.size() / 2; ++s) {
        const double a = shapes[2 * s];
        const double b = shapes[2 * s + 1];
        CAPTURE(a);
        CAPTURE(b);
        std::vector<double> ours;
        for (const double p : ps) {
            ours.push_back(beta_quantile(p, a, b));
            CHECK(regularized_beta(ours.back(), a, b) == doctest::Approx(p).epsilon(1e-10));
        }
        const auto first = quantiles.begin() + static_cast<std::ptrdiff_t>(s * ps.size());
        CHECK(worst_gap(ours, {first, first + static_cast<std::ptrdiff_t>(ps.size())}) < 1e-12);
    }
    CHECK(beta_quantile(0, 0.6, 0.6) == 0);
    CHECK(beta_quantile(1, 0.6, 0.6) == 1);
    CHECK(beta_quantile(0.5, 0.6, 0.6) == doctest::Approx(0.5).epsilon(1e-15));
    CHECK_THROWS_WITH_AS(static_cast<void>(beta_quantile(1.5, 1, 1)), doctest::Contains("p is 1.5"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(beta_quantile(0.5, 0, 1)), doctest::Contains("0 and 1; expected finite"),
                         Error);
}

TEST_CASE("The exponential and Laplace noise schedules equal diffusers'") {
    const StateDict golden = read_safetensors("schedulers/golden/sigmas.safetensors");
    for (const std::string name : {"exp", "laplace"}) {
        CAPTURE(name);
        const NoiseSchedule schedule({.beta_schedule = value_in(beta_schedule_names, name, "test")});
        const auto ours = schedule.alphas_cumprod();
        CHECK(gap(std::vector<float>(ours.begin(), ours.end()),
                  golden.at("curve." + name + ".alphas_cumprod").to_vector<float>()) < 1e-7);
    }
}

TEST_CASE("Spread sigmas keep their ends and equal the formulas") {
    for (const auto spacing : {SigmaSpacing::karras, SigmaSpacing::exponential, SigmaSpacing::beta}) {
        const auto sigmas = spread_sigmas(spacing, {14.6, 0.03}, 12);
        CHECK(sigmas.size() == 12);
        CHECK(sigmas.front() == doctest::Approx(14.6));
        CHECK(sigmas.back() == doctest::Approx(0.03));
        CHECK(std::is_sorted(sigmas.rbegin(), sigmas.rend()));
        CHECK(spread_sigmas(spacing, {14.6, 0.03}, 1).front() == doctest::Approx(14.6));
    }
    const auto rooted = karras_sigmas({81, 1}, 3, 2); // 9, 5, 1 squared
    CHECK(worst_gap(rooted, {81, 25, 1}) < 1e-14);
    CHECK(worst_gap(exponential_sigmas({100, 1}, 3), {100, 10, 1}) < 1e-14);
    CHECK_THROWS_WITH_AS(static_cast<void>(karras_sigmas({1, 2}, 3)), doctest::Contains("sigmas from 1 to 2"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(beta_sigmas({1, 0}, 3)), doctest::Contains("above 0"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(spread_sigmas(SigmaSpacing::timesteps, {2, 1}, 3)),
                         doctest::Contains("interpolate"), Error);
}

TEST_CASE("Sigmas and timesteps turn into each other") {
    const auto table = training_sigmas(NoiseSchedule());
    CHECK(table.size() == 1000);
    CHECK(std::is_sorted(table.begin(), table.end()));
    for (const double t : {0.0, 0.25, 17.5, 500.0, 998.75, 999.0}) {
        const auto below = static_cast<std::size_t>(t);
        const double sigma =
            below == 999
                ? table[999]
                : std::exp(std::log(table[below]) + (t - std::floor(t)) * std::log(table[below + 1] / table[below]));
        CHECK(timestep_of_sigma(table, sigma) == doctest::Approx(t).epsilon(1e-9));
    }
    CHECK(timestep_of_sigma(table, 1e-9) == 0);
    CHECK(timestep_of_sigma(table, 1e9) == 999);
    CHECK(interpolate(table, 3.25) == doctest::Approx(0.75 * table[3] + 0.25 * table[4]));
    CHECK(interpolate(table, -1) == table[0]);
    CHECK(interpolate(table, 2000) == table[999]);
    CHECK(sigma_of_level(level_of_sigma(0.7)) == doctest::Approx(0.7));
    const NoiseSchedule zero({.rescale_betas_zero_snr = true});
    CHECK(training_sigmas(zero).back() == doctest::Approx(4096).epsilon(1e-6));
}

TEST_CASE("A prediction means the same in sigma space as in variance-preserving space") {
    const double sigma = 1.7;
    const NoiseLevel level = level_of_sigma(sigma);
    for (const auto& type : prediction_type_names) {
        const Mixture here = sigma_clean_mixture(type.value, sigma);
        const Mixture there = clean_mixture(type.value, level);
        CHECK(here.sample == doctest::Approx(there.sample * level.signal));
        CHECK(here.output == doctest::Approx(there.output));
        // What flows is the noise.
        const Mixture flow = sigma_derivative(here, sigma);
        const Mixture noise = noise_mixture(type.value, level);
        CHECK(flow.sample == doctest::Approx(noise.sample * level.signal));
        CHECK(flow.output == doctest::Approx(noise.output));
    }
}

TEST_CASE("A position in a run: in order, from the middle, and not astray") {
    const std::vector<double> timesteps{9, 5, 5, 2, 2}; // as Heun's
    for (const bool ordered : {false, true}) {
        CallPosition position(2, ordered);
        CHECK(position.find("X", timesteps, 9) == 0);
        position.done(0);
        CHECK(position.find("X", timesteps, 5) == 1);
        position.done(1);
        CHECK(position.find("X", timesteps, 5) == 2);
        if (ordered) {
            CHECK_THROWS_WITH_AS(static_cast<void>(position.find("X", timesteps, 2)),
                                 doctest::Contains("X: timestep 2, but model call 3 of 5 is at timestep 5"), Error);
        } else {
            CHECK(position.find("X", timesteps, 2) == 4);
        }
        position.done(4);
        if (ordered) {
            CHECK_THROWS_WITH_AS(static_cast<void>(position.find("X", timesteps, 9)),
                                 doctest::Contains("the run is over"), Error);
            position.reset();
        }
        CHECK(position.find("X", timesteps, 9) == 0);
        position.reset();
        CHECK(position.find("X", timesteps, 5) == 2); // a run begins with a step, not within one
        CHECK_THROWS_WITH_AS(static_cast<void>(position.find("X", timesteps, 3)),
                             doctest::Contains("X: timestep 3 is not one of this run's 5 timesteps"), Error);
        CHECK_THROWS_WITH_AS(static_cast<void>(position.find("X", std::vector<double>{}, 3)),
                             doctest::Contains("set_timesteps() first"), Error);
    }
}

TEST_CASE_TEMPLATE("Guidance rescale gives each clip the deviation of its conditional prediction", T, float, double) {
    Cpu cpu(1);
    const auto guided = Tensor<T>::from_host(cpu, {4, 2}, {T(1), T(-2), T(3), T(0.5), T(10), T(20), T(30), T(-40)});
    const auto text = Tensor<T>::from_host(cpu, {4, 2}, {T(0), T(1), T(2), T(-1), T(3), T(5), T(4), T(2)});
    const auto deviation = [](const Tensor<T>& x) {
        double mean = 0;
        double square = 0;
        const auto values = x.to_host();
        for (const T value : values) {
            mean += static_cast<double>(value) / 4;
        }
        for (const T value : values) {
            square += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean) / 3;
        }
        return std::sqrt(square);
    };
    const auto full = rescale_noise_cfg(guided, text, 1, 2);
    for (const index_t clip : {0, 1}) {
        CHECK(deviation(full.slice(2 * clip, 2 * clip + 2)) ==
              doctest::Approx(deviation(text.slice(2 * clip, 2 * clip + 2))));
    }
    CHECK(gap(rescale_noise_cfg(guided, text, 0, 2), guided) == 0);
    CHECK(gap(rescale_noise_cfg(guided, text, 0.7, 2), axpby(T(0.7), full, T(0.3), guided)) < 1e-6);
    const StateDict golden = read_safetensors("schedulers/golden/sigmas.safetensors"); // diffusers': two clips
    CHECK(gap(rescale_noise_cfg(golden_tensor<T>(cpu, golden, "guidance.guided"),
                                golden_tensor<T>(cpu, golden, "guidance.text"), 0.7, 2),
              golden_tensor<T>(cpu, golden, "guidance.rescaled")) < (std::is_same_v<T, double> ? 1e-14 : 1e-6));
    CHECK_THROWS_WITH_AS(static_cast<void>(rescale_noise_cfg(guided, text, 1.2)), doctest::Contains("rescale is 1.2"),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(rescale_noise_cfg(guided, text, 1, 3)), doctest::Contains("3 clips"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(rescale_noise_cfg(Tensor<T>::full(cpu, {4, 2}, T(1)), text, 1)),
                         doctest::Contains("constant"), Error);
}
