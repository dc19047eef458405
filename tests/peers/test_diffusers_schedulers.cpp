// The sums and means that diffusers' own scheduler tests expect (diffusers_schedulers.json: their facts as a table,
// with the configuration, the loop and the tolerance of each), for the samplers that reel has. Needs no data. "float32"
// is by how much diffusers' float32 coefficients change a sum, where that is more than the tolerance; "refused" is what
// reel says that it does not do; "ours" is what a sum must be where theirs is a fault: diffusers' LMS takes the first
// weight of a step of fourth order alone when a run begins in the middle (numpy's sum, with a step of first order
// there).

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <reel/core/random.hpp>
#include <reel/io/config/json.hpp>
#include <reel/schedulers/config/inversion_config.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

using namespace reel;
using nlohmann::json;

namespace {

using Scheduler = AnyScheduler<float>;

/// Their sample: 0, 1/n, 2/n, ... in the order channels, rows, columns, batch; or their noise, which is that reversed.
Tensor<float> ramp(Cpu& cpu, const Shape& shape, bool reversed) {
    const index_t batch = shape[0];
    const index_t one = shape.size() / batch;
    std::vector<float> values(static_cast<std::size_t>(shape.size()));
    for (index_t b = 0; b < batch; ++b) {
        for (index_t i = 0; i < one; ++i) {
            const index_t place = i * batch + b;
            const index_t number = reversed ? shape.size() - 1 - place : place;
            values[static_cast<std::size_t>(b * one + i)] =
                static_cast<float>(number) / static_cast<float>(shape.size());
        }
    }
    return Tensor<float>::from_host(cpu, shape, values);
}

/// Their network: x t / (t + 1).
Tensor<float> network(const Tensor<float>& x, double timestep) {
    const auto t = static_cast<float>(timestep);
    auto values = x.to_host();
    for (float& value : values) {
        value = value * t / (t + 1);
    }
    return Tensor<float>::from_host(x.backend(), x.shape(), values);
}

/// torch.manual_seed(0), drawn anew by every step that draws.
struct TorchNoise {
    Cpu* cpu;
    TorchCpuGenerator generator{0};
    Tensor<float> operator()(const Shape& shape) {
        std::vector<float> values(static_cast<std::size_t>(shape.size()));
        generator.randn(std::span<float>(values));
        return Tensor<float>::from_host(*cpu, shape, values);
    }
};

/// What is handed to the network and to the step.
enum class Loop {
    plain,         ///< the sample to both; scale_model_input() is not called
    sample_scaled, ///< the scaled sample to both
    input_scaled   ///< the scaled sample to the network only
};

Loop loop_of(const json& family) {
    const auto name = family["loop"].get<std::string>();
    return name == "plain" ? Loop::plain : name == "sample_scaled" ? Loop::sample_scaled : Loop::input_scaled;
}

Tensor<float> sampled(Cpu& cpu, const json& family, const json& row, const json& config) {
    auto scheduler = make_scheduler<float>(family["class"].get<std::string>(), config);
    if (family.contains("eta")) {
        scheduler.set_eta(family["eta"]);
    }
    scheduler.set_timesteps(row.value("steps", 10));
    const Loop loop = loop_of(family);
    const auto shape = family.value("shape", std::vector<index_t>{4, 3, 8, 8});
    auto x = ramp(cpu, Shape(shape.begin(), shape.end()), false);
    if (loop != Loop::plain) {
        x = scale(x, static_cast<float>(scheduler.init_noise_sigma()));
    }
    const auto& all = scheduler.timesteps();
    const std::vector<double> timesteps(all.begin() + row.value("skip", 0) * family.value("order", 1), all.end());
    if (row.contains("skip") && row.value("noised", true)) {
        x = scheduler.add_noise(x, ramp(cpu, x.shape(), true), timesteps.front());
    }
    TorchNoise noise{&cpu};
    for (const double t : timesteps) {
        const auto input = loop == Loop::plain ? x : scheduler.scale_model_input(x, t);
        x = scheduler.step(network(input, t), t, loop == Loop::sample_scaled ? input : x, noise);
    }
    return x;
}

template <class Inversion>
Tensor<float> inverted(Cpu& cpu, Inversion inversion, const json& row) {
    inversion.set_timesteps(row.value("steps", 10));
    auto x = ramp(cpu, {4, 3, 8, 8}, false);
    for (const auto t : inversion.timesteps()) {
        x = inversion.invert_step(network(x, static_cast<double>(t)), t, x);
    }
    return x;
}

Tensor<float> result(Cpu& cpu, const json& family, const json& row) {
    json config = family["config"];
    if (row.contains("config")) {
        config.update(row["config"]);
    }
    const auto name = family["class"].get<std::string>();
    if (name == DDIMInverseScheduler::class_name) {
        const auto made = scheduler_from_config<DDIMScheduler>(config, name).config();
        return inverted(cpu, DDIMInverseScheduler(made, InversionFormula::current_level), row);
    }
    if (name == DPMSolverMultistepInverseScheduler<float>::class_name) {
        return inverted(cpu, inversion_from_config<DPMSolverMultistepInverseScheduler<float>>(config, name), row);
    }
    return sampled(cpu, family, row, config);
}

} // namespace

TEST_CASE("diffusers' scheduler tests: sums and means of whole runs") {
    Cpu cpu(1);
    std::size_t asserts = 0;
    for (const json& family : read_json("peers/diffusers_schedulers.json")) {
        for (const json& row : family["rows"]) {
            CAPTURE(family["file"].get<std::string>());
            CAPTURE(row["tests"].dump());
            double sum = 0;
            std::size_t count = 0;
            const auto run = [&] {
                const auto x = result(cpu, family, row);
                count = static_cast<std::size_t>(x.size());
                for (const float value : x.to_host()) {
                    sum += std::abs(static_cast<double>(value));
                }
            };
            if (row.contains("refused")) { // what reel does not do
                CHECK_THROWS_WITH_AS(run(), doctest::Contains(row["refused"].get<std::string>().c_str()), Error);
                continue;
            }
            REQUIRE_NOTHROW(run());
            if (row.contains("ours")) { // where theirs is a fault
                CHECK(std::abs(sum - row["ours"][0].get<double>()) < row["ours"][1].get<double>());
                continue;
            }
            sum += row.value("float32", 0.0);
            const auto holds = [&](const char* quantity, double value) {
                if (row.contains(quantity)) {
                    CAPTURE(std::string(quantity));
                    CAPTURE(value);
                    CAPTURE(row[quantity].dump());
                    CHECK(std::abs(value - row[quantity][0].get<double>()) < row[quantity][1].get<double>());
                    asserts += row["tests"].size();
                }
            };
            holds("sum", sum);
            holds("mean", sum / static_cast<double>(count));
        }
    }
    CHECK(asserts == 135);
}
