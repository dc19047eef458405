#include <doctest/doctest.h>

#include <cmath>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/optim/lr_scheduler.hpp>

using namespace reel;

namespace {

LrSchedule schedule_of(const nlohmann::json& item, const char* name, const char* warmup, const char* total) {
    LrSchedule schedule{.kind = value_in(lr_schedule_names, item[name].get<std::string>(), "lr_scheduler"),
                        .learning_rate = item["learning_rate"].get<double>(),
                        .warmup_steps = item[warmup].get<index_t>(),
                        .training_steps = item[total].get<index_t>()};
    if (item.contains("num_cycles")) {
        schedule.cycles = item["num_cycles"].get<double>();
    }
    schedule.power = item.value("power", 1.0);
    return schedule;
}

void check_rates(const LrSchedule& schedule, const HostTensor& expected) {
    const auto rates = expected.to_vector<double>();
    for (std::size_t step = 0; step < rates.size(); ++step) {
        CAPTURE(step);
        CHECK(std::abs(schedule.at(static_cast<index_t>(step)) - rates[step]) <= 1e-15 * schedule.learning_rate * 10);
    }
}

} // namespace

TEST_CASE("Learning rates equal those of diffusers 0.11.1") {
    const StateDict golden = read_safetensors("golden/lr_schedules.safetensors");
    const auto cases = read_json("golden/lr_schedules.json");
    CHECK(cases.size() == 8);
    for (const auto& item : cases) {
        const auto key = item["key"].get<std::string>();
        CAPTURE(key);
        check_rates(schedule_of(item, "lr_scheduler", "lr_warmup_steps", "max_train_steps"), golden.at(key + ".lr"));
    }
}

TEST_CASE("Learning rates equal those of a recent diffusers, restarts and polynomial included") {
    const StateDict golden = read_safetensors("optim/golden/optim.safetensors");
    const auto cases = read_json("optim/golden/lr_schedules.json");
    CHECK(cases.size() == 10);
    for (std::size_t i = 0; i < cases.size(); ++i) {
        CAPTURE(i);
        check_rates(schedule_of(cases[i], "name", "warmup", "total"), golden.at("rates." + std::to_string(i)));
    }
}

TEST_CASE("Options that make no sense are refused") {
    CHECK_THROWS_WITH_AS(static_cast<void>(LrSchedule{}.at(-1)), doctest::Contains("step -1"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(LrSchedule{.warmup_steps = -2}.at(0)), doctest::Contains("warmup_steps -2"),
                         Error);
    const LrSchedule polynomial{.kind = LrScheduleKind::polynomial, .learning_rate = 1e-8, .training_steps = 9};
    CHECK_THROWS_WITH_AS(static_cast<void>(polynomial.at(0)), doctest::Contains("end_rate is 1e-07"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(value_in(lr_schedule_names, "cosin", "lr_scheduler")),
                         doctest::Contains("lr_scheduler: \"cosin\" is not supported (did you mean \"cosine\"?)"),
                         Error);
}
