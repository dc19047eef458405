// Inversions: against diffusers, on an exact model, and in pairs with samplers.

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <reel/core/random.hpp>
#include <reel/schedulers/config/inversion_config.hpp>
#include <reel/schedulers/edit_friendly.hpp>

#include "contract.hpp"

using namespace reel;
using namespace reel::test;

using DpmSampler = DPMSolverMultistepScheduler<double>;
using DpmInversion = DPMSolverMultistepInverseScheduler<double>;

static_assert(InverseScheduler<DpmInversion, double> && !Scheduler<DpmInversion, double>);
static_assert(check_inversion_pair<DpmInversion, DpmSampler>());
static_assert(!inverts<DpmInversion, DDIMScheduler> && !inverts<DDIMInverseScheduler, DpmSampler>);
static_assert(!inverts<DPMSolverMultistepInverseScheduler<float>, DpmSampler>);
static_assert(inverts<EditFriendlyTrace<DDPMScheduler>, DDPMScheduler>);
static_assert(!inverts<EditFriendlyTrace<DDPMScheduler>, DDIMScheduler>);
static_assert(check_scheduler<EditFriendlySampler<DDPMScheduler>>());

namespace {

template <class T>
void compare_with_diffusers(double limit, bool add_as_is) {
    Cpu cpu(1);
    const StateDict tensors = read_safetensors("schedulers/golden/dpm_inverse.safetensors");
    const nlohmann::json golden = read_json("schedulers/golden/dpm_inverse.json");
    std::size_t checked = 0;
    double worst = 0;
    for (const auto& item : golden["cases"]) {
        const auto name = item["name"].get<std::string>();
        nlohmann::json config = golden["base"];
        config.update(item["config"]);
        config["sigma_timesteps"] = "exact"; // made with NumPy 1
        for (const auto& [count, as_is] : item["as_is"].items()) {
            CAPTURE(name);
            CAPTURE(count);
            auto inversion = inversion_from_config<DPMSolverMultistepInverseScheduler<T>>(config, name);
            inversion.set_timesteps(std::stoll(count));
            CHECK(inversion.timesteps() ==
                  tensors.at(name + "." + count + ".timesteps").template to_vector<std::int64_t>());
            auto x = golden_tensor<T>(cpu, tensors, "start");
            auto states = x.to_host();
            const std::size_t steps = inversion.timesteps().size();
            std::size_t i = 0;
            for (const index_t t : inversion.timesteps()) {
                x = inversion.invert_step(sine_model(inversion.config().prediction_type, x, t), t, x);
                ++i;
                if (steps < 40 || i % 5 == 0 || i == steps) {
                    const auto values = x.to_host();
                    states.insert(states.end(), values.begin(), values.end());
                }
            }
            const auto expected = tensors.at(name + "." + count + ".states").template to_vector<double>();
            const double difference = gap(states, expected) + (add_as_is ? as_is.template get<double>() : 0);
            CHECK(difference <= limit);
            worst = std::max(worst, difference);
            ++checked;
        }
    }
    CHECK(checked == 102);
    MESSAGE("DPM-Solver inversion: worst relative gap " << worst);
}

/// Up and down again, asked for the exact model's predictions of one type.
template <class I, class S>
double there_and_back(Cpu& cpu, I& inversion, S& sampler, PredictionType type, index_t steps) {
    const AnalyticModel<double> model(cpu, contract_clusters);
    inversion.set_timesteps(steps);
    sampler.set_timesteps(steps);
    require_inversion_pair(inversion, sampler);
    const auto start = contract_points<double>(cpu);
    auto x = start;
    for (const index_t t : inversion.timesteps()) {
        x = inversion.invert_step(model(type, x, static_cast<double>(t)), t, x);
    }
    CHECK(distance(x, start) > 0.3); // it did go somewhere
    for (const index_t t : sampler.timesteps()) {
        x = sampler.step(model(type, x, static_cast<double>(t)), t, x);
    }
    return distance(x, start);
}

struct Scheduled {
    const char* name;
    nlohmann::json config;
    double eta;
};

const std::vector<Scheduled> drawing{
    {"DDPMScheduler", {{"clip_sample", false}}, 0},
    {"DDPMScheduler", {{"clip_sample", true}, {"variance_type", "fixed_large"}}, 0},
    {"DDIMScheduler", {{"clip_sample", false}}, 1},
    {"DDIMScheduler", {{"clip_sample", false}, {"set_alpha_to_one", false}, {"steps_offset", 1}}, 0.3},
    {"DPMSolverMultistepScheduler", {{"algorithm_type", "sde-dpmsolver++"}}, 0},
    {"EulerAncestralDiscreteScheduler", {{"timestep_spacing", "trailing"}}, 0},
};

template <class T>
struct DrawnNoise {
    Cpu* cpu;
    std::uint64_t stream = 0;
    Tensor<T> operator()(const Shape& shape) {
        Tensor<T> noise(*cpu, shape);
        fill_normal(*cpu, noise, 5, stream++);
        return noise;
    }
};

} // namespace

