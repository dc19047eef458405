// Whole trajectories against diffusers: the cases of make_multistep_golden.py.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string>

#include <reel/schedulers/config/multistep_config.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

static_assert(check_scheduler<PNDMScheduler<>>() && check_scheduler<PNDMScheduler<double>, double>());
static_assert(check_scheduler<LCMScheduler>() && check_scheduler<LCMScheduler, double>());
static_assert(check_scheduler<TCDScheduler>() && check_scheduler<TCDScheduler, double>());
static_assert(check_scheduler<DPMSolverMultistepScheduler<>>());
static_assert(check_scheduler<DPMSolverMultistepScheduler<double>, double>());
static_assert(check_scheduler<DPMSolverSinglestepScheduler<>>());
static_assert(check_scheduler<DPMSolverSinglestepScheduler<double>, double>());
static_assert(check_scheduler<DEISMultistepScheduler<>>() && check_scheduler<DEISMultistepScheduler<double>, double>());
static_assert(check_scheduler<UniPCMultistepScheduler<>>());
static_assert(check_scheduler<UniPCMultistepScheduler<double>, double>());

namespace {

struct Golden {
    explicit Golden(const std::string& name)
        : tensors(read_safetensors("schedulers/golden/" + name + ".safetensors")),
          json(read_json("schedulers/golden/" + name + ".json")), numpy1(name == "multistep_recent") {}
    StateDict tensors;
    nlohmann::json json;
    bool numpy1; ///< made with NumPy 1, under which diffusers finds other timesteps of spread sigmas
};

template <class T>
struct Run {
    std::vector<index_t> timesteps;
    std::vector<T> states; ///< those that the generator keeps
};

template <class T, class S>
Run<T> sample(Cpu& cpu, S& scheduler, const Golden& golden) {
    auto x = golden_tensor<T>(cpu, golden.tensors, "start");
    const auto noise = golden_tensor<T>(cpu, golden.tensors, "noise");
    Run<T> run{scheduler.timesteps(), x.to_host()};
    const auto steps = static_cast<index_t>(run.timesteps.size());
    for (index_t i = 0; i < steps; ++i) {
        const index_t t = run.timesteps[static_cast<std::size_t>(i)];
        const index_t row = i % noise.shape(0);
        const auto source = [&](const Shape& shape) { return noise.slice(row, row + 1).reshape(shape); };
        const auto output = sine_model(scheduler.config().prediction_type, scheduler.scale_model_input(x, t), t);
        x = scheduler.step(output, t, x, source);
        if (steps < 40 || (i + 1) % 10 == 0 || i + 1 == steps) {
            const auto values = x.to_host();
            run.states.insert(run.states.end(), values.begin(), values.end());
        }
    }
    return run;
}

template <class T>
Run<T> run_case(Cpu& cpu, const Golden& golden, const nlohmann::json& item, index_t count) {
    const auto kind = item["scheduler"].get<std::string>();
    nlohmann::json config = golden.json["base"];
    config.update(item["config"]);
    if (golden.numpy1) {
        config["sigma_timesteps"] = "exact";
    }
    const double strength = item["plan"].value("strength", 1.0);
    const auto run = [&]<class S>() {
        S scheduler = scheduler_from_config<S>(config, "config");
        scheduler.set_timesteps(count);
        return sample<T>(cpu, scheduler, golden);
    };
    if (kind == "PNDMScheduler") {
        return run.template operator()<PNDMScheduler<T>>();
    }
    if (kind == "LCMScheduler") {
        auto scheduler = scheduler_from_config<LCMScheduler>(config, "config");
        scheduler.set_timesteps(count, strength);
        return sample<T>(cpu, scheduler, golden);
    }
    if (kind == "TCDScheduler") {
        auto scheduler = scheduler_from_config<TCDScheduler>(config, "config");
        scheduler.options.eta = item["call"].value("eta", scheduler.options.eta);
        scheduler.set_timesteps(count, strength);
        return sample<T>(cpu, scheduler, golden);
    }
    if (kind == "DPMSolverMultistepScheduler") {
        return run.template operator()<DPMSolverMultistepScheduler<T>>();
    }
    if (kind == "DPMSolverSinglestepScheduler") {
        return run.template operator()<DPMSolverSinglestepScheduler<T>>();
    }
    if (kind == "DEISMultistepScheduler") {
        return run.template operator()<DEISMultistepScheduler<T>>();
    }
    if (kind == "UniPCMultistepScheduler") {
        return run.template operator()<UniPCMultistepScheduler<T>>();
    }
    fail("no such scheduler: ", kind);
}

/// How far reel may be from diffusers' code in float64, and from diffusers as it is.
struct Limits {
    double exact;
    double as_is;
};

Limits limits_of(const std::string& file, const nlohmann::json& item) {
    const auto kind = item["scheduler"].get<std::string>();
    const auto& config = item["config"];
    if (config.value("algorithm_type", "") == "sde-dpmsolver++" && config.value("solver_order", 2) == 3 &&
        config.value("solver_type", "") == "heun") {
        return {1e-8, INFINITY}; // an unstable formula: diffusers in float32 is not near itself in float64
    }
    if (file == "multistep_flow") { // float32 loses digits of 1 - s, and of what is divided by it
        const bool noise = config.value("algorithm_type", "") == "dpmsolver";
        return noise ? Limits{1e-9, INFINITY} : Limits{1e-11, kind == "DEISMultistepScheduler" ? 1e-3 : 3e-5};
    }
    if (kind == "DEISMultistepScheduler") {
        return {1e-11, 5e-4}; // diffusers computes its coefficients in float32, and digits cancel
    }
    // 0.11.1 keeps signal, noise and lambda in float32, later releases (and reel) sigma alone; Lu's lambdas are
    // logarithms in float32.
    const bool rounded =
        (file == "multistep_old" && kind == "DPMSolverMultistepScheduler") || config.value("use_lu_lambdas", false);
    return {rounded ? 2e-6 : 1e-11, 1e-5};
}

/// Largest difference relative to the largest expected value of the run that starts at `from`.
template <class T>
double run_gap(const std::vector<T>& values, const std::vector<double>& expected, std::size_t from) {
    require(from + values.size() <= expected.size(), "run_gap: the golden run is shorter");
    const auto begin = expected.begin() + static_cast<std::ptrdiff_t>(from);
    return gap(values, std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(values.size())));
}

