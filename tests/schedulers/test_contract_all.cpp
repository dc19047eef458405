// What every scheduler must do. A new one is one line in `contracts()`.

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "contract.hpp"

using namespace reel;
using namespace reel::test;

namespace {

/// What a scheduler's steps follow.
enum class Follows {
    flow,       ///< the probability flow: no noise is drawn
    diffusion,  ///< the reverse diffusion: right in distribution
    consistency ///< a consistency model, which knows where the flow ends
};

struct Contract {
    const char* name; ///< as for make_scheduler()
    std::map<std::string, nlohmann::json> choices;
    Follows follows;
    double order;           ///< in which the error falls with the step
    index_t calls_per_step; ///< a run of n steps has 1 + (n - 1) * calls_per_step of them ...
    index_t more_calls = 0; ///< ... and these
    double eta = 0;
    Network network = Network::variance_preserving;

    [[nodiscard]] std::string label() const {
        return name + (choices.empty() ? "" : " " + nlohmann::json(choices).dump());
    }

    template <class T>
    [[nodiscard]] AnyScheduler<T> make(nlohmann::json with = nlohmann::json::object()) const {
        nlohmann::json config = {{"num_train_timesteps", contract_schedule.num_train_timesteps}};
        if (network == Network::variance_preserving) {
            config.update({{"beta_start", contract_schedule.beta_start},
                           {"beta_end", contract_schedule.beta_end},
                           {"beta_schedule", "linear"},
                           {"clip_sample", false}});
        }
        for (const auto& [key, value] : choices) {
            config[key] = value;
        }
        config.update(with);
        AnyScheduler<T> made = make_scheduler<T>(name, config);
        made.set_eta(eta);
        return made;
    }
};

std::vector<Contract> contracts() {
    using enum Follows;
    return {
        {"DDIMScheduler", {}, flow, 1, 1},
        {"DDIMScheduler", {{"timestep_spacing", "trailing"}}, diffusion, 1, 1, 0, 1.0},
        {"DDPMScheduler", {}, diffusion, 1, 1},
        {"PNDMScheduler", {}, flow, 2, 1, 9},
        {"PNDMScheduler", {{"skip_prk_steps", true}}, flow, 2, 1, 1},
        {"LCMScheduler", {{"original_inference_steps", 205}}, consistency, 0, 1},
        {"TCDScheduler", {{"original_inference_steps", 205}}, flow, 1, 1},
        {"TCDScheduler", {{"original_inference_steps", 205}}, consistency, 0, 1, 0, 1.0},
        {"DPMSolverMultistepScheduler", {{"solver_order", 1}}, flow, 1, 1},
        {"DPMSolverMultistepScheduler", {{"solver_order", 2}}, flow, 2, 1},
        {"DPMSolverMultistepScheduler", {{"solver_order", 2}, {"solver_type", "heun"}}, flow, 2, 1},
        {"DPMSolverMultistepScheduler", {{"solver_order", 3}}, flow, 2, 1},
        {"DPMSolverMultistepScheduler",
         {{"algorithm_type", "dpmsolver"}, {"final_sigmas_type", "sigma_min"}},
         flow,
         2,
         1},
        {"DPMSolverMultistepScheduler", {{"algorithm_type", "sde-dpmsolver++"}, {"solver_order", 1}}, diffusion, 1, 1},
        {"DPMSolverMultistepScheduler", {{"algorithm_type", "sde-dpmsolver++"}}, diffusion, 2, 1},
        {"DPMSolverSinglestepScheduler", {}, flow, 2, 1},
        {"DEISMultistepScheduler", {}, flow, 2, 1},
        {"UniPCMultistepScheduler", {}, flow, 3, 1},
        {"EulerDiscreteScheduler", {}, flow, 1, 1},
        {"EulerDiscreteScheduler", {{"use_karras_sigmas", true}}, flow, 1, 1},
        {"EulerAncestralDiscreteScheduler", {}, diffusion, 1, 1},
        {"HeunDiscreteScheduler", {}, flow, 2, 2},
        {"HeunDiscreteScheduler", {{"use_karras_sigmas", true}}, flow, 2, 2},
        {"LMSDiscreteScheduler", {}, flow, 4, 1},
        {"LMSDiscreteScheduler", {{"use_karras_sigmas", true}}, flow, 4, 1},
        {"KDPM2DiscreteScheduler", {}, flow, 2, 2},
        {"KDPM2AncestralDiscreteScheduler", {}, diffusion, 2, 2},
        {"EDMEulerScheduler", {}, flow, 1, 1, 0, 0, Network::edm},
    };
}

/// The step of the run whose start is judged: three quarters down, where levels still lie close together.
std::size_t judged_call(const Contract& contract, const std::vector<double>& timesteps) {
    const auto steps = static_cast<double>(timesteps.size()) / static_cast<double>(contract.calls_per_step);
    auto call = static_cast<std::size_t>(0.75 * steps) * static_cast<std::size_t>(contract.calls_per_step);
    while (call + 1 < timesteps.size() && timesteps[call + 1] == timesteps[call]) {
        ++call; // the last visit: others are parts of a step
    }
    return call;
}

double flow_error(const Contract& contract, index_t steps) {
    Cpu cpu(1);
    const AnalyticModel<double> model(cpu, contract_clusters, contract.network);
    auto scheduler = contract.make<double>();
    scheduler.set_timesteps(steps);
    const std::size_t call = judged_call(contract, scheduler.timesteps());
    const NoiseLevel start = model.level(scheduler.timesteps().front());
    const auto x = probability_flow(model.mixture, contract_points<double>(cpu), model.highest(), start);
    const auto run = contract_run<double>(cpu, scheduler, x, model);
    CHECK(run.draws == 0);
    const auto expected = probability_flow(model.mixture, x, start, model.level(scheduler.timesteps()[call]));
    return distance(run.states[call], expected);
}

/// For one Gaussian, a step is linear in sample and noise, so that mean and variance of what a run gives follow from
/// the runs of 0, of 1, and of every draw of noise alone: no sampling error.
double diffusion_error(const Contract& contract, index_t steps) {
    Cpu cpu(1);
    const GaussianComponent data{.mean = {0.7}, .deviation = 0.5};
    const AnalyticModel<double> model(cpu, {data});
    auto scheduler = contract.make<double>();
    scheduler.set_timesteps(steps);
    const auto& timesteps = scheduler.timesteps();
    const std::size_t judged = judged_call(contract, timesteps);
    const auto rows = static_cast<index_t>(timesteps.size()) + 2;
    std::vector<double> start(static_cast<std::size_t>(rows), 0.0);
    start[1] = start_scale(cpu, scheduler, model);
    auto x = Tensor<double>::from_host(cpu, {rows, 1}, start);
    std::size_t draws = 0;
    const auto noise = [&](const Shape& shape) {
        std::vector<double> values(static_cast<std::size_t>(shape.size()), 0.0);
        values[2 + draws++] = 1;
        return Tensor<double>::from_host(cpu, shape, values);
    };
    for (std::size_t i = 0; i < judged; ++i) {
        const auto input = scheduler.scale_model_input(x, timesteps[i]);
        x = scheduler.step(model(PredictionType::epsilon, input, timesteps[i]), timesteps[i], x, noise);
    }
    CHECK(draws > 0);
    const auto ends = scheduler.scale_model_input(x, timesteps[judged]).to_host();
    const auto mean_at = [&](NoiseLevel level) { return level.signal * data.mean[0]; };
    const auto variance_at = [&](NoiseLevel level) {
        return std::pow(level.signal * data.deviation, 2) + std::pow(level.noise, 2);
    };
    const NoiseLevel from = model.level(timesteps.front());
    const NoiseLevel to = model.level(timesteps[judged]);
    const double gain = ends[1] - ends[0];
    double variance = gain * gain * variance_at(from);
    for (std::size_t i = 0; i < draws; ++i) {
        variance += std::pow(ends[2 + i] - ends[0], 2);
    }
    const double mean = ends[0] + gain * mean_at(from);
    return std::max(std::abs(mean - mean_at(to)), std::abs(variance - variance_at(to)));
}

/// A run of a scheduler that is asked for the model's own predictions of one kind.
template <class T>
ContractRun<T> standard_run(Cpu& cpu, const Contract& contract, AnyScheduler<T>& scheduler,
                            PredictionType type = PredictionType::epsilon) {
    const AnalyticModel<T> model(cpu, contract_clusters, contract.network);
    return contract_run<T>(cpu, scheduler, contract_points<T>(cpu), model, type);
}

template <class T>
std::vector<double> wide(const Tensor<T>& x) {
    const auto values = x.to_host();
    return {values.begin(), values.end()};
}

} // namespace