TEST_CASE("DPM-Solver inversion equals diffusers'") {
    compare_with_diffusers<double>(1e-9, false);
    compare_with_diffusers<double>(1e-5, true); // with its float32 coefficients
    compare_with_diffusers<float>(1e-4, false);
}

TEST_CASE("DPM-Solver inversion and sampling follow one flow: the way back misses by the order's power of the step") {
    Cpu cpu(1); // outlives the samplers, which keep tensors
    for (const auto& type : prediction_type_names) {
        for (const index_t order : {1, 2}) {
            for (const auto algorithm : {SolverAlgorithm::dpmsolver_pp, SolverAlgorithm::dpmsolver}) {
                CAPTURE(type.name);
                CAPTURE(order);
                CAPTURE(name_in(solver_algorithm_names, algorithm));
                const DpmInversion made({.schedule = contract_schedule,
                                         .prediction_type = type.value,
                                         .solver_order = order,
                                         .algorithm_type = algorithm});
                DpmInversion inversion = made;
                DpmSampler sampler(inversion.sampler_config());
                const double coarse = there_and_back(cpu, inversion, sampler, type.value, 128);
                const double fine = there_and_back(cpu, inversion, sampler, type.value, 512);
                const double measured = std::log2(coarse / fine) / 2;
                MESSAGE("order " << order << ", " << type.name << ": " << coarse << ", " << fine << ": " << measured);
                // With the noise integrated, the first step (of first order, from nearly no noise) is what is left.
                CHECK(measured > (algorithm == SolverAlgorithm::dpmsolver ? 1 : static_cast<double>(order)) - 0.35);
                CHECK(fine < (order == 1 ? 0.05 : 0.01));
            }
        }
    }
}

TEST_CASE("DDIM inversion on the exact model: first order, for every prediction type") {
    Cpu cpu(1);
    for (const auto& type : prediction_type_names) {
        CAPTURE(type.name);
        const DDIMConfig config = {.schedule = contract_schedule,
                                   .prediction_type = type.value,
                                   .clip_sample = false,
                                   .set_alpha_to_one = false};
        DDIMInverseScheduler inversion(config);
        DDIMScheduler sampler(config);
        const double coarse = there_and_back(cpu, inversion, sampler, type.value, 64);
        const double fine = there_and_back(cpu, inversion, sampler, type.value, 256);
        MESSAGE(type.name << ": " << coarse << ", " << fine);
        CHECK(std::log2(coarse / fine) / 2 > 0.65);
        CHECK(fine < 0.1);
    }
}

