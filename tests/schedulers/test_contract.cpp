// What every scheduler must do, and what each refuses.

#include <doctest/doctest.h>

#include <cmath>

#include <reel/schedulers/ddim_inverse.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

static_assert(check_scheduler<DDIMScheduler>() && check_scheduler<DDPMScheduler>());
static_assert(check_scheduler<DDIMScheduler, double>() && check_scheduler<DDPMScheduler, double>());
static_assert(TrainingScheduler<DDPMScheduler> && TrainingScheduler<DDIMScheduler>);
static_assert(InverseScheduler<DDIMInverseScheduler> && !InverseScheduler<DDIMScheduler>);
static_assert(check_inversion_pair<DDIMInverseScheduler, DDIMScheduler>());
static_assert(!inverts<DDIMInverseScheduler, DDPMScheduler>);

namespace {

/// A sampler of one's own: jump to the predicted clean sample and add the noise of the next level.
struct RestartSampler : VariancePreserving {
    std::vector<index_t> steps;

    void set_timesteps(index_t n) { steps = spaced_timesteps(TimestepSpacing::trailing, schedule().size(), n, 0); }
    const std::vector<index_t>& timesteps() const { return steps; }
    template <class X, class Noise>
    X step(const X& output, index_t t, const X& x, Noise&& noise) const {
        const auto clean = mix(clean_mixture(PredictionType::epsilon, schedule().level(t)), x, output);
        return t == steps.back() ? clean : add_noise(clean, take_noise("RestartSampler", noise, x, t), t - 1);
    }
};
static_assert(check_scheduler<RestartSampler>());

struct ConstantNoise {
    Cpu* cpu;
    mutable int* calls;
    Tensor<double> operator()(const Shape& shape) const {
        ++*calls;
        return Tensor<double>::full(*cpu, shape, 0.5);
    }
};

template <class S>
Tensor<double> run(Cpu& cpu, S& scheduler, int* calls = nullptr) {
    int ignored = 0;
    auto x = Tensor<double>::from_host(cpu, {2, 3}, {0.3, -1.1, 0.9, 2.0, -0.2, 0.05});
    for (const auto t : scheduler.timesteps()) {
        const auto output = sine_model(PredictionType::epsilon, scheduler.scale_model_input(x, t), t);
        x = scheduler.step(output, t, x, ConstantNoise{&cpu, calls == nullptr ? &ignored : calls});
    }
    return x;
}

const NoiseScheduleConfig stable_diffusion{
    .beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = BetaSchedule::scaled_linear};

} // namespace

TEST_CASE_TEMPLATE("A scheduler can be used again, and its runs do not depend on earlier ones", S, DDIMScheduler,
                   DDPMScheduler, RestartSampler) {
    Cpu cpu(1);
    S scheduler;
    scheduler.set_timesteps(7);
    const auto first = run(cpu, scheduler);
    CHECK(first.shape() == Shape{2, 3});
    scheduler.set_timesteps(20);
    static_cast<void>(run(cpu, scheduler));
    scheduler.set_timesteps(7);
    CHECK(gap(run(cpu, scheduler), first) == 0);
    const S copy = scheduler;
    CHECK(copy.timesteps() == scheduler.timesteps());
    CHECK(scheduler.timesteps().size() == 7);
    CHECK(std::is_sorted(scheduler.timesteps().rbegin(), scheduler.timesteps().rend()));
}

TEST_CASE("Noise is drawn only when a step uses it") {
    Cpu cpu(1);
    int calls = 0;
    DDIMScheduler ddim;
    ddim.set_timesteps(10);
    static_cast<void>(run(cpu, ddim, &calls));
    CHECK(calls == 0);
    ddim.options.eta = 0.5;
    static_cast<void>(run(cpu, ddim, &calls));
    CHECK(calls == 10);
    calls = 0;
    DDPMScheduler ddpm;
    ddpm.set_timesteps(10);
    static_cast<void>(run(cpu, ddpm, &calls));
    CHECK(calls == 9); // none at timestep 0

    const auto x = Tensor<double>::full(cpu, {4}, 1.0);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddpm.step(x, 900, x)),
                         doctest::Contains("DDPMScheduler: the step at timestep 900 draws noise"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddim.step(x, 900, x)), doctest::Contains("draws noise"), Error);
    CHECK(ddpm.step(x, 0, x).defined());
    CHECK_THROWS_WITH_AS(static_cast<void>(ddpm.step(x, 900, x, Tensor<double>::full(cpu, {5}, 1.0))),
                         doctest::Contains("noise of shape [5] for a sample of shape [4]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddpm.step(x, 900, x, Tensor<double>{})), doctest::Contains("undefined"),
                         Error);
    CHECK(gap(ddpm.step(x, 900, x, x), ddpm.step(x, 900, x, [&](const Shape&) { return x; })) == 0);
}