TEST_CASE("Contract: halving the step divides the error by 2^order") {
    for (const Contract& contract : contracts()) {
        if (contract.follows == Follows::consistency) {
            continue;
        }
        const auto error = contract.follows == Follows::flow ? flow_error : diffusion_error;
        const double coarse = error(contract, 64);
        const double fine = error(contract, 128);
        const double order = std::log2(coarse / fine);
        MESSAGE(contract.label() << ": errors " << coarse << ", " << fine << ": order " << order);
        CHECK(order > contract.order - 0.3);
        CHECK(order < contract.order + 0.7);
    }
}

TEST_CASE("Contract: with a consistency model, any number of steps ends in the data's distribution") {
    // x at a level to x at none, along the flow of one Gaussian: the standard score stays
    Cpu cpu(1);
    const double mean = 0.7;
    const double deviation = 0.5;
    for (const Contract& contract : contracts()) {
        if (contract.follows != Follows::consistency) {
            continue;
        }
        for (const index_t steps : {1, 2, 4, 8}) {
            CAPTURE(contract.label());
            CAPTURE(steps);
            auto scheduler = contract.make<double>({{"prediction_type", "sample"}});
            scheduler.set_timesteps(steps);
            const NoiseSchedule schedule(contract_schedule);
            std::vector<double> start(static_cast<std::size_t>(steps) + 2, 0.0);
            start[1] = 1;
            auto x = Tensor<double>::from_host(cpu, {steps + 2, 1}, start);
            std::size_t draws = 0;
            const auto noise = [&](const Shape& shape) {
                std::vector<double> values(static_cast<std::size_t>(shape.size()), 0.0);
                values[2 + draws++] = 1;
                return Tensor<double>::from_host(cpu, shape, values);
            };
            double gain_start = 1;
            for (const double t : scheduler.timesteps()) {
                const NoiseLevel level = schedule.level(static_cast<index_t>(t));
                const double spread = std::hypot(level.signal * deviation, level.noise);
                const double gain = deviation / spread;
                const auto output =
                    axpby(gain, x, mean - gain * level.signal * mean, Tensor<double>::full(cpu, x.shape(), 1.0));
                x = scheduler.step(output, t, x, noise);
                gain_start = t == scheduler.timesteps().front() ? spread : gain_start;
            }
            const auto ends = x.to_host();
            double variance = std::pow((ends[1] - ends[0]) * gain_start, 2);
            for (std::size_t i = 0; i < draws; ++i) {
                variance += std::pow(ends[2 + i] - ends[0], 2);
            }
            const double first = schedule.level(static_cast<index_t>(scheduler.timesteps().front())).signal * mean;
            CHECK(ends[0] + (ends[1] - ends[0]) * first == doctest::Approx(mean).epsilon(1e-3));
            // TCD leaves the noise of timestep 0, LCM a trace of every input
            CHECK(variance == doctest::Approx(deviation * deviation).epsilon(contract.eta > 0 ? 0.05 : 1e-3));
        }
    }
}

