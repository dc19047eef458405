// Whole trajectories of the samplers in sigma against diffusers, from golden/sigma_*.{json,safetensors}; see
// make_sigma_golden.py.

#include <doctest/doctest.h>

#include <map>
#include <string>

#include <reel/schedulers/config/sigma_config.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

namespace {

template <class S>
void set_options(S& scheduler, const nlohmann::json& step) {
    if constexpr (requires { scheduler.options.s_churn; }) {
        scheduler.options.s_churn = step.value("s_churn", scheduler.options.s_churn);
        scheduler.options.s_tmin = step.value("s_tmin", scheduler.options.s_tmin);
        scheduler.options.s_tmax = step.value("s_tmax", scheduler.options.s_tmax);
        scheduler.options.s_noise = step.value("s_noise", scheduler.options.s_noise);
    }
    if constexpr (requires { scheduler.options.order; }) {
        scheduler.options.order = step.value("order", scheduler.options.order);
    }
}

template <class T>
struct Run {
    std::vector<double> timesteps;
    std::vector<Tensor<T>> states;
};

template <class S, class T>
Run<T> sample(const nlohmann::json& item, index_t steps, const Tensor<T>& start, const Tensor<T>& noise) {
    auto scheduler = scheduler_from_config<S>(item["config"], "config");
    set_options(scheduler, item["step"]);
    if (item["step"].contains("custom")) {
        if constexpr (requires { scheduler.set_run(SigmaRun{}); }) {
            const auto n = static_cast<double>(steps);
            std::vector<double> values;
            if (item["step"]["custom"] == "timesteps") {
                for (index_t i = 0; i < steps; ++i) {
                    values.push_back(999 * std::pow(1 - static_cast<double>(i) / n, 1.5));
                }
                scheduler.set_run(sigma_run_at(scheduler.schedule(), values));
            } else {
                for (index_t i = 0; i <= steps; ++i) {
                    values.push_back(12 * std::pow(1 - static_cast<double>(i) / n, 3));
                }
                scheduler.set_run(sigma_run_through(scheduler.schedule(), values));
            }
        }
    } else {
        scheduler.set_timesteps(steps);
    }
    Tensor<T> x = scale(start, static_cast<T>(scheduler.init_noise_sigma()));
    Run<T> run{scheduler.timesteps(), {x}};
    index_t call = 0;
    for (const double t : run.timesteps) {
        const index_t row = call++ % noise.shape(0);
        const auto source = [&](const Shape& shape) { return noise.slice(row, row + 1).reshape(shape); };
        const auto output = sine_model(scheduler.config().prediction_type, scheduler.scale_model_input(x, t), t);
        x = scheduler.step(output, t, x, source);
        run.states.push_back(x);
    }
    return run;
}

template <class T>
Run<T> run_case(const nlohmann::json& item, index_t steps, const Tensor<T>& start, const Tensor<T>& noise) {
    using Function = Run<T> (*)(const nlohmann::json&, index_t, const Tensor<T>&, const Tensor<T>&);
    static const std::map<std::string, Function> classes{
        {"EulerDiscreteScheduler", sample<EulerDiscreteScheduler, T>},
        {"EulerAncestralDiscreteScheduler", sample<EulerAncestralDiscreteScheduler, T>},
        {"LMSDiscreteScheduler", sample<LMSDiscreteScheduler<T>, T>},
        {"HeunDiscreteScheduler", sample<HeunDiscreteScheduler<T>, T>},
        {"KDPM2DiscreteScheduler", sample<KDPM2DiscreteScheduler<T>, T>},
        {"KDPM2AncestralDiscreteScheduler", sample<KDPM2AncestralDiscreteScheduler<T>, T>},
        {"EDMEulerScheduler", sample<EDMEulerScheduler, T>},
    };
    return classes.at(item["class"].get<std::string>())(item, steps, start, noise);
}

/// Which states are compared: state 0 is the start.
std::vector<std::size_t> kept_states(std::size_t calls) {
    std::vector<std::size_t> kept{1, 2, calls / 2, calls};
    std::sort(kept.begin(), kept.end());
    kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
    return kept;
}

/// Largest gap of the kept states, each relative to its own largest value.
template <class T>
double states_gap(const Run<T>& run, const std::vector<double>& states, std::size_t first) {
    double worst = 0;
    for (const std::size_t kept : kept_states(run.timesteps.size())) {
        const auto values = run.states.at(kept).to_host();
        REQUIRE(first + values.size() <= states.size());
        const auto begin = states.begin() + static_cast<std::ptrdiff_t>(first);
        const std::vector<double> expected(begin, begin + static_cast<std::ptrdiff_t>(values.size()));
        worst = std::max(worst, gap(values, expected));
        first += values.size();
    }
    return worst;
}

void check_file(const std::string& name, std::size_t expected_cases) {
    Cpu cpu(1);
    const StateDict shared = read_safetensors("golden/schedulers.safetensors");
    const StateDict golden = read_safetensors("schedulers/golden/" + name + ".safetensors");
    const nlohmann::json cases = read_json("schedulers/golden/" + name + ".json");
    const auto states = golden.at("states").to_vector<double>();
    const auto timesteps = golden.at("timesteps").to_vector<double>();
    const auto start = golden_tensor<double>(cpu, shared, "start");
    const auto noise = golden_tensor<double>(cpu, shared, "noise");
    const auto start_float = golden_tensor<float>(cpu, shared, "start");
    const auto noise_float = golden_tensor<float>(cpu, shared, "noise");
    CHECK(cases.size() == expected_cases);
    std::size_t next_state = 0;
    std::size_t next_timestep = 0;
    std::map<std::string, std::pair<double, double>> worst;
    for (const auto& item : cases) {
        const auto kind = item["class"].get<std::string>();
        const auto option = item["name"].get<std::string>();
        const auto prediction = item["config"]["prediction_type"].get<std::string>();
        CAPTURE(kind);
        CAPTURE(option);
        CAPTURE(prediction);
        for (const index_t steps : {5, 20, 50}) {
            CAPTURE(steps);
            const auto wide = run_case(item, steps, start, noise);
            if (steps == 5) {
                REQUIRE(next_timestep + wide.timesteps.size() <= timesteps.size());
                for (const double timestep : wide.timesteps) {
                    // diffusers' float32 logarithms are good to a thousandth of a timestep
                    CHECK(std::abs(timestep - timesteps[next_timestep]) <= 1e-3 + 1e-6 * std::abs(timestep));
                    ++next_timestep;
                }
            }
            const double double_gap = states_gap(wide, states, next_state);
            const double float_gap = states_gap(run_case(item, steps, start_float, noise_float), states, next_state);
            CHECK(double_gap <= 1e-5);
            CHECK(float_gap <= 1e-4);
            next_state += kept_states(wide.timesteps.size()).size() * static_cast<std::size_t>(start.size());
            auto& [of_double, of_float] = worst[kind];
            of_double = std::max(of_double, double_gap);
            of_float = std::max(of_float, float_gap);
        }
    }
    CHECK(next_state == states.size());
    CHECK(next_timestep == timesteps.size());
    for (const auto& [kind, gaps] : worst) {
        MESSAGE(kind << ": worst relative gap: double " << gaps.first << ", float " << gaps.second);
    }
}

} // namespace

TEST_CASE("Trajectories of diffusers 0.11.1: Euler, Euler ancestral, LMS") {
    check_file("sigma_0_11", 22);
}

TEST_CASE("Trajectories of a recent diffusers: every sampler in sigma with every option") {
    check_file("sigma_recent", 183);
}
