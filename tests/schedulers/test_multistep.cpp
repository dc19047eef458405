// Whole trajectories against diffusers: the cases of make_multistep_golden.py.

#include <doctest/doctest.h>

#include <array>
#include <string>

#include <reel/schedulers/multistep_config.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

static_assert(check_scheduler<PNDMScheduler<>>() && check_scheduler<PNDMScheduler<double>, double>());
static_assert(check_scheduler<LCMScheduler>() && check_scheduler<LCMScheduler, double>());
static_assert(check_scheduler<TCDScheduler>() && check_scheduler<TCDScheduler, double>());

namespace {

struct Golden {
    explicit Golden(const std::string& name)
        : tensors(read_safetensors("schedulers/golden/" + name + ".safetensors")),
          json(read_json("schedulers/golden/" + name + ".json")) {}
    StateDict tensors;
    nlohmann::json json;
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
        if (steps < 40 || (i + 1) % 5 == 0 || i + 1 == steps) {
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
    const double strength = item["plan"].value("strength", 1.0);
    if (kind == "PNDMScheduler") {
        auto scheduler = scheduler_from_config<PNDMScheduler<T>>(config, "config");
        scheduler.set_timesteps(count);
        return sample<T>(cpu, scheduler, golden);
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
    fail("no such scheduler: ", kind);
}

void check_file(const std::string& file, std::size_t expected_cases) {
    Cpu cpu(1);
    const Golden golden(file);
    CHECK(golden.json["cases"].size() == expected_cases);
    double worst_double = 0;
    double worst_as_is = 0;
    double worst_float = 0;
    for (const auto& item : golden.json["cases"]) {
        const auto name = item["name"].get<std::string>();
        // Rescaling takes float32 square roots, which PyTorch rounds as its processor's library likes.
        const double limit = item["config"].value("rescale_betas_zero_snr", false) ? 2e-6 : 1e-9;
        for (const auto& [count, as_is] : item["as_is"].items()) {
            CAPTURE(name);
            CAPTURE(count);
            const auto wide = run_case<double>(cpu, golden, item, std::stoll(count));
            CHECK(wide.timesteps ==
                  golden.tensors.at(name + "." + count + ".timesteps").template to_vector<std::int64_t>());
            const auto expected = golden.tensors.at(name + "." + count + ".states").template to_vector<double>();
            const double double_gap = gap(wide.states, expected);
            const double float_gap = gap(run_case<float>(cpu, golden, item, std::stoll(count)).states, expected);
            const double as_is_gap = double_gap + as_is.template get<double>();
            CHECK(double_gap <= limit);
            CHECK(as_is_gap <= 1e-5);
            CHECK(float_gap <= 1e-4);
            worst_double = std::max(worst_double, limit < 1e-8 ? double_gap : 0);
            worst_as_is = std::max(worst_as_is, as_is_gap);
            worst_float = std::max(worst_float, float_gap);
        }
    }
    MESSAGE(file << ": worst relative gap: double " << worst_double << ", to diffusers as it is " << worst_as_is
                 << ", float " << worst_float);
}

} // namespace

TEST_CASE("Trajectories of a recent diffusers") {
    check_file("multistep_recent", 48);
}

TEST_CASE("Trajectories of diffusers 0.11.1") {
    check_file("multistep_old", 14);
}
