// What the samplers in sigma must do beside following diffusers.

#include <doctest/doctest.h>

#include <io/temporary_folder.hpp>
#include <reel/schedulers/config/sigma_config.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

namespace {

template <class S>
S read(const std::string& text) {
    return scheduler_from_config<S>(parse_json(text, "a.json"), "a.json");
}

Tensor<double> start(Cpu& cpu) {
    return Tensor<double>::from_host(cpu, {2, 3}, {0.3, -1.1, 0.9, 2.0, -0.2, 0.05});
}

/// A whole run in which every step draws half a unit of noise, if it draws. The model is one of x alone: its noise
/// prediction is a function of its input, whichever way it says so.
template <class S>
Tensor<double> run(Cpu& cpu, S& scheduler, Tensor<double> x) {
    for (const double t : scheduler.timesteps()) {
        const auto input = scheduler.scale_model_input(x, t);
        auto output = sine_model(PredictionType::epsilon, input, t);
        const auto type = scheduler.config().prediction_type;
        if constexpr (requires { scheduler.schedule(); }) {
            if (type != PredictionType::epsilon) {
                // scale_model_input(1) is the signal of the level.
                const double signal =
                    scheduler.scale_model_input(Tensor<double>::full(cpu, {1}, 1.0), t).to_host().front();
                const NoiseLevel level{signal, std::sqrt(1 - signal * signal)};
                output = mix(type == PredictionType::sample ? clean_mixture(PredictionType::epsilon, level)
                                                            : velocity_mixture(PredictionType::epsilon, level),
                             input, output);
            }
        }
        x = scheduler.step(output, t, x, [&](const Shape& shape) { return Tensor<double>::full(cpu, shape, 0.5); });
    }
    return x;
}

} // namespace

#define SIGMA_SAMPLERS                                                                                                 \
    EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, LMSDiscreteScheduler<double>,                             \
        HeunDiscreteScheduler<double>, KDPM2DiscreteScheduler<double>, KDPM2AncestralDiscreteScheduler<double>

TEST_CASE_TEMPLATE("One model says the same in every prediction type", S, SIGMA_SAMPLERS) {
    Cpu cpu(1);
    const auto result = [&](const std::string& type) {
        auto scheduler = read<S>(R"({"prediction_type": ")" + type + R"("})");
        scheduler.set_timesteps(12);
        return run(cpu, scheduler, scale(start(cpu), scheduler.init_noise_sigma()));
    };
    const auto epsilon = result("epsilon");
    CHECK(gap(result("v_prediction"), epsilon) < 1e-9);
    CHECK(gap(result("sample"), epsilon) < 1e-9);
}

TEST_CASE_TEMPLATE("A run can begin in the middle and be repeated", S, SIGMA_SAMPLERS, EDMEulerScheduler) {
    static_assert(check_scheduler<S, double>());
    Cpu cpu(1);
    S scheduler;
    scheduler.set_timesteps(6);
    const auto first = run(cpu, scheduler, start(cpu));
    scheduler.set_timesteps(9);
    static_cast<void>(run(cpu, scheduler, start(cpu)));
    scheduler.set_timesteps(6);
    CHECK(gap(run(cpu, scheduler, start(cpu)), first) == 0);
    // From the last step on: one model call, which ends without noise at the predicted clean sample.
    scheduler.set_timesteps(6);
    const double last = scheduler.timesteps().back();
    const auto x = start(cpu);
    const auto output = Tensor<double>::full(cpu, {2, 3}, 0.25);
    const auto source = [&](const Shape& shape) { return Tensor<double>::full(cpu, shape, 0.5); };
    const auto ended = scheduler.step(output, last, x, source);
    if constexpr (requires { scheduler.schedule(); }) {
        const double sigma = scheduler.sigmas()[5];
        CHECK(gap(ended, mix(sigma_clean_mixture(PredictionType::epsilon, sigma), x, output)) < 1e-12);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(output, 0.123, x, source)), doctest::Contains("Scheduler: "),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(Tensor<double>::full(cpu, {4}, 1.0), last, x, source)),
                         doctest::Contains("model output of shape [4]"), Error);
    CHECK_THROWS_WITH_AS(scheduler.set_timesteps(0), doctest::Contains("0 "), Error);
}

