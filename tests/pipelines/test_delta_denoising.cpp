// Delta denoising, and sampling that begins midway, against plain double computations.

#include <doctest/doctest.h>

#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/delta_denoising.hpp>

#include "formula_unet.hpp"

using namespace formula;

namespace {

/// fill_frames() once more: for every frame the nearest with enough, by looking at all of them.
int fill(const Values& start, Values& moved, double below) {
    constexpr std::size_t size = height * width * channels;
    std::array<double, frames> changes{};
    for (std::size_t i = 0; i < moved.size(); ++i) {
        changes[i / size] += std::abs(moved[i] - start[i]);
    }
    const double enough = below * *std::max_element(changes.begin(), changes.end());
    const Values before = moved;
    int filled = 0;
    for (std::size_t frame = 0; frame < changes.size(); ++frame) {
        std::size_t best = frame;
        for (std::size_t other = 0; other < changes.size(); ++other) {
            const auto away = [&](std::size_t f) { return std::abs(static_cast<int>(f) - static_cast<int>(frame)); };
            if (changes[other] >= enough && (changes[best] < enough || away(other) < away(best))) {
                best = other;
            }
        }
        filled += best != frame ? 1 : 0;
        for (std::size_t i = 0; i < size; ++i) {
            moved[frame * size + i] = start[frame * size + i] + (before[best * size + i] - start[best * size + i]);
        }
    }
    return filled;
}

} // namespace

TEST_CASE("frames without a change take the nearest's") {
    using Frames = std::vector<std::size_t>;
    CHECK(reel::frames_to_take({1, 9, 10, 2, 1, 1, 8}, 0.5) == Frames{1, 1, 2, 2, 2, 6, 6});
    CHECK(reel::frames_to_take({1, 9, 10}, 0) == Frames{0, 1, 2});
    CHECK(reel::frames_to_take({0, 0, 0}, 0.5) == Frames{0, 1, 2});
    CHECK(reel::frames_to_take({3, 3}, 1) == Frames{0, 1});
    CHECK(reel::frames_to_take({std::nan(""), std::nan("")}, 0.5) == Frames{0, 1});
    CHECK(reel::frames_to_take({}, 0.5).empty());

    Cpu cpu(1);
    const Tensor clean = random(cpu, clip_shape, 1);
    Tensor moved = clean.clone();
    constexpr index_t size = height * width * channels;
    for (index_t i = 0; i < size; ++i) {
        moved.data()[size + i] += 0.25 * static_cast<double>(i);
    }
    const Values whole = moved.to_host();
    CHECK(reel::fill_frames(clean, moved, 0) == 0);
    CHECK(moved.to_host() == whole);
    CHECK(reel::fill_frames(clean, moved, 0.5) == 2);
    for (index_t i = 0; i < moved.size(); ++i) {
        CHECK(moved.data()[i] ==
              doctest::Approx(clean.data()[i] + 0.25 * static_cast<double>(i % size)).epsilon(1e-12));
    }
    Tensor other(cpu, mask_shape);
    CHECK(message_of([&] { reel::fill_frames(clean, other, 0.5); }).find("frame_changes") != std::string::npos);
}

