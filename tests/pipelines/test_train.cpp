// Training from nothing: weights of the loss, rates, checkpoints. Whole steps are in test_train_step.cpp.

#include <doctest/doctest.h>

#include <reel/pipelines/training_checkpoint.hpp>

#include "io/temporary_folder.hpp"
#include "support/golden.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::Error;
using reel::index_t;
using reel::PredictionType;
using reel::Tensor;

namespace {

[[nodiscard]] reel::DDPMScheduler ddpm(PredictionType type) {
    reel::DDPMConfig config;
    config.schedule.beta_start = 0.00085;
    config.schedule.beta_end = 0.012;
    config.schedule.beta_schedule = reel::BetaSchedule::scaled_linear;
    config.prediction_type = type;
    return reel::DDPMScheduler(config);
}

/// Two parameters with gradients that depend on the step.
struct Toy {
    explicit Toy(Cpu& backend) : cpu(backend), weight(cpu, {2, 3}), bias(cpu, {4}) {
        reel::fill_normal(cpu, weight, 1, 0);
        reel::fill_normal(cpu, bias, 1, 1);
    }

    [[nodiscard]] std::vector<reel::NamedParameter<float>> parameters(std::uint64_t step = 0) const {
        Tensor<float> for_weight(cpu, {2, 3});
        Tensor<float> for_bias(cpu, {4});
        reel::fill_normal(cpu, for_weight, 2, 2 * step);
        reel::fill_normal(cpu, for_bias, 2, 2 * step + 1);
        return {{"weight", weight, for_weight}, {"bias", bias, for_bias}};
    }

    void update(reel::Training<float>& training, int steps) const {
        for (int i = 0; i < steps; ++i) {
            static_cast<void>(training.update(parameters(static_cast<std::uint64_t>(training.step_count()))));
        }
    }

