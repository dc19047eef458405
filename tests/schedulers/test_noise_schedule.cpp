#include <doctest/doctest.h>

#include <bit>
#include <cstdint>

#include <reel/schedulers/ddpm.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

namespace {

NoiseScheduleConfig named_config(const std::string& name) {
    if (name == "sd") {
        return {.beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = BetaSchedule::scaled_linear};
    }
    return {.beta_schedule = value_in(beta_schedule_names, name == "cosine" ? "squaredcos_cap_v2" : name, "test")};
}

std::size_t differing_bits(std::span<const float> values, const std::vector<float>& expected) {
    REQUIRE(values.size() == expected.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        count += std::bit_cast<std::uint32_t>(values[i]) != std::bit_cast<std::uint32_t>(expected[i]) ? 1U : 0U;
    }
    return count;
}

std::vector<float> copy_of(std::span<const float> values) {
    return {values.begin(), values.end()};
}

std::uint64_t checksum(const std::vector<index_t>& values) {
    std::uint64_t state = 0xCBF29CE484222325ULL;
    for (const index_t value : values) {
        state = (state ^ (static_cast<std::uint64_t>(value) & 0xFFFFFFFFULL)) * 0x100000001B3ULL;
    }
    return state;
}

} // namespace

TEST_CASE("betas and alpha_bar equal PyTorch's bit for bit") {
    const StateDict golden = read_safetensors("golden/schedulers.safetensors");
    for (const std::string name : {"sd", "linear", "cosine"}) {
        CAPTURE(name);
        const NoiseSchedule schedule(named_config(name));
        CHECK(differing_bits(schedule.betas(), golden.at("curve." + name + ".betas").to_vector<float>()) == 0);
        CHECK(differing_bits(schedule.alphas_cumprod(),
                             golden.at("curve." + name + ".alphas_cumprod").to_vector<float>()) == 0);
    }
    CHECK(NoiseSchedule(named_config("sd")).alpha_bar(0) == doctest::Approx(0.99914998).epsilon(1e-8));
}

TEST_CASE("Schedules with float functions of PyTorch's own rounding are near") {
    const StateDict golden = read_safetensors("golden/schedulers.safetensors");
    const StateDict recent = read_safetensors("golden/schedulers_recent.safetensors");
    const NoiseSchedule sigmoid(named_config("sigmoid"));
    CHECK(gap(copy_of(sigmoid.betas()), golden.at("curve.sigmoid.betas").to_vector<float>()) < 1e-6);
    CHECK(gap(copy_of(sigmoid.alphas_cumprod()), golden.at("curve.sigmoid.alphas_cumprod").to_vector<float>()) < 1e-6);
    for (const std::string name : {"sd", "linear", "cosine"}) {
        CAPTURE(name);
        NoiseScheduleConfig config = named_config(name);
        config.rescale_betas_zero_snr = true;
        const NoiseSchedule schedule(config);
        CHECK(gap(copy_of(schedule.betas()), recent.at("curve.zero_snr." + name + ".betas").to_vector<float>()) < 5e-6);
        CHECK(gap(copy_of(schedule.alphas_cumprod()),
                  recent.at("curve.zero_snr." + name + ".alphas_cumprod").to_vector<float>()) < 1e-6);
        CHECK(schedule.alpha_bar(schedule.size() - 1) == 0);
    }
}

TEST_CASE("trained_betas are taken as they are") {
    const NoiseSchedule schedule({.num_train_timesteps = 3, .trained_betas = {0.1, 0.25, 0.5}});
    CHECK(schedule.alpha_bar(1) == doctest::Approx(0.9 * 0.75));
    CHECK(schedule.alpha_bar(2) == doctest::Approx(0.9 * 0.75 * 0.5));
    CHECK_THROWS_WITH_AS(static_cast<void>(NoiseSchedule({.num_train_timesteps = 4, .trained_betas = {0.1}})),
                         doctest::Contains("trained_betas has 1 values, but num_train_timesteps is 4"), Error);
}

