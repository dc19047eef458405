#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <io/temporary_folder.hpp>

#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "support.hpp"

using namespace reel;

namespace {

template <class S = DDIMScheduler>
S read(const std::string& text) {
    return scheduler_from_config<S>(parse_json(text, "a.json"), "a.json");
}

} // namespace

TEST_CASE("One file makes DDPM and DDIM, whichever sampler it was written for") {
    for (const char* model : {"golden/sd1_tiny/scheduler", "golden/sd2_tiny/scheduler"}) {
        const auto ddim = scheduler_from_pretrained<DDIMScheduler>(model);
        const auto ddpm = scheduler_from_pretrained<DDPMScheduler>(model);
        CHECK(ddim.config().schedule.beta_schedule == BetaSchedule::scaled_linear);
        CHECK(ddim.config().schedule == ddpm.config().schedule);
        CHECK(ddim.config().schedule.beta_end == 0.012);
        CHECK_FALSE(ddim.config().clip_sample);
        CHECK_FALSE(ddim.config().set_alpha_to_one);
        CHECK(ddim.config().steps_offset == 1);
        const bool second = std::string(model).find("sd2") != std::string::npos;
        CHECK(ddpm.config().prediction_type == (second ? PredictionType::v_prediction : PredictionType::epsilon));
    }
}

TEST_CASE("Absent keys take diffusers' defaults; the pipeline's fixes are a function") {
    const auto config = read("{}").config();
    CHECK(config == DDIMConfig{});
    CHECK(config.clip_sample);
    CHECK(config.set_alpha_to_one);
    const DDIMConfig fixed = stable_diffusion_fixes(config);
    CHECK_FALSE(fixed.clip_sample);
    CHECK(fixed.steps_offset == 1);
    CHECK(fixed.set_alpha_to_one);
}

TEST_CASE("A configuration that is written is read back") {
    const reel_test::TemporaryFolder folder;
    const DDIMConfig config{.schedule = {.num_train_timesteps = 3,
                                         .beta_schedule = BetaSchedule::squaredcos_cap_v2,
                                         .trained_betas = {0.1, 0.2, 0.3},
                                         .rescale_betas_zero_snr = true},
                            .prediction_type = PredictionType::sample,
                            .clip_sample = true,
                            .clip_sample_range = 2.5,
                            .set_alpha_to_one = false,
                            .steps_offset = 1,
                            .timestep_spacing = TimestepSpacing::linspace};
    save_scheduler(DDIMScheduler(config), folder.path() / "scheduler");
    CHECK(scheduler_from_pretrained<DDIMScheduler>(folder.path() / "scheduler").config() == config);
    const DDPMConfig other{.schedule = config.schedule, .variance_type = VarianceType::fixed_large_log};
    CHECK(scheduler_from_config<DDPMScheduler>(scheduler_to_config(DDPMScheduler(other)), "x").config() == other);
    CHECK(scheduler_to_config(DDPMScheduler(other))["_class_name"] == "DDPMScheduler");
    CHECK(scheduler_to_config(DDPMScheduler())["trained_betas"].is_null());
}

TEST_CASE("Keys of sibling classes are passed over, others are errors with the nearest name") {
    CHECK(read(R"({"_class_name": "PNDMScheduler", "skip_prk_steps": true, "use_karras_sigmas": true,
                   "solver_order": 2, "variance_type": "learned_range", "use_flow_sigmas": true})")
              .config() == DDIMConfig{});
    CHECK_THROWS_WITH_AS(static_cast<void>(read(R"({"beta_strat": 0.1})")),
                         "a.json: unknown key \"beta_strat\" (did you mean \"beta_start\"?)", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(read(R"({"skip_prk_step": true})")), doctest::Contains("skip_prk_steps"),
                         Error);
}

TEST_CASE("Values that are not supported are named") {
    const auto refuses = [](const std::string& text, const std::string& part) {
        CAPTURE(text);
        CHECK_THROWS_WITH_AS(static_cast<void>(read(text)), doctest::Contains(part.c_str()), Error);
        CHECK_THROWS_WITH_AS(static_cast<void>(read<DDPMScheduler>(text)), doctest::Contains("a.json: "), Error);
    };
    refuses(R"({"thresholding": true})", "\"thresholding\" is true, but only false is supported");
    refuses(R"({"prediction_type": "flow_prediction"})", "\"flow_prediction\" is not supported");
    refuses(R"({"prediction_type": "v_predictoin"})", "(did you mean \"v_prediction\"?)");
    refuses(R"({"beta_schedule": "laplacian"})", "\"laplacian\" is not supported");
    refuses(R"({"timestep_spacing": "leding"})", "did you mean \"leading\"");
    refuses(R"({"_class_name": "FlowMatchEulerDiscreteScheduler"})", "FlowMatchEulerDiscreteScheduler");
    refuses(R"({"num_train_timesteps": "1000"})", "expected an integer");
    refuses(R"({"num_train_timesteps": 0})", "a.json: noise schedule: num_train_timesteps is 0");
    refuses(R"({"trained_betas": [0.1, 0.2]})", "trained_betas has 2 values");
    refuses(R"({"beta_end": 3})", "beta ");
    refuses(R"({"clip_sample_range": -1})", "clip_sample_range is -1");
    refuses("[]", "expected a JSON object");
    CHECK_THROWS_WITH_AS(static_cast<void>(read<DDPMScheduler>(R"({"variance_type": "learned_range"})")),
                         doctest::Contains("\"variance_type\": \"learned_range\" is not supported"), Error);
}