TEST_CASE_TEMPLATE("add_noise brings clean samples to the level of a timestep", S, SIGMA_SAMPLERS, EDMEulerScheduler) {
    Cpu cpu(1);
    S scheduler;
    const auto clean = start(cpu);
    const auto noise = Tensor<double>::full(cpu, {2, 3}, 2.0);
    if constexpr (requires { scheduler.schedule(); }) {
        const double sigma = training_sigmas(scheduler.schedule())[500]; // before a run: training timesteps
        CHECK(gap(scheduler.add_noise(clean, noise, 500.0), axpby(1, clean, sigma, noise)) < 1e-15);
        CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.add_noise(clean, noise, 1000.0)),
                             doctest::Contains("outside the training timesteps"), Error);
    }
    scheduler.set_timesteps(8);
    const std::vector<double> two{scheduler.timesteps().front(), scheduler.timesteps().back()};
    const auto noisy = scheduler.add_noise(clean, noise, two);
    CHECK(gap(noisy.slice(0, 1), axpby(1, clean.slice(0, 1), scheduler.sigmas()[0], noise.slice(0, 1))) < 1e-15);
    CHECK(gap(noisy.slice(1, 2), axpby(1, clean.slice(1, 2), scheduler.sigmas()[7], noise.slice(1, 2))) < 1e-15);
    CHECK_THROWS_AS(static_cast<void>(scheduler.add_noise(clean, noise, -5.0)), Error);
}

TEST_CASE_TEMPLATE("A run of one's own, and previews of the clean sample", S, SIGMA_SAMPLERS) {
    Cpu cpu(1);
    S scheduler;
    scheduler.set_run(sigma_run_through(scheduler.schedule(), {9, 3, 0.5, 0}));
    CHECK(scheduler.sigmas() == std::vector<double>{9, 3, 0.5, 0});
    const auto x = start(cpu);
    const auto output = Tensor<double>::full(cpu, {2, 3}, 0.25);
    CHECK(gap(scheduler.predict_clean(output, scheduler.timesteps()[0], x), axpby(1, x, -9, output)) < 1e-15);
    CHECK(run(cpu, scheduler, x).shape() == Shape{2, 3});
    scheduler.set_run(sigma_run_at(scheduler.schedule(), {900, 450.5, 3}));
    CHECK(scheduler.timesteps().front() == 900);
    CHECK(scheduler.sigmas().size() == 4);
    const auto refuses = [&](const SigmaRun& bad, const char* part) {
        CHECK_THROWS_WITH_AS(scheduler.set_run(bad), doctest::Contains(part), Error);
    };
    refuses({{900, 500}, {3, 2}}, "2 timesteps with 2 sigmas");
    refuses({{900, 500}, {3, 4, 0}}, "sigmas 3 and 4 of steps 0 and 1");
    refuses({{900, 500}, {3, 0, 0}}, "above 0");
    refuses({}, "0 timesteps");
    CHECK_THROWS_WITH_AS(static_cast<void>(sigma_run_through(scheduler.schedule(), {1})),
                         doctest::Contains("1 sigmas; expected two"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(sigma_run_at(scheduler.schedule(), {1000})),
                         doctest::Contains("timestep 1000 is outside"), Error);
}

TEST_CASE("EDM: sigmas of one's own, and previews") {
    Cpu cpu(1);
    EDMEulerScheduler scheduler;
    scheduler.set_sigmas({10, 1, 0});
    CHECK(scheduler.timesteps().size() == 2);
    CHECK(scheduler.timesteps()[1] == 0);
    const auto x = start(cpu);
    const auto output = Tensor<double>::full(cpu, {2, 3}, 0.25);
    static_cast<void>(scheduler.step(output, scheduler.timesteps()[0], x));
    // At sigma 1 with data of deviation 1/2: 1/5 of the sample and 1 / sqrt(5) of the output, where the last step ends.
    const auto clean = scheduler.predict_clean(output, 0.0, x);
    CHECK(gap(clean, axpby(0.2, x, 1 / std::sqrt(5.0), output)) < 1e-15);
    CHECK(gap(scheduler.step(output, 0.0, x), clean) < 1e-14);
    CHECK_THROWS_WITH_AS(scheduler.set_sigmas({1, 2, 0}), doctest::Contains("sigmas 1 and 2"), Error);
    CHECK_THROWS_WITH_AS(scheduler.set_sigmas({1}), doctest::Contains("two or more"), Error);
}

TEST_CASE("DPM2 ancestral has midpoints from the highest sigma of the cosine schedule on") {
    Cpu cpu(1);
    auto scheduler = read<KDPM2AncestralDiscreteScheduler<double>>(R"({"beta_schedule": "squaredcos_cap_v2"})");
    scheduler.set_timesteps(5);
    CHECK(scheduler.init_noise_sigma() > 2e4);
    for (const double timestep : scheduler.timesteps()) {
        CHECK(std::isfinite(timestep));
    }
    for (const double value : run(cpu, scheduler, scale(start(cpu), scheduler.init_noise_sigma())).to_host()) {
        CHECK(std::isfinite(value));
    }
}

TEST_CASE("Samplers with memory refuse steps out of order") {
    Cpu cpu(1);
    LMSDiscreteScheduler<double> scheduler;
    scheduler.set_timesteps(5);
    const auto x = start(cpu);
    const double first = scheduler.timesteps()[0];
    CHECK(scheduler.step(x, first, x).defined());
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, first, x)),
                         doctest::Contains("model call 2 of 5 is at timestep 749.25"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(LMSDiscreteScheduler<double>().step(x, first, x)),
                         doctest::Contains("call set_timesteps() first"), Error);
    scheduler.options.order = 7;
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, scheduler.timesteps()[1], x)),
                         doctest::Contains("order is 7; expected 1 to 6"), Error);
    EulerDiscreteScheduler euler;
    euler.set_timesteps(5);
    static_cast<void>(euler.step(x, euler.timesteps()[0], x));
    CHECK(euler.step(x, euler.timesteps()[0], x).defined());
}