TEST_CASE_TEMPLATE("Edit-friendly inversion: sampling with its noise gives the source, for every prediction type", T,
                   double, float) {
    Cpu cpu(1);
    const AnalyticModel<T> model(cpu, contract_clusters);
    const auto source = contract_points<T>(cpu);
    for (const Scheduled& each : drawing) {
        for (const auto& type : prediction_type_names) {
            for (const index_t steps : {1, 7, 50}) {
                CAPTURE(each.name);
                CAPTURE(type.name);
                CAPTURE(steps);
                nlohmann::json config = each.config;
                config["num_train_timesteps"] = 1025;
                config["prediction_type"] = type.name;
                auto scheduler = make_scheduler<T>(each.name, config);
                scheduler.set_eta(each.eta);
                const auto predict = [&](const Tensor<T>& x, double t) { return model(type.value, x, t); };
                const auto trace = edit_friendly_inversion(scheduler, steps, source, predict, DrawnNoise<T>{&cpu});
                for (const index_t skip : {index_t{0}, steps / 2}) {
                    EditFriendlySampler sampler(scheduler, trace, skip);
                    sampler.set_timesteps(steps);
                    auto x = sampler.start();
                    for (const double t : sampler.timesteps()) {
                        x = sampler.step(predict(sampler.scale_model_input(x, t), t), t, x);
                    }
                    // The same operations on the same numbers but for the last sum, which rounds once.
                    CHECK(gap(x, source) < (std::is_same_v<T, double> ? 1e-15 : 1e-7));
                }
                if (steps == 1) {
                    continue; // for DDPM that is timestep 0 alone
                }
                // A run that begins later by itself is one that was told to, whatever the sampler remembers.
                EditFriendlySampler all(trace);
                EditFriendlySampler told(trace, steps / 2);
                auto y = told.start();
                auto z = y;
                for (const double t : told.timesteps()) {
                    const auto output = scale(predict(told.scale_model_input(y, t), t), T(0.5));
                    static_cast<void>(all.scale_model_input(z, t));
                    y = told.step(output, t, y);
                    z = all.step(output, t, z);
                }
                CHECK(y.to_host() == z.to_host());
                // Kept levels and outputs are the inversion again.
                std::size_t asked = 0;
                std::vector<Tensor<T>> outputs;
                for (std::size_t i = 0; i < trace.samples.size(); ++i) {
                    auto before = trace.schedulers[i];
                    const double t = before.timesteps()[i];
                    outputs.push_back(predict(before.scale_model_input(trace.samples[i], t), t));
                }
                const auto again = edit_friendly_trace(scheduler, steps, trace.samples, source,
                                                       [&](const auto&, double) { return outputs[asked++]; });
                CHECK(gap(again.noise[1], trace.noise[1]) < (std::is_same_v<T, double> ? 1e-12 : 1e-3));
                CHECK(gap(again.samples.back(), trace.samples.back()) < (std::is_same_v<T, double> ? 1e-15 : 1e-6));
                // Another model ends elsewhere: the noise alone does not make the source.
                const AnalyticModel<T> other(cpu, {{.mean = {-1, 1}, .deviation = 0.3}});
                EditFriendlySampler edit(trace);
                auto x = edit.start();
                for (const double t : edit.timesteps()) {
                    x = edit.step(other(type.value, edit.scale_model_input(x, t), t), t, x);
                }
                CHECK(gap(x, source) > 0.05);
            }
        }
    }
}

TEST_CASE("The noise of edit-friendly inversion is larger and less independent than noise that was drawn") {
    // Section 3 of the paper: the variance of z is above 1, and neighbours correlate negatively.
    Cpu cpu(1);
    const AnalyticModel<double> model(cpu, contract_clusters);
    Tensor<double> source(cpu, {2000, 2});
    fill_normal(cpu, source, 3, 77);
    const DDPMScheduler scheduler({.schedule = contract_schedule, .clip_sample = false});
    const auto trace = edit_friendly_inversion(
        scheduler, 50, source, [&](const Tensor<double>& x, double t) { return model(PredictionType::epsilon, x, t); },
        DrawnNoise<double>{&cpu});
    double variance = 0;
    double product = 0;
    for (std::size_t i = 20; i < 40; ++i) {
        const auto now = trace.noise[i].to_host();
        const auto next = trace.noise[i + 1].to_host();
        for (std::size_t k = 0; k < now.size(); ++k) {
            variance += now[k] * now[k] / 80000;
            product += now[k] * next[k] / 80000;
        }
    }
    CHECK(variance > 1.2);
    CHECK(product / variance < -0.1);
}

