#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <io/temporary_folder.hpp>

#include <reel/schedulers/scheduler_registry.hpp>

#include "support.hpp"

using namespace reel;
using namespace reel::test;

static_assert(check_scheduler<AnyScheduler<float>>() && check_scheduler<AnyScheduler<double>, double>());

namespace {

struct CountedNoise {
    Cpu* cpu;
    int* calls;
    Tensor<double> operator()(const Shape& shape) const { return Tensor<double>::full(*cpu, shape, 0.1 * ++*calls); }
};

template <class S>
Tensor<double> run(Cpu& cpu, S& scheduler, int* calls) {
    auto x = Tensor<double>::from_host(cpu, {2, 3}, {0.3, -1.1, 0.9, 2.0, -0.2, 0.05});
    for (const auto t : scheduler.timesteps()) {
        const auto output =
            sine_model(PredictionType::epsilon, scheduler.scale_model_input(x, t), static_cast<index_t>(t));
        x = scheduler.step(output, t, x, CountedNoise{&cpu, calls});
    }
    return x;
}

} // namespace

TEST_CASE("A scheduler behind the common type gives the same bits as itself") {
    Cpu cpu(1);
    DDPMScheduler own;
    AnyScheduler<double> any("DDPMScheduler", own);
    CHECK(any.timesteps().size() == 1000); // DDPM's before set_timesteps
    own.set_timesteps(20);
    any.set_timesteps(20);
    int own_calls = 0;
    int any_calls = 0;
    CHECK(gap(run(cpu, any, &any_calls), run(cpu, own, &own_calls)) == 0);
    CHECK(own_calls == 19);
    CHECK(any_calls == 19);
    const auto x = Tensor<double>::from_host(cpu, {2}, {0.3, -1.1});
    CHECK(gap(any.add_noise(x, x, 500), own.add_noise(x, x, 500)) == 0);
    CHECK(gap(any.step(x, 950, x, x), own.step(x, 950, x, x)) == 0);
    CHECK(any.init_noise_sigma() == 1);
    CHECK(any.prediction_type() == PredictionType::epsilon);
    CHECK(any.name() == "DDPMScheduler");
    CHECK(any.as<DDPMScheduler>() != nullptr);
    CHECK(any.as<DDIMScheduler>() == nullptr);
    AnyScheduler<double> copy = any;
    copy.set_timesteps(5);
    CHECK(any.timesteps().size() == 20);
    copy = any;
    CHECK(copy.timesteps() == any.timesteps());
}

TEST_CASE("What the common type refuses") {
    Cpu cpu(1);
    const auto x = Tensor<double>::full(cpu, {4}, 1.0);
    AnyScheduler<double> any("DDPMScheduler", DDPMScheduler());
    CHECK_THROWS_WITH_AS(static_cast<void>(any.step(x, 900, x)),
                         doctest::Contains("DDPMScheduler: the step at timestep 900 draws noise"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(any.step(x, 900.5, x, x)),
                         doctest::Contains("timestep 900.5 is not one of this scheduler's"), Error);
    CHECK_THROWS_WITH_AS(any.set_eta(0.5), doctest::Contains("DDPMScheduler has no eta, but 0.5"), Error);
    any.set_eta(0);
    AnyScheduler<double> ddim("DDIMScheduler", DDIMScheduler());
    ddim.set_eta(1);
    CHECK(ddim.as<DDIMScheduler>()->options.eta == 1);
}

TEST_CASE("Names: diffusers' classes, short ones, and the configuration's own") {
    for (const std::string& name : scheduler_names()) {
        CAPTURE(name);
        const auto scheduler = make_scheduler<float>(name);
        const auto again = make_scheduler<float>("", scheduler_to_config(scheduler));
        CHECK(scheduler_to_config(again) == scheduler_to_config(scheduler));
        CHECK(again.name() == scheduler.name());
        CHECK(scheduler_to_config(scheduler)["_class_name"] == scheduler.name());
    }
    CHECK(make_scheduler<float>("ddim", {{"_class_name", "PNDMScheduler"}, {"steps_offset", 1}}).name() ==
          "DDIMScheduler");
    CHECK_THROWS_WITH_AS(static_cast<void>(make_scheduler<float>("ddmi")),
                         doctest::Contains("--scheduler: \"ddmi\" is no scheduler that reel has (did you mean"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(make_scheduler<float>("")), doctest::Contains("\"_class_name\" is missing"),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(make_scheduler<float>("", {{"_class_name", "DDIMSchedular"}}, "a.json")),
                         doctest::Contains("a.json: \"_class_name\": \"DDIMSchedular\" is no scheduler"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(make_scheduler<float>("ddim", {{"beta_strat", 1}}, "a.json")),
                         doctest::Contains("a.json: unknown key \"beta_strat\""), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(make_scheduler<float>("ddim", nlohmann::json::array(), "a.json")),
                         doctest::Contains("a.json: expected a JSON object"), Error);
}

TEST_CASE("Every scheduler starts from a Stable Diffusion folder's file, whichever wrote it, and is saved and loaded") {
    const reel_test::TemporaryFolder folder;
    for (const std::string& name : scheduler_names()) {
        CAPTURE(name);
        if (name.find("EDM") != std::string::npos || name.find("edm") != std::string::npos) {
            continue; // for models of another kind
        }
        const auto scheduler = load_scheduler<float>("golden/sd1_tiny/scheduler", name);
        const nlohmann::json config = scheduler_to_config(scheduler);
        CHECK(config["beta_schedule"] == "scaled_linear");
        CHECK(config["beta_end"] == 0.012);
        save_scheduler(scheduler, folder.path() / name);
        CHECK(scheduler_to_config(load_scheduler<float>(folder.path() / name)) == config);
        const auto fixed = make_scheduler<float>(name, stable_diffusion_fixes(config));
        CHECK(scheduler_to_config(fixed).value("clip_sample", false) == false);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(load_scheduler<float>(folder.path() / "none.json")),
                         doctest::Contains("none.json"), Error);
}