TEST_CASE(
    "delta denoising takes the steps of its definition, for every prediction type, against the clip or the draft") {
    Cpu cpu(1);
    const Tensor clean = random(cpu, clip_shape, 1);
    reel::DeltaOptions options{.steps = 4,
                               .step_size = 0.3,
                               .weakest = 0.4,
                               .strongest = 0.8,
                               .guidance_scale = 2.5,
                               .shrinkage = 0.3,
                               .fill_below = 0.9};
    int kept = 0;
    int filled = 0;
    int returned = 0;
    for (const auto& kind : {std::pair{reel::PredictionType::epsilon, reel::DeltaAgainst::clip},
                             {reel::PredictionType::v_prediction, reel::DeltaAgainst::clip},
                             {reel::PredictionType::sample, reel::DeltaAgainst::clip},
                             {reel::PredictionType::epsilon, reel::DeltaAgainst::draft},
                             {reel::PredictionType::v_prediction, reel::DeltaAgainst::draft}}) {
        const auto type = kind.first;
        const auto against = kind.second;
        options.against = against;
        const reel::DDIMScheduler scheduler(latent_ddim(type));
        const Values start = clean.to_host();
        Values moved = start;
        for (index_t step = 0; step < 4; ++step) {
            const index_t t = reel::timestep_of_strength(reel::delta_strength(options, step), 1000);
            const reel::NoiseLevel level = scheduler.schedule().level(t);
            const Values noise = reel::shared_noise<double>(cpu, clip_shape, 33, 100 + step).to_host();
            // The noise that an output stands for, from x = s clean + n noise and each type's definition.
            const auto noise_of = [&](double output, double x) {
                return type == reel::PredictionType::epsilon        ? output
                       : type == reel::PredictionType::v_prediction ? level.noise * x + level.signal * output
                                                                    : (x - level.signal * output) / level.noise;
            };
            for (std::size_t i = 0; i < moved.size(); ++i) {
                const double here = level.signal * moved[i] + level.noise * noise[i];
                const double there =
                    against == reel::DeltaAgainst::draft ? here : level.signal * start[i] + level.noise * noise[i];
                const auto output = [&](double x, double words) {
                    return predicted(x, static_cast<double>(t), words, static_cast<index_t>(i));
                };
                const double guided = output(here, -0.25) + 2.5 * (output(here, 1.5) - output(here, -0.25));
                moved[i] -= 0.3 * (noise_of(guided, here) - noise_of(output(there, -0.25), there));
            }
            for (std::size_t i = 0; i < moved.size(); i += channels) {
                const double change = std::hypot(moved[i] - start[i], moved[i + 1] - start[i + 1]) / std::sqrt(2.0);
                const double share = std::max(0.0, 1 - 0.3 / change);
                ++(share > 0 ? kept : returned);
                for (std::size_t c = i; c < i + 2; ++c) {
                    moved[c] = start[c] + share * (moved[c] - start[c]);
                }
            }
            if (step == 1 || step == 2) { // 2/3 and 5/6 of four steps
                filled += fill(start, moved, 0.9);
            }
        }
        int calls = 0;
        int steps = 0;
        const Tensor result = reel::delta_denoise(
            FormulaUnet{&calls}, scheduler, clean,
            {.source = text(cpu, -0.25), .edited = text(cpu, 1.5), .options = options, .seed = 33, .first_stream = 100},
            [&] { ++steps; });
        CHECK(largest_difference(result.to_host(), moved) < 1e-12);
        CHECK(largest_difference(moved, start) > 0.01);
        CHECK(calls == 4); // all predictions of a step in one
        CHECK(steps == 4);
        // Nothing to change: the text is the clip's own.
        const Tensor same = reel::delta_denoise(
            FormulaUnet{&calls}, scheduler, clean,
            {.source = text(cpu, 0.5), .edited = text(cpu, 0.5), .options = options, .seed = 33, .first_stream = 100});
        CHECK(largest_difference(same.to_host(), start) < 1e-14);
    }
    CHECK(filled > 0);
    CHECK(kept > 0); // both cases of shrinking are met
    CHECK(returned > 0);
}

TEST_CASE("delta denoising looks at noise strengths all over its range, and refuses options out of range") {
    const reel::DeltaOptions options{.weakest = 0.5, .strongest = 0.9};
    std::array<int, 4> quarters{};
    for (index_t step = 0; step < 60; ++step) {
        const double strength = reel::delta_strength(options, step);
        REQUIRE(strength >= 0.5);
        REQUIRE(strength < 0.9);
        ++quarters[static_cast<std::size_t>((strength - 0.5) / 0.1)];
    }
    for (const int count : quarters) {
        CHECK(std::abs(count - 15) <= 1);
    }
    for (const reel::DeltaOptions& wrong :
         {reel::DeltaOptions{.steps = 0}, reel::DeltaOptions{.step_size = 0}, reel::DeltaOptions{.weakest = 0},
          reel::DeltaOptions{.weakest = 0.8, .strongest = 0.7}, reel::DeltaOptions{.strongest = 1.1},
          reel::DeltaOptions{.guidance_scale = -1}, reel::DeltaOptions{.shrinkage = -0.1},
          reel::DeltaOptions{.fill_below = 1.5}}) {
        CHECK(message_of([&] { reel::check_options(wrong); }).find("expected") != std::string::npos);
    }
}