    Cpu& cpu;
    Tensor<float> weight;
    Tensor<float> bias;
};

[[nodiscard]] std::string message_of(const auto& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

} // namespace

TEST_CASE("min-SNR weights, for the three things a model may predict") {
    const auto scheduler = ddpm(PredictionType::epsilon);
    const reel::NoiseSchedule& schedule = scheduler.schedule();
    for (const index_t t : {index_t{0}, index_t{200}, index_t{600}, index_t{999}}) {
        CAPTURE(t);
        const double snr = schedule.alpha_bar(t) / (1 - schedule.alpha_bar(t));
        // The loss in the clean sample weighs min(SNR, gamma); the noise's error is the sample's times SNR, the
        // velocity's times SNR + 1.
        const double in_sample = std::min(snr, 5.0);
        const auto weight = [&](PredictionType type) { return reel::min_snr_weight(schedule, type, t, 5); };
        CHECK(weight(PredictionType::sample) == doctest::Approx(in_sample));
        CHECK(weight(PredictionType::epsilon) == doctest::Approx(in_sample / snr));
        CHECK(weight(PredictionType::v_prediction) == doctest::Approx(in_sample / (snr + 1)));
        CHECK(reel::min_snr_weight(schedule, PredictionType::epsilon, t, 0) == 1);
    }
    CHECK(reel::min_snr_weight(schedule, PredictionType::epsilon, 0, 5) < 0.01); // SNR 1176
    CHECK(reel::min_snr_weight(schedule, PredictionType::epsilon, 999, 5) == 1); // SNR 0.005
    CHECK_THROWS_AS((void)reel::min_snr_weight(schedule, PredictionType::epsilon, 0, -1), Error);
}

TEST_CASE("diffusion_loss is the weighted mean of the squared error of what the model should have predicted") {
    Cpu cpu(1);
    reel::UNetConfig config;
    config.temporal = false;
    config.block_out_channels = {4, 4};
    config.down_block_attention = {false, true};
    config.up_block_attention = {true, false};
    config.layers_per_block = 1;
    config.norm_num_groups = 2;
    config.cross_attention_dim = 4;
    config.heads = {1, 1};
    reel::UNet3DConditionModel<float> unet(config);
    reel::initialize(unet, cpu, 3);
    const auto random = [&](const reel::Shape& shape, std::uint64_t stream) {
        Tensor<float> x(cpu, shape);
        reel::fill_normal(cpu, x, 4, stream);
        return x;
    };
    const Tensor<float> latents = random({2, 4, 4, 4}, 0);
    const Tensor<float> noise = random({2, 4, 4, 4}, 1);
    const Tensor<float> text = random({2, 3, 4}, 2);
    const std::vector<index_t> timesteps{30, 700};
    for (const PredictionType type : {PredictionType::epsilon, PredictionType::v_prediction, PredictionType::sample}) {
        const auto scheduler = ddpm(type);
        double expected = 0;
        for (index_t i = 0; i < 2; ++i) { // one picture at a time
            const index_t t = timesteps[static_cast<std::size_t>(i)];
            const double alpha_bar = scheduler.schedule().alpha_bar(t);
            const auto signal = static_cast<float>(std::sqrt(alpha_bar));
            const auto spread = static_cast<float>(std::sqrt(1 - alpha_bar));
            const Tensor<float> clean = latents.slice(i, i + 1);
            const Tensor<float> drawn = noise.slice(i, i + 1);
            const Tensor<float> noisy = reel::axpby(signal, clean, spread, drawn);
            const Tensor<float> target = type == PredictionType::epsilon  ? drawn
                                         : type == PredictionType::sample ? clean
                                                                          : reel::axpby(signal, drawn, -spread, clean);
            const auto at = static_cast<double>(t);
            const Tensor<float> found = unet(noisy, std::span<const double>(&at, 1), text.slice(i, i + 1), 1);
            expected += reel::min_snr_weight(scheduler.schedule(), type, t, 5) * reel::mse(found, target) / 2;
        }
        const Tensor<float> loss = reel::diffusion_loss(unet, scheduler, {latents, noise, timesteps}, text, 5);
        CHECK(static_cast<double>(loss.to_host()[0]) == doctest::Approx(expected).epsilon(1e-4));
    }
}

TEST_CASE("the learning rate rises, stays, and falls over the last steps") {
    const reel::Training<float> training(
        {.learning_rate = 0.5, .lr_warmup_steps = 10, .max_train_steps = 100, .lr_decay_steps = 20});
    const std::map<index_t, double> rates{{0, 0.0},   {5, 0.25},   {10, 0.5},  {79, 0.5}, {80, 0.5},
                                          {90, 0.25}, {99, 0.025}, {100, 0.0}, {120, 0.0}};
    for (const auto& expected : rates) {
        CAPTURE(expected.first);
        CHECK(training.learning_rate_at(expected.first) == doctest::Approx(expected.second));
    }
    const reel::Training<float> constant({.learning_rate = 0.5, .lr_warmup_steps = 0, .max_train_steps = 100});
    CHECK(constant.learning_rate_at(0) == 0.5);
    CHECK(constant.learning_rate_at(500) == 0.5);
}

TEST_CASE("a training goes on from its checkpoint as if it had not stopped") {
    const TemporaryFolder folder;
    Cpu cpu(1);
    const reel::TrainOptions options{
        .learning_rate = 0.1, .lr_warmup_steps = 2, .max_train_steps = 12, .lr_decay_steps = 4, .ema_decay = 0.9};
    const nlohmann::json same{{"seed", 3}, {"name", "toy"}};
    const Toy straight(cpu);
    reel::Training<float> whole(options);
    straight.update(whole, 12);

    const Toy first(cpu);
    reel::Training<float> before(options);
    first.update(before, 5);
    reel::save_training(folder / "checkpoint-5", before, first.parameters(), same);
    CHECK(std::distance(std::filesystem::directory_iterator(folder / "checkpoint-5"), {}) == 4);
    const Toy second(cpu);
    reel::Training<float> after(options);
    reel::load_training(folder / "checkpoint-5", cpu, after, second.parameters(), same);
    CHECK(after.step_count() == 5);
    second.update(after, 7);
    CHECK(second.weight.to_host() == straight.weight.to_host());
    CHECK(second.bias.to_host() == straight.bias.to_host());
    for (const auto& average : whole.ema().averages()) {
        CHECK(after.ema().averages().find(average.first)->second.to_host() == average.second.to_host());
    }
    CHECK(second.weight.to_host() != first.weight.to_host());
}

TEST_CASE("a checkpoint that was changed is refused by name") {
    const TemporaryFolder folder;
    Cpu cpu(1);
    const nlohmann::json same{{"seed", 3}};
    const Toy toy(cpu);
    reel::Training<float> training({.ema_decay = 0.9});
    toy.update(training, 2);
    const auto save = [&](const char* name) { reel::save_training(folder / name, training, toy.parameters(), same); };
    const auto load = [&](const char* name) {
        return message_of([&] {
            reel::Training<float> fresh({.ema_decay = 0.9});
            reel::load_training(folder / name, cpu, fresh, toy.parameters(), same);
        });
    };
    for (const char* file : {"parameters.safetensors", "averages.safetensors", "optimizer.safetensors"}) {
        save("c");
        CHECK(load("c").empty());
        std::fstream bytes(folder / "c" / file, std::ios::in | std::ios::out | std::ios::binary);
        bytes.seekg(-2, std::ios::end);
        const int byte = bytes.get();
        bytes.seekp(-2, std::ios::end);
        bytes.put(static_cast<char>(byte ^ 4));
        bytes.close();
        CHECK(contains(load("c"), file));
        CHECK(contains(load("c"), "not what was saved"));
    }
    save("checkpoint-2");
    CHECK(load("checkpoint-2").empty());
    const auto claim = [&](const char* name, std::int64_t step) {
        nlohmann::json state = reel::read_json(folder / name / "state.json");
        state["step"] = step;
        reel::write_json(folder / name / "state.json", state);
    };
    claim("checkpoint-2", std::int64_t{1} << 62);
    CHECK(contains(load("checkpoint-2"), "says step 4611686018427387904, but the folder is checkpoint-2"));
    save("c");
    claim("c", 3);
    CHECK(contains(load("c"), "says step 3, but the optimizer's state has 2 steps"));
    // A checkpoint from before there were digests.
    save("c");
    nlohmann::json state = reel::read_json(folder / "c" / "state.json");
    state.erase("sha256");
    reel::write_json(folder / "c" / "state.json", state);
    CHECK(load("c").empty());
}

TEST_CASE("a checkpoint of other options or another model is refused, and nothing is changed") {
    const TemporaryFolder folder;
    Cpu cpu(1);
    const nlohmann::json same{{"seed", 3}, {"name", "toy"}};
    const Toy toy(cpu);
    reel::Training<float> training({.ema_decay = 0.9});
    toy.update(training, 2);
    reel::save_training(folder / "c", training, toy.parameters(), same);

    const Toy other(cpu);
    const std::vector<float> untouched = other.weight.to_host();
    const auto load = [&](const nlohmann::json& options, const std::vector<reel::NamedParameter<float>>& parameters) {
        return message_of([&] {
            reel::Training<float> fresh({.ema_decay = 0.9});
            reel::load_training(folder / "c", cpu, fresh, parameters, options);
        });
    };
    CHECK(load(same, other.parameters()).empty());
    other.weight.copy_from(Tensor<float>::from_host(cpu, {2, 3}, untouched));
    CHECK(contains(load({{"seed", 4}, {"name", "toy"}}, other.parameters()), "made with seed 3, this run has 4"));
    CHECK(contains(load({{"name", "toy"}}, other.parameters()), "made with seed 3, this run has another"));
    CHECK(contains(load({{"seed", 3}, {"name", "toy"}, {"more", 1}}, other.parameters()),
                   "made with more another, this run has 1"));
    auto missing = other.parameters();
    missing.push_back({"absent", other.bias, other.bias});
    CHECK(contains(load(same, missing), "\"absent\" is missing"));
    auto fewer = other.parameters();
    fewer.pop_back();
    CHECK(contains(load(same, fewer), "holds 2 tensors, the model has 1"));
    auto turned = other.parameters();
    turned[0].value = other.weight.reshape({3, 2});
    CHECK(contains(load(same, turned), "\"weight\" is not a"));
    CHECK(other.weight.to_host() == untouched);
    put_text(folder / "c" / "state.json", "{\"step\": -1, \"options\": {}}");
    CHECK(contains(load(same, other.parameters()), "state.json"));
}
