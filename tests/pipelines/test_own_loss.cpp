// A loss of one's own in the loop of a tuning, with a UNet that is small.

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <reel/nn/initialize.hpp>
#include <reel/ops/random.hpp>
#include <reel/pipelines/tuning_run.hpp>

#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::index_t;
using reel::Tensor;
using reel::Variable;

namespace {

using UNet = reel::UNet3DConditionModel<float>;
using Sample = reel::TuneSample<float, Cpu>;
using Weights = std::map<std::string, std::vector<float>>;

[[nodiscard]] UNet small_unet(Cpu& cpu) {
    reel::UNetConfig config;
    config.block_out_channels = {4, 4};
    config.down_block_attention = {false, true};
    config.up_block_attention = {true, false};
    config.layers_per_block = 1;
    config.norm_num_groups = 2;
    config.cross_attention_dim = 4;
    config.heads = {1, 1};
    UNet unet(config);
    reel::initialize(unet, cpu, 3);
    static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
    return unet;
}

/// Half of the target, and neighbouring frames alike.
[[nodiscard]] Variable<float> half_and_smooth(const Variable<float>& prediction, const Sample& sample) {
    const Variable<float> error = prediction - reel::scale(sample.target, 0.5F);
    const Variable<float> change = slice(error, 1, error.shape(0)) - slice(error, 0, error.shape(0) - 1);
    return mean(square(error)) + 0.1 * mean(square(change));
}

/// The same in plain loops.
[[nodiscard]] double half_and_smooth(const std::vector<float>& prediction, const std::vector<float>& target,
                                     std::size_t frames) {
    const std::size_t size = prediction.size() / frames;
    double squares = 0;
    double changes = 0;
    const auto error = [&](std::size_t i) {
        return static_cast<double>(prediction[i]) - static_cast<double>(target[i]) / 2;
    };
    for (std::size_t i = 0; i < prediction.size(); ++i) {
        squares += error(i) * error(i);
        changes += i < size ? 0 : std::pow(error(i) - error(i - size), 2);
    }
    const auto count = static_cast<double>(prediction.size());
    return squares / count + 0.1 * changes / (count - static_cast<double>(size));
}

/// A tuning of a small UNet on a clip of three frames.
struct Job {
    Cpu cpu{1};
    UNet unet = small_unet(cpu);
    reel::DDPMScheduler scheduler{reel::DDPMConfig{}};
    Tensor<float> text = reel::randn<float>(cpu, {1, 3, 4}, 5);
    reel::Tuner<float> tuner{unet, scheduler, reel::randn<float>(cpu, {3, 4, 4, 8}, 4),
                             text, 0.5,       {.learning_rate = 1e-2}};

    [[nodiscard]] reel::TrainingNoise<float, Cpu> draw(index_t i) {
        return reel::training_noise<float>(cpu, tuner.latent_shape(), 33, i, 1000);
    }
    template <class Loss>
    reel::LossLog tune(const Loss& loss, int steps, const reel::TuneClip& around = {},
                       std::optional<std::string> resume = std::nullopt) {
        reel::TuningRun run(
            tuner, [this](index_t i) { return draw(i); }, loss);
        return reel::tune_clip(
            run, {.max_train_steps = steps, .checkpointing_steps = 2, .resume_from_checkpoint = std::move(resume)},
            around);
    }
    [[nodiscard]] Weights trained() const {
        Weights weights;
        reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
            if (parameter.requires_grad()) {
                weights[name] = parameter.value().to_host();
            }
        });
        return weights;
    }
};

[[nodiscard]] std::vector<double> losses_of(const reel::LossLog& log) {
    std::vector<double> losses;
    for (const auto& row : log.rows()) {
        losses.push_back(row.report.loss);
    }
    return losses;
}

} // namespace

TEST_CASE("tune_clip() goes down a loss of one's own, which sees target, latents, noise and timestep") {
    Job job;
    const Weights before = job.trained();
    const auto first = job.draw(0);
    std::vector<float> predicted; // before the first update
    std::vector<index_t> timesteps;
    const auto loss = [&](const Variable<float>& prediction, const Sample& sample) {
        if (timesteps.empty()) {
            predicted = prediction.value().to_host();
            CHECK(sample.target.to_host() == first.noise.to_host()); // a model that predicts the noise
            CHECK(sample.noise.to_host() == first.noise.to_host());
            CHECK(sample.latents.shape() == job.tuner.latent_shape());
        }
        timesteps.push_back(sample.timestep);
        return half_and_smooth(prediction, sample);
    };
    const std::vector<double> losses = losses_of(job.tune(loss, 4));
    REQUIRE(losses.size() == 4);
    REQUIRE(timesteps.size() == 4); // one draw for each step
    for (index_t i = 0; i < 4; ++i) {
        CHECK(timesteps[static_cast<std::size_t>(i)] == job.draw(i).timestep);
    }
    CHECK(losses[0] == doctest::Approx(half_and_smooth(predicted, first.noise.to_host(), 3)).epsilon(1e-5));
    CHECK(job.trained() != before);

    // The reference's loss is another, and leads elsewhere.
    Job usual;
    const std::vector<double> others = losses_of(usual.tune(reel::MseLoss{}, 4));
    CHECK(others[0] != losses[0]);
    CHECK(usual.trained() != job.trained());

    // On one draw again and again, the loss falls.
    Job again;
    const auto same = [&](index_t) { return again.draw(7); };
    const auto own = [](const Variable<float>& prediction, const Sample& sample) {
        return half_and_smooth(prediction, sample);
    };
    reel::TuningRun run(again.tuner, same, own);
    const std::vector<double> falling = losses_of(reel::tune_clip(run, {.max_train_steps = 20}));
    CHECK(falling.back() < 0.95 * falling.front());
}

TEST_CASE("a tuning with a loss of one's own that is stopped goes on with the same bits") {
    const TemporaryFolder folder;
    const auto own = [](const Variable<float>& prediction, const Sample& sample) {
        return half_and_smooth(prediction, sample);
    };
    Job whole;
    const std::vector<double> losses = losses_of(whole.tune(own, 5));
    const reel::TuneClip around{.folder = folder.path(), .identity = {{{"loss", "half_and_smooth"}}}};
    Job stopped;
    static_cast<void>(stopped.tune(own, 3, around));
    CHECK(std::filesystem::exists(folder / "checkpoint-2"));
    Job resumed;
    const std::vector<double> rest = losses_of(resumed.tune(own, 5, around, "latest"));
    CHECK(resumed.tuner.step_count() == 5);
    REQUIRE(rest.size() == 5); // the log goes on as well
    CHECK(rest.back() == losses.back());
    CHECK(resumed.trained() == whole.trained());
}