TEST_CASE("Contract: timesteps are as many as promised, go down, and lie in the training range") {
    for (const Contract& contract : contracts()) {
        CAPTURE(contract.label());
        auto scheduler = contract.make<double>();
        for (const index_t steps : {5, 20, 50}) {
            scheduler.set_timesteps(steps);
            const auto timesteps = scheduler.timesteps();
            CHECK(static_cast<index_t>(timesteps.size()) ==
                  1 + (steps - 1) * contract.calls_per_step + contract.more_calls);
            CHECK(std::is_sorted(timesteps.rbegin(), timesteps.rend()));
            if (contract.network == Network::edm) {
                continue; // its timesteps are log(sigma) / 4
            }
            CHECK(timesteps.back() >= 0);
            CHECK(timesteps.front() <= 1024);
            // leading spacing rounds the distance of n steps down
            CHECK(timesteps.front() >= 1024 - 1025.0 / static_cast<double>(steps) - static_cast<double>(steps));
        }
    }
}

TEST_CASE("Contract: shapes are kept, and noise is drawn by those that say so alone") {
    Cpu cpu(1);
    for (const Contract& contract : contracts()) {
        CAPTURE(contract.label());
        auto scheduler = contract.make<float>();
        for (const Shape& shape : {Shape{2}, Shape{3, 2}, Shape{2, 3, 4, 2}}) {
            scheduler.set_timesteps(6);
            const AnalyticModel<float> model(cpu, contract_clusters, contract.network);
            const auto run = contract_run<float>(cpu, scheduler, Tensor<float>::full(cpu, shape, 0.5F), model);
            CHECK(run.result.shape() == shape);
            CHECK((run.draws > 0) == (contract.follows != Follows::flow));
            const auto values = run.result.to_host();
            CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
        }
    }
}