TEST_CASE("Wrong use is refused with a reason") {
    Cpu cpu(1);
    const auto x = Tensor<float>::full(cpu, {2, 2}, 1.0F);
    DDIMScheduler ddim;
    CHECK_THROWS_WITH_AS(static_cast<void>(ddim.step(x, 1, x)), doctest::Contains("call set_timesteps() first"), Error);
    ddim.set_timesteps(10);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddim.step(x, 1000, x)), doctest::Contains("timestep 1000 is outside"),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddim.step(x, -1, x)), doctest::Contains("timestep -1 is outside"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddim.step(Tensor<float>::full(cpu, {4}, 1.0F), 1, x)),
                         doctest::Contains("model output of shape [4] for a sample of shape [2, 2]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddim.step(Tensor<float>{}, 1, x)), doctest::Contains("model output"), Error);
    ddim.options.eta = 1.5;
    CHECK_THROWS_WITH_AS(static_cast<void>(ddim.step(x, 1, x, x)), doctest::Contains("eta is 1.5"), Error);
    DDIMScheduler offset({.steps_offset = 1});
    CHECK_THROWS_WITH_AS(offset.set_timesteps(1000), doctest::Contains("begin at timestep 1000"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(DDIMScheduler({.clip_sample_range = 0})),
                         doctest::Contains("clip_sample_range is 0"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(DDPMScheduler({.steps_offset = -1})),
                         doctest::Contains("steps_offset is -1"), Error);
    DDPMScheduler ddpm;
    ddpm.set_timesteps(10);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddpm.step(x, 901, x, x)),
                         doctest::Contains("901 is not one of the 10 timesteps"), Error);
    DDIMScheduler zero({.schedule = {.rescale_betas_zero_snr = true}, .timestep_spacing = TimestepSpacing::trailing});
    zero.set_timesteps(4);
    CHECK_THROWS_WITH_AS(static_cast<void>(zero.step(x, 999, x)), doctest::Contains("zero terminal SNR"), Error);
}

TEST_CASE("predict_clean is the clipped clean sample that a step uses") {
    Cpu cpu(1);
    DDIMScheduler scheduler({.prediction_type = PredictionType::sample, .clip_sample_range = 0.5});
    scheduler.set_timesteps(10);
    const auto x = Tensor<double>::full(cpu, {3}, 0.2);
    const auto output = Tensor<double>::from_host(cpu, {3}, {-3.0, 0.25, 3.0});
    CHECK(scheduler.predict_clean(output, 500, x).to_host() == std::vector<double>{-0.5, 0.25, 0.5});
    CHECK(gap(scheduler.predict_clean(output, 0, x), scheduler.step(output, 0, x)) < 1e-2); // the last step ends there
}

TEST_CASE("fixed_large_log is the deviation of fixed_large") {
    Cpu cpu(1);
    const auto x = Tensor<double>::from_host(cpu, {2}, {0.4, -0.9});
    DDPMScheduler plain({.variance_type = VarianceType::fixed_large});
    DDPMScheduler log({.variance_type = VarianceType::fixed_large_log});
    CHECK(gap(log.step(x, 500, x, x), plain.step(x, 500, x, x)) == 0);
}