TEST_CASE("A schedule that is none names the value") {
    CHECK_THROWS_WITH_AS(static_cast<void>(NoiseSchedule({.num_train_timesteps = 0})),
                         doctest::Contains("num_train_timesteps is 0"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(NoiseSchedule({.num_train_timesteps = index_t{1} << 40})),
                         doctest::Contains("expected 1 to 1000000"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(NoiseSchedule({.beta_end = 1.5})), doctest::Contains("beta "), Error);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(NoiseSchedule({.beta_start = -0.1, .beta_schedule = BetaSchedule::scaled_linear})),
        doctest::Contains("beta_start is -0.1"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(NoiseSchedule({.beta_end = NAN})), doctest::Contains("beta_end is"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(NoiseSchedule().alpha_bar(1000)),
                         doctest::Contains("timestep 1000 is outside the training timesteps 0 to 999"), Error);
    CHECK_THROWS_AS(static_cast<void>(NoiseSchedule().alpha_bar(-1)), Error);
    CHECK_THROWS_AS(static_cast<void>(NoiseSchedule({.num_train_timesteps = 1, .rescale_betas_zero_snr = true})),
                    Error);
}

TEST_CASE("Timesteps equal diffusers', for every count and spacing") {
    const StateDict golden = read_safetensors("schedulers/golden/timesteps.safetensors");
    std::size_t checked = 0;
    for (const auto& entry : golden) {
        const std::string& name = entry.first;
        const HostTensor& tensor = entry.second;
        const auto sums = tensor.to_vector<std::int64_t>();
        const auto spacing = value_in(timestep_spacing_names, name.substr(0, name.find('.')), "test");
        const index_t offset = name.back() == '1' ? 1 : 0;
        for (std::size_t i = 0; i < sums.size(); ++i) {
            const auto count = static_cast<index_t>(i + 1);
            const auto timesteps = spaced_timesteps(spacing, 1000, count, offset);
            CHECK_MESSAGE(checksum(timesteps) == static_cast<std::uint64_t>(sums[i]), name, " with ", count, " steps");
            checked += timesteps.size() == i + 1 ? 1U : 0U;
        }
    }
    CHECK(checked == 3999);
}

TEST_CASE("Timesteps equal diffusers', listed") {
    std::size_t checked = 0;
    for (const char* file : {"golden/schedulers.safetensors", "golden/schedulers_recent.safetensors"}) {
        for (const auto& entry : read_safetensors(file)) {
            const std::string& name = entry.first;
            const HostTensor& tensor = entry.second;
            if (!name.starts_with("timesteps.")) {
                continue;
            }
            CAPTURE(name);
            const auto kind = name.substr(10, name.find('.', 10) - 10);
            const auto spacing =
                kind == "ddim" ? TimestepSpacing::leading : value_in(timestep_spacing_names, kind, "test");
            const index_t offset = name.find("offset1") != std::string::npos ? 1 : 0;
            const auto expected = tensor.to_vector<std::int64_t>();
            CHECK(spaced_timesteps(spacing, 1000, static_cast<index_t>(expected.size()), offset) ==
                  std::vector<index_t>(expected.begin(), expected.end()));
            ++checked;
        }
    }
    CHECK(checked == 51);
}

TEST_CASE("Step counts without timesteps are refused") {
    const auto make = [](index_t count, index_t offset) {
        return spaced_timesteps(TimestepSpacing::leading, 1000, count, offset);
    };
    CHECK_THROWS_WITH_AS(static_cast<void>(make(1000, 1)),
                         doctest::Contains("1000 steps with steps_offset 1 begin at timestep 1000"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(make(1001, 0)), doctest::Contains("trained with only 1000 timesteps"),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(make(0, 0)), doctest::Contains("0 steps asked for"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(make(10, -1)), doctest::Contains("steps_offset is -1"), Error);
    CHECK(make(1000, 0).front() == 999);
}

TEST_CASE_TEMPLATE("add_noise and get_velocity equal diffusers'", T, float, double) {
    Cpu cpu(1);
    const StateDict golden = read_safetensors("golden/schedulers.safetensors");
    const auto clean = golden_tensor<T>(cpu, golden, "add_noise.clean");
    const auto noise = golden_tensor<T>(cpu, golden, "add_noise.noise");
    const auto levels = golden.at("add_noise.timesteps").to_vector<std::int64_t>();
    const std::vector<index_t> timesteps(levels.begin(), levels.end());
    for (const std::string name : {"sd", "linear", "cosine"}) {
        CAPTURE(name);
        const DDPMScheduler scheduler({.schedule = named_config(name)});
        CHECK(gap(scheduler.add_noise(clean, noise, timesteps),
                  golden_tensor<T>(cpu, golden, "add_noise." + name + ".noisy")) < 2e-7);
        CHECK(gap(scheduler.get_velocity(clean, noise, timesteps),
                  golden_tensor<T>(cpu, golden, "add_noise." + name + ".velocity")) < 2e-7);
    }
    const DDPMScheduler scheduler;
    const auto row = clean.slice(2, 3);
    CHECK(gap(scheduler.add_noise(row, noise.slice(2, 3), timesteps[2]),
              scheduler.add_noise(clean, noise, timesteps).slice(2, 3)) == 0);
    const std::vector<index_t> three{7, 500, 3}; // each counts for two of the six rows
    CHECK(gap(scheduler.add_noise(clean, noise, three).slice(3, 4),
              scheduler.add_noise(clean.slice(3, 4), noise.slice(3, 4), 500)) == 0);
    const std::vector<index_t> four{1, 2, 3, 4};
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.add_noise(clean, noise, four)),
                         doctest::Contains("4 timesteps for a tensor"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.add_noise(clean, row, 5)), doctest::Contains("add_noise: shapes"),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.add_noise(clean, noise, 1000)), doctest::Contains("timestep 1000"),
                         Error);
}

TEST_CASE("Prediction types turn into each other") {
    const NoiseLevel level = NoiseLevel::from_alpha_bar(0.3);
    const double clean = 0.7;
    const double noise = -1.3;
    const double x = level.signal * clean + level.noise * noise;
    const double velocity = level.signal * noise - level.noise * clean;
    for (const auto& [type, output] : {std::pair(PredictionType::epsilon, noise),
                                       {PredictionType::sample, clean},
                                       {PredictionType::v_prediction, velocity}}) {
        const auto evaluate = [&, out = output](Mixture m) { return m.sample * x + m.output * out; };
        CHECK(evaluate(clean_mixture(type, level)) == doctest::Approx(clean));
        CHECK(evaluate(noise_mixture(type, level)) == doctest::Approx(noise));
        CHECK(evaluate(velocity_mixture(type, level)) == doctest::Approx(velocity));
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(clean_mixture(PredictionType::epsilon, {0, 1})),
                         doctest::Contains("zero terminal SNR"), Error);
    CHECK_THROWS_AS(static_cast<void>(noise_mixture(PredictionType::sample, {1, 0})), Error);
}