TEST_CASE("Contract: a configuration that is saved and loaded makes the same run") {
    Cpu cpu(1);
    for (const Contract& contract : contracts()) {
        CAPTURE(contract.label());
        auto scheduler = contract.make<double>();
        const nlohmann::json saved = scheduler_to_config(scheduler);
        auto loaded = make_scheduler<double>("", parse_json(saved.dump(), "saved"));
        loaded.set_eta(contract.eta);
        CHECK(scheduler_to_config(loaded) == saved);
        for (const auto& [key, value] : contract.choices) {
            CHECK(saved.at(key) == value);
        }
        scheduler.set_timesteps(8);
        loaded.set_timesteps(8);
        CHECK(loaded.timesteps() == scheduler.timesteps());
        CHECK(gap(standard_run<double>(cpu, contract, loaded).result,
                  standard_run<double>(cpu, contract, scheduler).result) == 0);
    }
}

TEST_CASE("Contract: a run does not depend on what came before it, on copies or on other runs beside it") {
    Cpu cpu(1);
    for (const Contract& contract : contracts()) {
        CAPTURE(contract.label());
        auto scheduler = contract.make<double>();
        scheduler.set_timesteps(8);
        const auto whole = standard_run<double>(cpu, contract, scheduler).result;
        scheduler.set_timesteps(8);
        CHECK(gap(standard_run<double>(cpu, contract, scheduler).result, whole) == 0);
        scheduler.set_timesteps(13); // and left in the middle
        const auto points = contract_points<double>(cpu);
        static_cast<void>(scheduler.scale_model_input(points, scheduler.timesteps().front()));
        static_cast<void>(scheduler.step(points, scheduler.timesteps().front(), points, PatternNoise<double>{&cpu}));
        scheduler.set_timesteps(8);
        CHECK(gap(standard_run<double>(cpu, contract, scheduler).result, whole) == 0);

        // step by step, each on a copy of the scheduler, with another run going on in the original
        scheduler.set_timesteps(8);
        const AnalyticModel<double> model(cpu, contract_clusters, contract.network);
        PatternNoise<double> noise{&cpu};
        PatternNoise<double> other_noise{&cpu, 100};
        auto x = scale(points, start_scale(cpu, scheduler, model));
        auto y = scale(x, -0.5);
        AnyScheduler<double> current = scheduler;
        for (const double t : scheduler.timesteps()) {
            AnyScheduler<double> next = current;
            const auto input = next.scale_model_input(x, t);
            x = next.step(model(PredictionType::epsilon, input, t), t, x, noise);
            const auto other = scheduler.scale_model_input(y, t);
            y = scheduler.step(model(PredictionType::epsilon, other, t), t, y, other_noise);
            current = next;
        }
        CHECK(gap(x, whole) == 0);
        CHECK(gap(y, whole) > 0);
    }
}