TEST_CASE("shared noise is one frame's in all; a difference of latents is the channels' mean") {
    Cpu cpu(1);
    const Values noise = reel::shared_noise<double>(cpu, clip_shape, 7, 1).to_host();
    const auto frame = static_cast<std::ptrdiff_t>(height * width * channels);
    CHECK(std::equal(noise.begin(), noise.begin() + frame, noise.begin() + frame));
    CHECK(std::equal(noise.begin(), noise.begin() + frame, noise.begin() + 2 * frame));
    CHECK(noise != reel::shared_noise<double>(cpu, clip_shape, 7, 2).to_host());
    CHECK(noise[0] != noise[1]);

    const Tensor a = random(cpu, clip_shape, 1);
    const Tensor b = random(cpu, clip_shape, 2);
    const Values x = a.to_host();
    const Values y = b.to_host();
    Values expected(static_cast<std::size_t>(mask_shape.size()), 0);
    for (std::size_t i = 0; i < x.size(); ++i) {
        expected[i / channels] += std::abs(x[i] - y[i]) / channels;
    }
    CHECK(largest_difference(reel::latent_difference(a, b).to_host(), expected) < 1e-14);
    CHECK(message_of([&] {
              static_cast<void>(reel::latent_difference(a, random(cpu, mask_shape, 1)));
          }).find("latent_difference") != std::string::npos);
}

TEST_CASE("sampling that skips its first steps is the rest of a whole run") {
    Cpu cpu(1);
    int calls = 0;
    const FormulaUnet unet{&calls};
    reel::DDIMScheduler sampler(latent_ddim());
    const reel::Guidance<double, Cpu> guidance{text(cpu, 1.5), text(cpu, 0.5), 3};
    std::vector<Tensor> states{random(cpu, clip_shape, 3)};
    const Tensor whole = reel::sample_clip(unet, sampler, states[0], {.guidance = guidance, .num_inference_steps = 6},
                                           reel::NoNoise{}, [&](index_t, const Tensor& x) { states.push_back(x); });
    calls = 0;
    std::vector<index_t> seen;
    const Tensor rest =
        reel::sample_clip(unet, sampler, states[2], {.guidance = guidance, .num_inference_steps = 6, .skipped = 2},
                          reel::NoNoise{}, [&](index_t k, const Tensor&) { seen.push_back(k); });
    CHECK(rest.to_host() == whole.to_host());
    CHECK(calls == 4);
    CHECK(seen == std::vector<index_t>{3, 4, 5, 6});

    // Blended: outside the mask the trajectory counts from the level where the rest begins.
    const Tensor clean = random(cpu, clip_shape, 1);
    const auto trajectory = reel::noised_trajectory(sampler, clean, random(cpu, clip_shape, 2), 6);
    const auto blended = [&](double share) {
        return reel::sample_clip_blended(unet, sampler, states[2],
                                         {.guidance = guidance,
                                          .outside = trajectory,
                                          .mask = Tensor::full(cpu, mask_shape, share),
                                          .num_inference_steps = 6,
                                          .skipped = 2})
            .to_host();
    };
    CHECK(blended(1) == whole.to_host());
    CHECK(blended(0) == clean.to_host());
    for (const index_t wrong : {index_t{-1}, index_t{6}}) {
        CHECK(message_of([&] {
                  static_cast<void>(reel::sample_clip_blended(unet, sampler, clean,
                                                              {.guidance = guidance,
                                                               .outside = trajectory,
                                                               .mask = Tensor::zeros(cpu, mask_shape),
                                                               .num_inference_steps = 6,
                                                               .skipped = wrong}));
              }).find("skipped") != std::string::npos);
        CHECK(message_of([&] {
                  static_cast<void>(reel::sample_clip(
                      unet, sampler, clean, {.guidance = guidance, .num_inference_steps = 6, .skipped = wrong}));
              }).find("skipped") != std::string::npos);
    }
}