TEST_CASE("An inversion's steps lead to the levels at which its sampler's begin") {
    for (const index_t steps : {1, 2, 7, 20, 50}) {
        DpmInversion up(DPMSolverMultistepInverseScheduler<double>({.schedule = contract_schedule}).sampler_config());
        up.set_timesteps(steps);
        DpmSampler down(up.config());
        down.set_timesteps(steps);
        std::vector<index_t> levels = up.reached();
        const std::vector<double> table = training_sigmas(NoiseSchedule(contract_schedule));
        for (std::size_t k = 0; k < levels.size(); ++k) {
            CHECK(up.sigmas()[k + 1] == doctest::Approx(table[static_cast<std::size_t>(levels[k])]));
        }
        std::ranges::reverse(levels);
        CHECK(levels == down.timesteps());
    }
    DpmInversion spread({.sigma_spacing = SigmaSpacing::karras});
    spread.set_timesteps(5);
    CHECK(spread.reached().size() == 5);
    CHECK(spread.reached().front() == spread.timesteps()[1]);
    CHECK(spread.reached().back() == spread.timesteps()[4]); // the last step goes nowhere
}

TEST_CASE("Pairs that do not fit are refused with a reason") {
    Cpu cpu(1);
    const DDIMConfig config{.schedule = contract_schedule, .clip_sample = false};
    DDIMInverseScheduler inversion(config);
    DDIMScheduler sampler(config);
    inversion.set_timesteps(10);
    sampler.set_timesteps(10);
    require_inversion_pair(inversion, sampler);
    sampler.set_timesteps(20);
    CHECK_THROWS_WITH_AS(require_inversion_pair(inversion, sampler),
                         doctest::Contains("the sampler takes 20 steps and the inversion 10"), Error);
    sampler.set_timesteps(10);
    sampler.options.eta = 0.5;
    CHECK_THROWS_WITH_AS(require_inversion_pair(inversion, sampler), doctest::Contains("eta is 0.5"), Error);
    DDIMScheduler other({.schedule = contract_schedule, .clip_sample = false, .set_alpha_to_one = false});
    other.set_timesteps(10);
    CHECK_THROWS_WITH_AS(require_inversion_pair(inversion, other), doctest::Contains("another configuration"), Error);

    DpmInversion up(DPMSolverMultistepConfig{});
    up.set_timesteps(20);
    DpmSampler down(up.sampler_config());
    down.set_timesteps(20);
    require_inversion_pair(up, down);
    down.set_timesteps(19);
    CHECK_THROWS_WITH_AS(require_inversion_pair(up, down), doctest::Contains("noise levels in reverse"), Error);
    DpmSampler to_zero(DPMSolverMultistepConfig{});
    to_zero.set_timesteps(20);
    CHECK_THROWS_WITH_AS(require_inversion_pair(up, to_zero), doctest::Contains("sampler_config()"), Error);
    DpmSampler noisy({.algorithm_type = SolverAlgorithm::sde_dpmsolver_pp});
    noisy.set_timesteps(20);
    CHECK_THROWS_WITH_AS(require_inversion_pair(up, noisy), doctest::Contains("sde-dpmsolver++ draws noise"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(DpmInversion({.algorithm_type = SolverAlgorithm::sde_dpmsolver_pp})),
                         doctest::Contains("draws noise, and cannot be run backwards"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(DpmInversion({.threshold = {.thresholding = true}})),
                         doctest::Contains("thresholding cannot be undone"), Error);
    CHECK_THROWS_AS(up.set_timesteps(0), Error);
    CHECK_THROWS_AS(up.set_timesteps(1000), Error);
    const auto x = Tensor<double>::full(cpu, {2}, 1.0);
    up.set_timesteps(20);
    CHECK_THROWS_WITH_AS(static_cast<void>(up.invert_step(x, 999, x)), doctest::Contains("timestep 999"), Error);

    // by name
    require_inversion_pair(inversion, [] {
        AnyScheduler<double> any("DDIMScheduler", DDIMScheduler({.schedule = contract_schedule, .clip_sample = false}));
        any.set_timesteps(10);
        return any;
    }());
    CHECK_THROWS_WITH_AS(
        require_inversion_pair(inversion, make_scheduler<double>("ddpm")),
        doctest::Contains("DDIMInverseScheduler: its result does not suit DDPMScheduler; sample with DDIMScheduler"),
        Error);
    CHECK_THROWS_WITH_AS(require_inversion_pair(up, make_scheduler<double>("ddim")),
                         doctest::Contains("sample with DPMSolverMultistepScheduler"), Error);
}

TEST_CASE("Edit-friendly inversion and its sampler refuse what does not fit") {
    Cpu cpu(1);
    const auto x = Tensor<double>::full(cpu, {1, 2}, 0.5);
    const AnalyticModel<double> model(cpu, contract_clusters);
    const auto predict = [&](const Tensor<double>& input, double t) {
        return model(PredictionType::epsilon, input, t);
    };
    const auto invert = [&](const auto& scheduler) {
        return edit_friendly_inversion(scheduler, 5, x, predict, DrawnNoise<double>{&cpu});
    };
    CHECK_THROWS_WITH_AS(static_cast<void>(invert(make_scheduler<double>("ddim"))),
                         doctest::Contains("DDIMScheduler draws no noise at timestep"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(invert(make_scheduler<double>("pndm"))),
                         doctest::Contains("asks the model twice"), Error);
    const auto trace = invert(DDPMScheduler({.clip_sample = false}));
    CHECK_THROWS_WITH_AS(static_cast<void>(EditFriendlySampler(trace, 5)), doctest::Contains("5 steps to skip of 5"),
                         Error);
    EditFriendlySampler sampler(trace, 2);
    CHECK(sampler.timesteps().size() == 3);
    CHECK_THROWS_WITH_AS(sampler.set_timesteps(7), doctest::Contains("7 steps asked for, but the inversion had 5"),
                         Error);
    const index_t first = sampler.timesteps().front();
    CHECK_THROWS_WITH_AS(static_cast<void>(sampler.step(x, first + 1, x)), doctest::Contains("not the next one"),
                         Error);
    static_cast<void>(sampler.step(x, first, x));
    CHECK_THROWS_WITH_AS(static_cast<void>(sampler.step(x, 0, x)), doctest::Contains("not the next one"), Error);
    CHECK_THROWS_WITH_AS(check_edit_friendly<double>(make_scheduler<double>("ddim"), 5, cpu),
                         doctest::Contains("draws no noise"), Error);
    check_edit_friendly<double>(make_scheduler<double>("ddpm"), 5, cpu);
    CHECK_THROWS_WITH_AS(static_cast<void>(EditFriendlySampler(DDPMScheduler(), trace)),
                         doctest::Contains("another configuration"), Error);
    const auto any = invert(make_scheduler<double>("ddpm"));
    AnyScheduler<double> ddim = make_scheduler<double>("ddim");
    ddim.set_eta(1);
    CHECK_THROWS_WITH_AS(static_cast<void>(EditFriendlySampler(ddim, any)),
                         doctest::Contains("made for DDPMScheduler, and its noise does not suit DDIMScheduler"), Error);
    CHECK_THROWS_WITH_AS(
        static_cast<void>(EditFriendlySampler(make_scheduler<double>("ddpm", {{"clip_sample", false}}), any)),
        doctest::Contains("DDPMScheduler of another configuration"), Error);
}