TEST_CASE("Contract: the prediction type does not change the result, and float agrees with double") {
    Cpu cpu(1);
    for (const Contract& contract : contracts()) {
        CAPTURE(contract.label());
        // PNDM combines outputs of several levels before it converts them, which agrees in the limit
        const bool combines = std::string_view(contract.name) == "PNDMScheduler";
        auto scheduler = contract.make<double>();
        scheduler.set_timesteps(combines ? 100 : 10);
        const auto expected = standard_run<double>(cpu, contract, scheduler).result;
        for (const auto& type : prediction_type_names) {
            CAPTURE(type.name);
            if (contract.network == Network::edm && type.value == PredictionType::sample) {
                continue; // EDM has two signs of one kind
            }
            auto other = contract.make<double>({{"prediction_type", type.name}});
            CHECK(other.prediction_type() == type.value);
            other.set_timesteps(combines ? 100 : 10);
            // Sigmas between timesteps are interpolated in another way than the model's levels, and kept in float32.
            CHECK(gap(standard_run<double>(cpu, contract, other, type.value).result, expected) <
                  (combines ? 0.02 : 1e-5));
        }
        auto narrow = contract.make<float>();
        narrow.set_timesteps(combines ? 100 : 10);
        CHECK(gap(wide(standard_run<float>(cpu, contract, narrow).result), expected.to_host()) < 1e-4);
    }
}

TEST_CASE("Contract: add_noise gives what the model was trained on") {
    Cpu cpu(1);
    const auto clean = contract_points<double>(cpu);
    const auto noise = PatternNoise<double>{&cpu}(clean.shape());
    for (const Contract& contract : contracts()) {
        CAPTURE(contract.label());
        const AnalyticModel<double> model(cpu, contract_clusters, contract.network);
        auto scheduler = contract.make<double>();
        scheduler.set_timesteps(12);
        const double t = scheduler.timesteps()[static_cast<std::size_t>(4 * contract.calls_per_step)];
        const NoiseLevel level = model.level(t);
        // in sigma, the clean sample is not scaled; in the model's input, both are
        const auto noisy =
            scale(scheduler.scale_model_input(scheduler.add_noise(clean, noise, t), t), model.input_scale(t));
        CHECK(gap(noisy, mix({level.signal, level.noise}, clean, noise)) < 1e-6);
    }
}

TEST_CASE("Contract: wrong use is refused, with the scheduler's name") {
    Cpu cpu(1);
    const auto x = Tensor<double>::full(cpu, {2, 2}, 0.5);
    const auto wrong = Tensor<double>::full(cpu, {4}, 0.5);
    for (const Contract& contract : contracts()) {
        CAPTURE(contract.label());
        auto scheduler = contract.make<double>();
        const auto named = doctest::Contains(scheduler.name().c_str());
        if (scheduler.timesteps().empty()) {
            CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, 500, x, x)), named, Error);
        }
        CHECK_THROWS_AS(scheduler.set_timesteps(0), Error);
        CHECK_THROWS_AS(scheduler.set_timesteps(-3), Error);
        if (contract.network != Network::edm) { // which has no training timesteps to run out of
            CHECK_THROWS_AS(scheduler.set_timesteps(100000), Error);
        }
        scheduler.set_timesteps(6);
        const double first = scheduler.timesteps().front();
        CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(wrong, first, x, x)), named, Error);
        CHECK_THROWS_WITH_AS(static_cast<void>(scheduler.step(x, 5000, x, x)), doctest::Contains("timestep 5000"),
                             Error);
        if (contract.follows != Follows::flow) {
            const auto run = [&](const auto&... noise) { // to the first step that draws
                scheduler.set_timesteps(6);
                for (const double t : scheduler.timesteps()) {
                    static_cast<void>(scheduler.step(x, t, x, noise...));
                }
            };
            CHECK_THROWS_WITH_AS(run(), doctest::Contains("draws noise"), Error);
            CHECK_THROWS_WITH_AS(run(wrong), doctest::Contains("noise of shape [4]"), Error);
        }
    }
}

TEST_CASE("Contract: every registered scheduler is in the list") {
    std::vector<std::string> names;
    for (const Contract& contract : contracts()) {
        names.push_back(contract.make<double>().name());
    }
    for (const std::string& name : scheduler_class_names()) {
        CAPTURE(name);
        CHECK(std::find(names.begin(), names.end(), name) != names.end());
    }
}