TEST_CASE_TEMPLATE("Inversion then sampling returns the start, for every prediction type and spacing", T, double,
                   float) {
    Cpu cpu(1);
    const auto start = Tensor<T>::from_host(cpu, {2, 2}, {T(0.3), T(-1.1), T(0.9), T(2.0)});
    const auto output = Tensor<T>::from_host(cpu, {2, 2}, {T(-0.5), T(0.7), T(1.2), T(-0.1)});
    for (const auto& type : prediction_type_names) {
        for (const auto& spacing : timestep_spacing_names) {
            for (const index_t steps : {1, 7, 50, 300, 999}) {
                CAPTURE(type.name);
                CAPTURE(spacing.name);
                CAPTURE(steps);
                const DDIMConfig config = stable_diffusion_fixes({.schedule = stable_diffusion,
                                                                  .prediction_type = type.value,
                                                                  .set_alpha_to_one = false,
                                                                  .timestep_spacing = spacing.value});
                DDIMInverseScheduler inversion(config);
                DDIMScheduler sampler(config);
                inversion.set_timesteps(steps);
                sampler.set_timesteps(steps);
                auto x = start;
                for (const index_t t : inversion.timesteps()) {
                    x = inversion.invert_step(output, t, x);
                }
                for (const index_t t : sampler.timesteps()) {
                    x = sampler.step(output, t, x);
                }
                // A float cannot keep what is left of the start at the highest levels: signal there is 0.07 or less.
                CHECK(gap(x, start) < (std::is_same_v<T, double> ? 1e-10 : 1e-3));
            }
        }
    }
}

TEST_CASE("The reference's inversion does not return for v-prediction: that is what exact is for") {
    Cpu cpu(1);
    const auto start = Tensor<double>::from_host(cpu, {2}, {0.3, -1.1});
    const auto output = Tensor<double>::from_host(cpu, {2}, {-0.5, 0.7});
    for (const auto formula : {InversionFormula::reference, InversionFormula::current_level}) {
        const DDIMConfig config = stable_diffusion_fixes(
            {.schedule = stable_diffusion, .prediction_type = PredictionType::v_prediction, .set_alpha_to_one = false});
        DDIMInverseScheduler inversion(config, formula);
        DDIMScheduler sampler(config);
        inversion.set_timesteps(20);
        sampler.set_timesteps(20);
        auto x = start;
        for (const index_t t : inversion.timesteps()) {
            x = inversion.invert_step(output, t, x);
        }
        for (const index_t t : sampler.timesteps()) {
            x = sampler.step(output, t, x);
        }
        CHECK(gap(x, start) > 1e-2);
    }
}

TEST_CASE_TEMPLATE("current_level clips the clean sample where the configuration says so", T, double, float) {
    Cpu cpu(1);
    const auto x = Tensor<T>::from_host(cpu, {4}, {T(0.3), T(-1.9), T(1.6), T(-0.2)});
    const auto output = Tensor<T>::from_host(cpu, {4}, {T(-0.4), T(0.8), T(-1.1), T(0.1)});
    for (const auto& type : prediction_type_names) {
        CAPTURE(type.name);
        const DDIMConfig config{.schedule = stable_diffusion, .prediction_type = type.value, .clip_sample_range = 0.7};
        DDIMInverseScheduler inversion(config, InversionFormula::current_level);
        inversion.set_timesteps(10);
        const NoiseLevel low = NoiseSchedule(stable_diffusion).level(400);
        const NoiseLevel high = NoiseSchedule(stable_diffusion).level(500);
        const auto clean = mix(clean_mixture(type.value, low), x, output).to_host();
        const auto noise = mix(noise_mixture(type.value, low), x, output).to_host();
        std::vector<double> expected;
        for (std::size_t i = 0; i < clean.size(); ++i) {
            expected.push_back(high.signal * std::clamp(static_cast<double>(clean[i]), -0.7, 0.7) +
                               high.noise * static_cast<double>(noise[i]));
        }
        CHECK(std::abs(clean[1]) > 0.7); // something is clipped
        CHECK(gap(inversion.invert_step(output, 500, x).to_host(), expected) < 1e-6);
    }
}

TEST_CASE("Steps without an inverse are refused") {
    Cpu cpu(1);
    const auto x = Tensor<float>::full(cpu, {2}, 1.0F);
    CHECK_THROWS_WITH_AS(static_cast<void>(DDIMInverseScheduler(DDIMConfig{})),
                         doctest::Contains("clip_sample is true"), Error);
    CHECK(DDIMInverseScheduler(DDIMConfig{}, InversionFormula::reference).config().clip_sample);
    DDIMInverseScheduler inversion({.prediction_type = PredictionType::sample, .clip_sample = false});
    inversion.set_timesteps(10);
    CHECK_THROWS_WITH_AS(static_cast<void>(inversion.invert_step(x, 0, x)), doctest::Contains("level without noise"),
                         Error);
    DDIMInverseScheduler offset({.clip_sample = false, .steps_offset = 1});
    CHECK_THROWS_WITH_AS(offset.set_timesteps(1000), doctest::Contains("begin at timestep 1000"), Error);
}