TEST_CASE_TEMPLATE("A sample that is changed between the two calls of a step counts", S, HeunDiscreteScheduler<float>,
                   KDPM2DiscreteScheduler<float>) {
    Cpu cpu(1);
    const auto x = Tensor<float>::from_host(cpu, {2}, {4.0F, -3.0F});
    const auto zero = Tensor<float>::full(cpu, {2}, 0.0F); // the predicted clean sample
    const auto result = [&](bool change) {
        S scheduler({.prediction_type = PredictionType::sample});
        scheduler.set_timesteps(3);
        auto middle = scheduler.step(zero, scheduler.timesteps()[0], x);
        if (change) {
            middle = scale(middle, 2);
        }
        return scheduler.step(zero, scheduler.timesteps()[1], middle);
    };
    CHECK(gap(result(true), result(false)) > 0.1);
    S scheduler({.prediction_type = PredictionType::sample});
    scheduler.set_timesteps(3);
    static_cast<void>(scheduler.step(zero, scheduler.timesteps()[0], x));
    const auto other = Tensor<float>::full(cpu, {3}, 0.0F);
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(other, scheduler.timesteps()[1], other)),
                         doctest::Contains("a sample of shape [3]"), Error);
}

TEST_CASE("Noise is drawn only when a step uses it") {
    Cpu cpu(1);
    const auto x = start(cpu);
    const auto draws = [&](auto scheduler) {
        int count = 0;
        scheduler.set_timesteps(5);
        for (const double t : scheduler.timesteps()) {
            static_cast<void>(scheduler.step(x, t, x, [&](const Shape&) {
                ++count;
                return x;
            }));
        }
        return count;
    };
    EulerDiscreteScheduler euler;
    CHECK(draws(euler) == 0);
    euler.options.s_churn = 1;
    CHECK(draws(euler) == 5);
    euler.options.s_tmin = 1;
    CHECK(draws(euler) < 5);
    CHECK(draws(EulerAncestralDiscreteScheduler()) == 4);
    CHECK(draws(LMSDiscreteScheduler<double>()) == 0);
    CHECK(draws(HeunDiscreteScheduler<double>()) == 0);
    CHECK(draws(KDPM2DiscreteScheduler<double>()) == 0);
    CHECK(draws(KDPM2AncestralDiscreteScheduler<double>()) == 4);
    EulerAncestralDiscreteScheduler ancestral;
    ancestral.set_timesteps(5);
    CHECK_THROWS_WITH_AS(static_cast<void>(ancestral.step(x, ancestral.timesteps()[0], x)),
                         doctest::Contains("draws noise"), Error);
    euler.options.s_churn = -1;
    CHECK_THROWS_WITH_AS(static_cast<void>(draws(euler)), doctest::Contains("s_churn is -1"), Error);
}

