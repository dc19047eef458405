#include <vector>

#include <reel/pipelines/edit.hpp>

#include "formula_unet.hpp"

using namespace formula;
using reel::GuidanceInterval;

namespace {

constexpr index_t steps = 10;

/// The formula, noting how many clips each call was given.
struct CountedUnet {
    std::vector<index_t>* clips;
    Tensor operator()(const Tensor& sample, std::span<const double> at, const Tensor& text, index_t count) const {
        clips->push_back(text.shape(0));
        int calls = 0;
        return FormulaUnet{&calls}(sample, at, text, count);
    }
};

/// A UNet that is told the scale.
struct DistilledUnet {
    [[nodiscard]] bool takes_guidance_scale() const { return true; }
    Tensor at_guidance_scale(double /*scale*/, const Tensor& sample, std::span<const double> /*at*/,
                             const Tensor& /*text*/, index_t /*frames*/) const {
        return sample;
    }
    Tensor operator()(const Tensor& sample, std::span<const double> /*at*/, const Tensor& /*text*/,
                      index_t /*frames*/) const {
        return sample;
    }
};

struct Sampled {
    Values values;
    std::vector<index_t> clips;
};

Sampled sampled(Cpu& cpu, GuidanceInterval interval) {
    Sampled result;
    reel::DDIMScheduler scheduler(latent_ddim());
    result.values =
        reel::sample_clip(CountedUnet{&result.clips}, scheduler, random(cpu, clip_shape, 1),
                          {.guidance = {text(cpu, 0.5), text(cpu, -0.2), 4.0, interval}, .num_inference_steps = steps})
            .to_host();
    return result;
}

} // namespace

TEST_CASE("guidance in an interval: a plain loop over the steps, with half of the work outside") {
    Cpu cpu;
    reel::DDIMScheduler scheduler(latent_ddim());
    scheduler.set_timesteps(steps);
    Tensor x = random(cpu, clip_shape, 1);
    index_t k = 0;
    std::vector<index_t> clips;
    for (const auto timestep : scheduler.timesteps()) {
        const bool guided = k >= 2 && k < 7; // of ten steps those from 0.2 to 0.7
        Values y = x.to_host();
        for (std::size_t i = 0; i < y.size(); ++i) {
            const double at = static_cast<double>(timestep);
            const double edited = predicted(y[i], at, 0.5, static_cast<index_t>(i));
            const double away = predicted(y[i], at, -0.2, static_cast<index_t>(i));
            y[i] = guided ? away + 4 * (edited - away) : edited;
        }
        clips.push_back(guided ? 2 : 1);
        x = scheduler.step(Tensor::from_host(cpu, clip_shape, std::span<const double>(y)), timestep, x);
        ++k;
    }
    const Sampled result = sampled(cpu, {0.2, 0.7});
    CHECK(result.clips == clips);
    CHECK(largest_difference(result.values, x.to_host()) < 1e-12);
    CHECK(largest_difference(result.values, sampled(cpu, {}).values) > 1e-3);
}

TEST_CASE("guidance in the whole run is guidance in every step") {
    Cpu cpu;
    const Sampled whole = sampled(cpu, {0, 1});
    CHECK(whole.values == sampled(cpu, {}).values);
    CHECK(whole.clips == std::vector<index_t>(static_cast<std::size_t>(steps), 2));
}

TEST_CASE("a wrong interval of guidance is refused in one sentence") {
    Cpu cpu;
    for (const GuidanceInterval wrong : {GuidanceInterval{-0.1, 1}, {0.5, 0.5}, {0.7, 0.2}, {0, 1.1}}) {
        const std::string message = message_of([&] { static_cast<void>(sampled(cpu, wrong)); });
        CHECK(message.find("0 <= from < to <= 1") != std::string::npos);
    }
}

TEST_CASE("a distilled UNet has no half to leave out, and says so") {
    Cpu cpu;
    const auto sample = [&](GuidanceInterval interval) {
        reel::DDIMScheduler scheduler(latent_ddim());
        static_cast<void>(reel::sample_clip(
            DistilledUnet{}, scheduler, random(cpu, clip_shape, 1),
            {.guidance = {text(cpu, 0.5), text(cpu, -0.2), 4.0, interval}, .num_inference_steps = steps}));
    };
    CHECK(message_of([&] { sample({}); }).empty());
    CHECK(message_of([&] { sample({0.2, 1}); }).find("a distilled UNet is told the scale") != std::string::npos);
}