void check_file(const std::string& file, std::size_t expected_cases) {
    Cpu cpu(1);
    const Golden golden(file);
    CHECK(golden.json["cases"].size() == expected_cases);
    double worst_exact = 0;
    double worst_as_is = 0;
    double worst_float = 0;
    for (const auto& item : golden.json["cases"]) {
        const auto name = item["name"].get<std::string>();
        const Limits limits = limits_of(file, item);
        const auto states = golden.tensors.at(name + ".states").template to_vector<double>();
        const auto timesteps = golden.tensors.at(name + ".timesteps").template to_vector<std::int32_t>();
        std::size_t from = 0;
        std::vector<std::int32_t> visited;
        for (const auto& entry : item["as_is"]) {
            const auto count = entry[0].template get<index_t>();
            CAPTURE(name);
            CAPTURE(count);
            const auto wide = run_case<double>(cpu, golden, item, count);
            std::transform(wide.timesteps.begin(), wide.timesteps.end(), std::back_inserter(visited),
                           [](index_t timestep) { return static_cast<std::int32_t>(timestep); });
            const double exact_gap = run_gap(wide.states, states, from);
            const double as_is_gap = exact_gap + entry[1].template get<double>();
            CHECK(exact_gap <= limits.exact);
            CHECK(as_is_gap <= limits.as_is);
            worst_exact = std::max(worst_exact, limits.exact < 1e-10 ? exact_gap : 0);
            worst_as_is = std::max(worst_as_is, limits.as_is < 1e-4 ? as_is_gap : 0);
            if (limits.as_is < 1) {
                const double float_gap = run_gap(run_case<float>(cpu, golden, item, count).states, states, from);
                CHECK(float_gap <= 1e-4);
                worst_float = std::max(worst_float, float_gap);
            }
            from += wide.states.size();
        }
        CHECK(from == states.size());
        CHECK(visited == timesteps);
    }
    MESSAGE(file << ": worst relative gap: double " << worst_exact << ", to diffusers as it is " << worst_as_is
                 << ", float " << worst_float);
}

} // namespace

TEST_CASE("Trajectories of a recent diffusers") {
    check_file("multistep_recent", 262);
}

TEST_CASE("Trajectories of a recent diffusers with spread sigmas, under NumPy 2") {
    check_file("multistep_spread", 27);
}

TEST_CASE("Trajectories of a recent diffusers with flow sigmas") {
    check_file("multistep_flow", 76);
}

TEST_CASE("Timesteps of flow sigmas are those of a recent diffusers, whatever the number of steps") {
    const Golden golden("multistep_flow");
    const auto check = [&]<class S>(const std::string& name, const S&) {
        for (const double shift : {1.0, 3.0, 0.4}) {
            const std::string key = "timesteps." + name + (shift == 1.0 ? ".1.0" : shift == 3.0 ? ".3.0" : ".0.4");
            const auto expected = golden.tensors.at(key).to_vector<std::int64_t>();
            REQUIRE(expected.size() == 999);
            S scheduler({.use_flow_sigmas = true, .flow_shift = shift});
            for (index_t count = 1; count < 1000; ++count) {
                scheduler.set_timesteps(count);
                std::int64_t sum = 0; // of timesteps times their positions
                for (index_t i = 0; i < count; ++i) {
                    sum += (i + 1) * scheduler.timesteps()[static_cast<std::size_t>(i)];
                }
                CAPTURE(key);
                CAPTURE(count);
                CHECK(sum == expected[static_cast<std::size_t>(count - 1)]);
            }
        }
    };
    check("dpm", DPMSolverMultistepScheduler<>());
    check("unipc", UniPCMultistepScheduler<>());
}

TEST_CASE("Trajectories of diffusers 0.11.1") {
    check_file("multistep_old", 41);
}
