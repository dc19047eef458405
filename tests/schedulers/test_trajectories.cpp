// Whole trajectories against diffusers, from tests/golden/schedulers*.{json,safetensors}.

#include <doctest/doctest.h>

#include <map>
#include <string>

#include <reel/schedulers/ddim_inverse.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

namespace {

struct Golden {
    explicit Golden(const std::string& name)
        : tensors(read_safetensors("golden/" + name + ".safetensors")), cases(read_json("golden/" + name + ".json")) {}
    StateDict tensors;
    nlohmann::json cases;
};

template <class T>
struct Run {
    std::vector<index_t> timesteps;
    std::vector<Tensor<T>> states;
};

template <class T, class S>
Run<T> sample(Cpu& cpu, S scheduler, index_t steps, const Golden& golden) {
    scheduler.set_timesteps(steps);
    Tensor<T> x = golden_tensor<T>(cpu, golden.tensors, "start");
    const Tensor<T> noise = golden_tensor<T>(cpu, golden.tensors, "noise");
    Run<T> run{{scheduler.timesteps().begin(), scheduler.timesteps().end()}, {x}};
    index_t i = 0;
    for (const index_t t : scheduler.timesteps()) {
        const index_t row = i++ % noise.shape(0);
        const auto source = [&](const Shape& shape) { return noise.slice(row, row + 1).reshape(shape); };
        const auto output = sine_model(scheduler.config().prediction_type, scheduler.scale_model_input(x, t), t);
        x = scheduler.step(output, t, x, source);
        run.states.push_back(x);
    }
    return run;
}

InversionFormula formula_of(const nlohmann::json& item) {
    const auto name = item["formula"].get<std::string>();
    return name == "epsilon_only" ? InversionFormula::reference : value_in(inversion_formula_names, name, "formula");
}

template <class T>
Run<T> invert(Cpu& cpu, DDIMInverseScheduler scheduler, index_t steps, const Golden& golden) {
    scheduler.set_timesteps(steps);
    Tensor<T> x = golden_tensor<T>(cpu, golden.tensors, "start");
    Run<T> run{{}, {x}};
    for (const index_t t : scheduler.timesteps()) {
        x = scheduler.invert_step(sine_model(scheduler.config().prediction_type, x, t), t, x);
        run.states.push_back(x);
    }
    return run;
}

template <class T>
Run<T> run_case(Cpu& cpu, const nlohmann::json& item, const Golden& golden) {
    const auto kind = item["scheduler"].get<std::string>();
    const auto steps = item["steps"].get<index_t>();
    if (kind == "DDPMScheduler") {
        return sample<T>(cpu, scheduler_from_config<DDPMScheduler>(item["config"], "config"), steps, golden);
    }
    auto scheduler = scheduler_from_config<DDIMScheduler>(item["config"], "config");
    if (kind == "DDIM inversion") {
        return invert<T>(cpu, DDIMInverseScheduler(scheduler.config(), formula_of(item)), steps, golden);
    }
    scheduler.options.eta = item["step"].value("eta", 0.0);
    scheduler.options.use_clipped_model_output = item["step"].value("use_clipped_model_output", false);
    return sample<T>(cpu, scheduler, steps, golden);
}

/// Largest gap over the kept states, relative to the largest value of all of them.
template <class T>
double states_gap(const Run<T>& run, const nlohmann::json& item, const Golden& golden) {
    const auto name = item["name"].get<std::string>();
    const auto kept = golden.tensors.at(name + ".kept").to_vector<std::int64_t>();
    std::vector<T> states;
    for (const auto k : kept) {
        const auto values = run.states.at(static_cast<std::size_t>(k)).to_host();
        states.insert(states.end(), values.begin(), values.end());
    }
    return gap(states, golden.tensors.at(name + ".states").to_vector<double>());
}

void check_file(const std::string& file, std::size_t expected_cases) {
    Cpu cpu(1);
    const Golden golden(file);
    CHECK(golden.cases.size() == expected_cases);
    double worst_double = 0;
    double worst_rescaled = 0;
    double worst_old_ddpm = 0;
    double worst_float = 0;
    for (const auto& item : golden.cases) {
        const auto name = item["name"].get<std::string>();
        CAPTURE(name);
        const auto wide = run_case<double>(cpu, item, golden);
        if (!wide.timesteps.empty()) {
            CHECK(wide.timesteps == golden.tensors.at(name + ".timesteps").to_vector<std::int64_t>());
        }
        // 0.11.1's DDPM takes b from its float32 table, where later releases, and we, take 1 - a_t / a_p.
        const bool old_ddpm = file == "schedulers" && item["scheduler"] == "DDPMScheduler";
        // Rescaling takes float32 square roots, which PyTorch rounds as its processor's library likes.
        const bool rescaled = item["config"].value("rescale_betas_zero_snr", false);
        const double limit = old_ddpm ? 1e-4 : rescaled ? 1e-6 : 1e-10;
        const double double_gap = states_gap(wide, item, golden);
        const double float_gap = states_gap(run_case<float>(cpu, item, golden), item, golden);
        CHECK(double_gap <= limit);
        CHECK(float_gap <= std::max(limit, 1e-5));
        double& worst = old_ddpm ? worst_old_ddpm : rescaled ? worst_rescaled : worst_double;
        worst = std::max(worst, double_gap);
        worst_float = std::max(worst_float, float_gap);
    }
    MESSAGE(file << ": " << golden.cases.size() << " cases, worst relative gap: double " << worst_double
                 << " (zero SNR " << worst_rescaled << ", DDPM of 0.11.1 " << worst_old_ddpm << "), float "
                 << worst_float);
}

} // namespace

TEST_CASE("Trajectories of diffusers 0.11.1: DDIM, DDPM, DDIM inversion") {
    check_file("schedulers", 55);
}

TEST_CASE("Trajectories of a recent diffusers: spacings, zero terminal SNR, sample prediction, few DDPM steps") {
    check_file("schedulers_recent", 102);
}

TEST_CASE("With an output that depends on nothing, sampling undoes the inversion, and both equal the golden one") {
    Cpu cpu(1);
    std::size_t checked = 0;
    for (const char* file : {"schedulers", "schedulers_recent"}) {
        const Golden golden(file);
        for (const auto& item : golden.cases) {
            const auto name = item["name"].get<std::string>();
            if (!golden.tensors.contains(name + ".constant_output")) {
                continue;
            }
            CAPTURE(name);
            ++checked;
            const auto output = golden_tensor<double>(cpu, golden.tensors, name + ".constant_output");
            const auto start = golden_tensor<double>(cpu, golden.tensors, "start");
            auto sampler = scheduler_from_config<DDIMScheduler>(item["config"], "config");
            DDIMInverseScheduler inversion(sampler.config());
            sampler.set_timesteps(item["steps"].get<index_t>());
            inversion.set_timesteps(item["steps"].get<index_t>());
            auto x = start;
            for (const index_t t : inversion.timesteps()) {
                x = inversion.invert_step(output, t, x);
            }
            CHECK(gap(x, golden_tensor<double>(cpu, golden.tensors, name + ".constant_inverted")) < 1e-10);
            for (const index_t t : sampler.timesteps()) {
                x = sampler.step(output, t, x);
            }
            CHECK(gap(x, start) < 1e-10);
        }
    }
    CHECK(checked == 15);
}
