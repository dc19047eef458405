#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/optim/adamw_state.hpp>
#include <reel/optim/grad_clip.hpp>
#include <reel/optim/lr_scheduler.hpp>

#include <io/temporary_folder.hpp>
#include <schedulers/support.hpp>

using namespace reel;
using namespace reel::test;

namespace {

template <class T>
using Parameters = std::vector<NamedParameter<T>>;

/// The run that make_optim_golden.py records: three parameters, of which one now and then and one never gets a
/// gradient.
template <class T>
struct RecordedRun {
    Cpu cpu{1};
    StateDict golden = read_safetensors("optim/golden/optim.safetensors");
    AdamWOptions options{.learning_rate = 0.02, .beta1 = 0.8, .beta2 = 0.97, .epsilon = 1e-6, .weight_decay = 0.1};
    Parameters<T> parameters;

    RecordedRun() {
        for (const std::string name : {"wide", "rare", "never"}) {
            parameters.push_back({name, golden_tensor<T>(cpu, golden, "adamw.start." + name), {}});
        }
    }

    /// Sets this step's gradients, clips, updates. Returns the norm's gap.
    double advance(AdamW<T>& optimizer, int step) {
        const std::string key = std::to_string(step);
        for (auto& parameter : parameters) {
            const std::string name = "adamw.gradient." + key + "." + parameter.name;
            parameter.gradient = golden.contains(name) ? golden_tensor<T>(cpu, golden, name) : Tensor<T>{};
        }
        const double norm = clip_grad_norm_(parameters, 1.0);
        optimizer.step(parameters);
        const double expected = golden.at("adamw.norm." + key).template to_vector<double>().front();
        return std::abs(norm / expected - 1);
    }

    double worst_gap(int step) {
        double worst = 0;
        for (const auto& parameter : parameters) {
            const auto name = "adamw.value." + std::to_string(step) + "." + parameter.name;
            worst = std::max(worst, gap(parameter.value, golden_tensor<T>(cpu, golden, name)));
        }
        return worst;
    }
};

} // namespace

TEST_CASE_TEMPLATE("AdamW and clipping equal torch, with gradients that come and go", T, double, float) {
    const double limit = std::is_same_v<T, double> ? 1e-14 : 1e-6;
    RecordedRun<T> run;
    AdamW<T> optimizer(run.options);
    for (int step = 0; step < 6; ++step) {
        CAPTURE(step);
        CHECK(run.advance(optimizer, step) < limit);
        CHECK(run.worst_gap(step) < limit);
    }
    CHECK(optimizer.states().size() == 2); // "never" has none
    CHECK(optimizer.states().at("rare").step == 2);
    CHECK(optimizer.states().at("wide").step == 6);
}

TEST_CASE_TEMPLATE("AdamW under every learning-rate schedule equals torch", T, double, float) {
    Cpu cpu(1);
    const StateDict golden = read_safetensors("golden/lr_schedules.safetensors");
    const auto gradients = golden_tensor<T>(cpu, golden, "gradients");
    for (const auto& item : read_json("golden/lr_schedules.json")) {
        const auto key = item["key"].get<std::string>();
        CAPTURE(key);
        const LrSchedule schedule{
            .kind = value_in(lr_schedule_names, item["lr_scheduler"].get<std::string>(), "lr_scheduler"),
            .learning_rate = item["learning_rate"].get<double>(),
            .warmup_steps = item["lr_warmup_steps"].get<index_t>(),
            .training_steps = item["max_train_steps"].get<index_t>()};
        AdamW<T> optimizer({.learning_rate = schedule.learning_rate,
                            .beta1 = item["adam_beta1"].get<double>(),
                            .beta2 = item["adam_beta2"].get<double>(),
                            .epsilon = item["adam_epsilon"].get<double>(),
                            .weight_decay = item["adam_weight_decay"].get<double>()});
        const auto value = golden_tensor<T>(cpu, golden, "start");
        const auto expected = golden_tensor<T>(cpu, golden, key + ".values");
        for (index_t step = 0; step < gradients.shape(0); ++step) {
            const auto gradient = gradients.slice(step, step + 1).reshape(value.shape());
            optimizer.step(Parameters<T>{{"p", value, gradient}}, schedule.at(step));
            CHECK(gap(value.to_host(), expected.slice(step, step + 1).to_host()) <
                  (std::is_same_v<T, double> ? 1e-13 : 2e-6));
        }
    }
}

TEST_CASE("A training that is saved and resumed goes on as if nothing had happened") {
    RecordedRun<float> straight;
    AdamW<float> whole(straight.options);
    RecordedRun<float> broken;
    const reel_test::TemporaryFolder folder;
    {
        AdamW<float> first(broken.options);
        for (int step = 0; step < 3; ++step) {
            static_cast<void>(broken.advance(first, step));
        }
        write_safetensors(folder / "optimizer.safetensors", adamw_state_dict(first));
    }
    AdamW<float> second(broken.options);
    load_adamw_state_dict(second, broken.cpu, read_safetensors(folder / "optimizer.safetensors"), "optimizer");
    for (int step = 0; step < 6; ++step) {
        static_cast<void>(straight.advance(whole, step));
    }
    for (int step = 3; step < 6; ++step) {
        static_cast<void>(broken.advance(second, step));
    }
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(broken.parameters[i].value.to_host() == straight.parameters[i].value.to_host());
    }
}

