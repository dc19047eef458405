// What nobody gives: callbacks, noise; and clips as tensors.

#include <reel/ops/pointwise.hpp>
#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/schedulers/ddim_inverse.hpp>
#include <reel/schedulers/euler_ancestral_discrete.hpp>

#include "formula_unet.hpp"

using namespace formula;

TEST_CASE("callbacks and noise may be left out") {
    Cpu cpu;
    int calls = 0;
    const FormulaUnet unet{&calls};
    const auto clean = random(cpu, clip_shape, 1);
    const auto nothing = [](index_t, const Tensor&) {};
    reel::DDIMInverseScheduler inverse({.clip_sample = false});
    const auto noise = reel::invert(unet, inverse, clean, text(cpu, 0.5), 4);
    CHECK(noise.to_host() == reel::invert(unet, inverse, clean, text(cpu, 0.5), 4, nothing).to_host());
    const auto trajectory = reel::invert_trajectory(unet, inverse, clean, text(cpu, 0.5), 4);
    CHECK(trajectory.latents.back().to_host() == noise.to_host());

    reel::DDIMScheduler sampler({.clip_sample = false});
    const reel::Guidance<double, Cpu> guidance{text(cpu, 0.8), text(cpu, 0.5), 3};
    const auto edited = reel::sample_clip(unet, sampler, noise,
                                          {.guidance = {text(cpu, 0.8), text(cpu, 0.5), 3}, .num_inference_steps = 4});
    CHECK(edited.to_host() == reel::sample_clip(unet, sampler, noise, {.guidance = guidance, .num_inference_steps = 4},
                                                reel::NoNoise{}, nothing)
                                  .to_host());
    const auto mask = reel::abs(random(cpu, mask_shape, 3));
    const reel::BlendedSampling<double, Cpu> there{
        .guidance = guidance, .outside = trajectory, .mask = mask, .num_inference_steps = 4};
    CHECK(reel::sample_clip_blended(unet, sampler, noise, there).to_host() ==
          reel::sample_clip_blended(unet, sampler, noise, there, reel::NoNoise{}, nothing).to_host());
}

TEST_CASE("a sampler that draws wants noise, and a seed gives it") {
    Cpu cpu;
    int calls = 0;
    const FormulaUnet unet{&calls};
    const auto start = reel::randn<double>(cpu, clip_shape, 7);
    const reel::Sampling<double, Cpu> sampling{.guidance = {text(cpu, 0.8), text(cpu, 0.5), 3},
                                               .num_inference_steps = 4};
    reel::EulerAncestralDiscreteScheduler sampler;
    CHECK_THROWS_WITH_AS(static_cast<void>(reel::sample_clip(unet, sampler, start, sampling)),
                         doctest::Contains("draws noise"), reel::Error);
    const auto sample = [&](std::uint64_t seed) {
        return reel::sample_clip(unet, sampler, start, sampling, reel::SeededNoise<double>(cpu, seed)).to_host();
    };
    CHECK(sample(1) == sample(1));
    CHECK(sample(1) != sample(2));

    // Stream 0 is the start's; each draw has the next.
    reel::SeededNoise<double> source(cpu, 7);
    const auto first = source(clip_shape).to_host();
    const auto second = source(clip_shape).to_host();
    CHECK(first == reel::randn<double>(cpu, clip_shape, 7, 1).to_host());
    CHECK(second == reel::randn<double>(cpu, clip_shape, 7, 2).to_host());
    CHECK(first != start.to_host());
}

TEST_CASE("clips as tensors and back") {
    Cpu cpu;
    reel::Frames clip = reel::make_frames(2, 3, 4, 8);
    for (std::size_t i = 0; i < clip.rgb.size(); ++i) {
        clip.rgb[i] = static_cast<std::uint8_t>(i * 37);
    }
    const auto pixels = reel::to_tensor<float>(cpu, clip);
    CHECK(pixels.shape() == Shape{2, 3, 4, 3});
    CHECK(pixels.to_host() == reel::normalize_u8(clip.rgb));
    const reel::Frames again = reel::to_frames(pixels * 0.5F + 0.5F, 8);
    CHECK(again.count == 2);
    CHECK(again.fps == 8);
    for (std::size_t i = 0; i < clip.rgb.size(); ++i) {
        CHECK(std::abs(clip.rgb[i] - again.rgb[i]) <= 1);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(reel::to_frames(pixels)), doctest::Contains("expected 0 to 1"), reel::Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(reel::to_frames(pixels.reshape({2, 12, 3}))),
                         doctest::Contains("to_frames: [2, 12, 3]"), reel::Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(reel::to_tensor<float>(cpu, reel::Frames{})),
                         doctest::Contains("to_tensor: expected at least one frame"), reel::Error);
    const auto grey = reel::Tensor<reel::bfloat16>::full(cpu, {1, 2, 2, 1}, reel::bfloat16(0.5F));
    CHECK(reel::to_frames(grey).rgb == std::vector<std::uint8_t>(12, 127));
}