TEST_CASE("DPM-Solver's files of diffusers 0.42.1 load as their own class and make the others") {
    const nlohmann::json texts = read_json("schedulers/golden/dpm_configs.json"); // by make_dpm_configs.py
    REQUIRE(texts.size() == 22);
    for (const std::string text : texts) {
        const nlohmann::json json = parse_scheduler_json(text, "a.json");
        CAPTURE(text);
        CHECK(make_scheduler<float>("", json).name() == json["_class_name"]);
        CHECK(scheduler_from_config<DDPMScheduler>(json, "a.json").config().variance_type == VarianceType::fixed_small);
        CHECK(scheduler_from_config<DDIMScheduler>(json, "a.json").config().schedule.beta_end == 0.012);
        for (const char* other : {"euler", "deis", "pndm", "lcm", "dpm++_2m", "dpm++_2s"}) {
            CHECK_NOTHROW(static_cast<void>(make_scheduler<float>(other, json)));
        }
        if (json["lambda_min_clipped"].is_null()) {
            CHECK_THROWS_AS(static_cast<void>(parse_json(text, "a.json")), Error); // -Infinity is no JSON
        }
    }
}

TEST_CASE("A model's own scheduler of a class that reel lacks becomes a DDIMScheduler, and it is said") {
    const reel_test::TemporaryFolder folder;
    const auto read_own = [&](const std::string& text) {
        std::ofstream(folder.path() / "scheduler_config.json") << text;
        return read_model_scheduler(folder.path());
    };
    const auto sde = read_own(R"({"_class_name": "DPMSolverSDEScheduler", "beta_end": 0.012, "noise_sampler_seed": null,
                                  "beta_schedule": "scaled_linear", "prediction_type": "v_prediction"})");
    CHECK(
        sde.note.ends_with(": reel has no DPMSolverSDEScheduler; a DDIMScheduler of the same noise schedule takes its "
                           "place"));
    const auto ddim = scheduler_from_config<DDIMScheduler>(sde.config, sde.file).config();
    CHECK(ddim.schedule.beta_end == 0.012);
    CHECK(ddim.prediction_type == PredictionType::v_prediction);
    CHECK(make_scheduler<float>("", sde.config).name() == "DDIMScheduler");
    // diffusers 0.42.1's SASolverScheduler and IPNDMScheduler have keys that no class of reel's has.
    const auto sa = read_own(R"({"_class_name": "SASolverScheduler", "predictor_order": 2, "corrector_order": 2,
                                 "tau_func": null, "use_karras_sigmas": false, "trained_betas": null, "beta_end": 0.02})");
    CHECK(scheduler_from_config<DDIMScheduler>(sa.config, sa.file).config().schedule.beta_end == 0.02);
    CHECK(
        read_own(R"({"_class_name": "IPNDMScheduler", "num_train_timesteps": 1000, "trained_betas": null})").config ==
        nlohmann::json({{"_class_name", "DDIMScheduler"}, {"num_train_timesteps", 1000}, {"trained_betas", nullptr}}));
    for (const char* known : {"DDIMScheduler", "PNDMScheduler", "LCMScheduler", "EDMEulerScheduler",
                              "FlowMatchEulerDiscreteScheduler", "DDIMSchedular"}) {
        const auto own = read_own(nlohmann::json{{"_class_name", known}}.dump());
        CHECK(own.note.empty());
        CHECK(own.config["_class_name"] == known);
    }
}

TEST_CASE("predict_epsilon of diffusers before 0.12 is understood") {
    CHECK(read(R"({"predict_epsilon": true})").config().prediction_type == PredictionType::epsilon);
    CHECK(read(R"({"predict_epsilon": false})").config().prediction_type == PredictionType::sample);
    CHECK_THROWS_WITH_AS(static_cast<void>(read(R"({"predict_epsilon": false, "prediction_type": "epsilon"})")),
                         doctest::Contains("remove one of them"), Error);
}

TEST_CASE("A missing or broken file is named") {
    const reel_test::TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler_from_pretrained<DDIMScheduler>(folder.path())),
                         doctest::Contains("scheduler_config.json"), Error);
    std::ofstream(folder.path() / "scheduler_config.json") << "{\"beta_start\": ";
    CHECK_THROWS_WITH_AS(static_cast<void>(scheduler_from_pretrained<DDIMScheduler>(folder.path())),
                         doctest::Contains("scheduler_config.json: not valid JSON"), Error);
    std::ofstream(folder.path() / "file") << "x";
    CHECK_THROWS_WITH_AS(save_scheduler(DDIMScheduler(), folder.path() / "file" / "scheduler"),
                         doctest::Contains("cannot make the folder"), Error);
}