TEST_CASE("Configurations are read and written, and those that make no sense are named") {
    const EulerDiscreteConfig config{.schedule = {.beta_schedule = BetaSchedule::exp, .rescale_betas_zero_snr = true},
                                     .prediction_type = PredictionType::v_prediction,
                                     .interpolation_type = SigmaInterpolation::log_linear,
                                     .sigma_spacing = SigmaSpacing::beta,
                                     .sigma_min = 0.1,
                                     .timestep_spacing = TimestepSpacing::trailing,
                                     .timestep_type = TimestepType::continuous,
                                     .steps_offset = 2,
                                     .final_sigmas_type = FinalSigma::sigma_min};
    const reel_test::TemporaryFolder folder;
    save_scheduler(EulerDiscreteScheduler(config), folder.path() / "scheduler");
    CHECK(scheduler_from_pretrained<EulerDiscreteScheduler>(folder.path() / "scheduler").config() == config);
    const auto again = [](const auto& scheduler) {
        using S = std::remove_cvref_t<decltype(scheduler)>;
        const auto json = scheduler_to_config(scheduler);
        CHECK(json["_class_name"] == SchedulerFile<S>::class_name);
        return scheduler_from_config<S>(json, "x").config() == scheduler.config();
    };
    CHECK(again(EulerAncestralDiscreteScheduler({.prediction_type = PredictionType::sample, .steps_offset = 3})));
    CHECK(again(LMSDiscreteScheduler<>({.sigma_spacing = SigmaSpacing::karras})));
    CHECK(again(HeunDiscreteScheduler<>({.sigma_spacing = SigmaSpacing::exponential, .clip_sample = true})));
    CHECK(again(KDPM2DiscreteScheduler<>({.timestep_spacing = TimestepSpacing::leading})));
    CHECK(again(KDPM2AncestralDiscreteScheduler<>({.steps_offset = 1})));
    CHECK(again(EDMEulerScheduler({.sigma_max = 500, .sigma_schedule = SigmaSpacing::exponential, .rho = 5})));

    CHECK(read<HeunDiscreteScheduler<>>("{}").config() == HeunDiscreteConfig{});
    CHECK(read<EulerDiscreteScheduler>(R"({"use_karras_sigmas": null, "sigma_min": null})").config() ==
          EulerDiscreteConfig{});
    // Any file of the family makes any of its samplers, but not EDM's, and EDM's makes no other.
    CHECK(read<LMSDiscreteScheduler<>>(R"({"_class_name": "PNDMScheduler", "skip_prk_steps": true,
                                           "beta_schedule": "scaled_linear"})")
              .config()
              .schedule.beta_schedule == BetaSchedule::scaled_linear);
    CHECK_THROWS_WITH_AS(static_cast<void>(read<EDMEulerScheduler>(R"({"_class_name": "PNDMScheduler"})")),
                         doctest::Contains("another kind of model than a EDMEulerScheduler's"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(read<EDMEulerScheduler>(R"({"beta_start": 0.1})")),
                         doctest::Contains("unknown key \"beta_start\""), Error);
    CHECK_THROWS_AS(static_cast<void>(read<EulerDiscreteScheduler>(R"({"_class_name": "EDMEulerScheduler"})")), Error);

    const auto refuses = [](const std::string& text, const char* part) {
        CHECK_THROWS_WITH_AS(static_cast<void>(read<EulerDiscreteScheduler>(text)), doctest::Contains(part), Error);
    };
    refuses(R"({"use_karras_sigmas": true, "use_beta_sigmas": true})",
            "\"use_karras_sigmas\" and \"use_beta_sigmas\" are both true");
    refuses(R"({"use_karas_sigmas": true})", "did you mean \"use_karras_sigmas\"");
    refuses(R"({"interpolation_type": "cubic"})", "expected one of: linear, log_linear");
    refuses(R"({"sigma_min": -1})", "sigma_min is -1");
    refuses(R"({"steps_offset": -1})", "steps_offset is -1");
    CHECK_THROWS_WITH_AS(static_cast<void>(read<EDMEulerScheduler>(R"({"sigma_min": 100})")),
                         doctest::Contains("sigma_min not above sigma_max"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(read<EDMEulerScheduler>(R"({"prediction_type": "sample"})")),
                         doctest::Contains("prediction_type is sample"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(HeunDiscreteScheduler<>({.clip_sample = true, .clip_sample_range = 0})),
                         doctest::Contains("clip_sample_range is 0"), Error);
}