TEST_CASE("A broken state is named") {
    Cpu cpu(1);
    const auto value = Tensor<float>::full(cpu, {2}, 1.0F);
    AdamW<float> optimizer;
    optimizer.step(Parameters<float>{{"a.weight", value, value.clone()}});
    const StateDict good = adamw_state_dict(optimizer);
    const auto refuses = [&](const std::string& name, const HostTensor* replacement, const char* part) {
        StateDict bad = good;
        bad.erase(name);
        if (replacement != nullptr) {
            bad.emplace(name, *replacement);
        }
        AdamW<float> other;
        CHECK_THROWS_WITH_AS(load_adamw_state_dict(other, cpu, bad, "file"), doctest::Contains(part), Error);
        CHECK(other.states().empty());
    };
    const auto doubles = HostTensor::make({2}, std::vector<double>{1, 2});
    const auto longer = HostTensor::make({3}, std::vector<float>{1, 2, 3});
    const auto zero = HostTensor::make({1}, std::vector<std::int64_t>{0});
    refuses("exp_avg.a.weight", nullptr, "file: tensor \"exp_avg.a.weight\" is missing");
    refuses("step.a.weight", nullptr, "\"exp_avg.a.weight\" is unexpected");
    refuses("exp_avg.b", &longer, "\"exp_avg.b\" is unexpected");
    refuses("exp_avg.a.weight", &doubles, "has type float64, expected float32");
    refuses("exp_avg.a.weight", &longer, "incomplete: exp_avg [3], exp_avg_sq [2]");
    refuses("step.a.weight", &longer, "is not one int64");
    refuses("step.a.weight", &zero, "step 0");

    AdamW<float> restored;
    load_adamw_state_dict(restored, cpu, good, "file");
    const auto other = Tensor<float>::full(cpu, {3}, 1.0F);
    CHECK_THROWS_WITH_AS(restored.step(Parameters<float>{{"a.weight", other, other.clone()}}),
                         doctest::Contains("restored state of \"a.weight\" has shape [2], but the parameter [3]"),
                         Error);
}

TEST_CASE("Wrong use is refused before anything changes") {
    Cpu cpu(1);
    const auto a = Tensor<float>::full(cpu, {2}, 1.0F);
    const auto b = Tensor<float>::full(cpu, {3}, 1.0F);
    AdamW<float> optimizer;
    CHECK_THROWS_WITH_AS(optimizer.step(Parameters<float>{{"a", a, a.clone()}, {"b", b, a.clone()}}),
                         doctest::Contains("gradient of \"b\" has shape [2], but the parameter [3]"), Error);
    CHECK_THROWS_WITH_AS(optimizer.step(Parameters<float>{{"a", a, a.clone()}, {"a", b, b.clone()}}),
                         doctest::Contains("two parameters named \"a\""), Error);
    CHECK(a.to_host() == std::vector<float>{1, 1});
    CHECK(optimizer.states().empty());
    CHECK_THROWS_WITH_AS(optimizer.step(Parameters<float>{}, -1.0), doctest::Contains("learning rate is -1"), Error);
    CHECK_THROWS_WITH_AS(AdamW<float>({.beta1 = 1}), doctest::Contains("beta1 is 1"), Error);
    CHECK_THROWS_WITH_AS(AdamW<float>({.weight_decay = -1}), doctest::Contains("weight_decay is -1"), Error);
}

TEST_CASE("Clipping scales shared gradients once, leaves small ones, and stops at NaN") {
    Cpu cpu(1);
    const auto value = Tensor<double>::full(cpu, {2}, 1.0);
    const auto shared = Tensor<double>::from_host(cpu, {2}, {3, 4});
    Parameters<double> parameters{{"a", value, shared}, {"b", value, shared}, {"c", value, {}}};
    CHECK(clip_grad_norm_(parameters, 1.0) == doctest::Approx(std::sqrt(50)));
    CHECK(shared.to_host()[0] == doctest::Approx(3 / (std::sqrt(50) + 1e-6)).epsilon(1e-12));
    const auto before = shared.to_host();
    CHECK(clip_grad_norm_(parameters, 2.0) == doctest::Approx(1));
    CHECK(shared.to_host() == before);
    CHECK(clip_grad_norm_(Parameters<double>{}, 1.0) == 0);
    parameters[1].gradient = Tensor<double>::full(cpu, {2}, std::numeric_limits<double>::quiet_NaN());
    CHECK_THROWS_WITH_AS(clip_grad_norm_(parameters, 1.0), doctest::Contains("gradient of \"b\" is not finite"), Error);
    CHECK(shared.to_host() == before);
    CHECK_THROWS_WITH_AS(clip_grad_norm_(parameters, 0.0), doctest::Contains("max_norm is 0"), Error);
}
