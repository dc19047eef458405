// Difference masks and blended sampling, against plain double computations with a model that is a formula.

#include <doctest/doctest.h>

#include <reel/pipelines/difference.hpp>
#include <reel/pipelines/mask.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

#include "formula_unet.hpp"

using namespace formula;

TEST_CASE("connected regions: diagonals count, order of the first mark, sizes") {
    const std::vector<std::uint8_t> marks{1, 0, 0, 1, //
                                          0, 1, 0, 1, //
                                          0, 0, 0, 0, //
                                          9, 9, 0, 1};
    const reel::Regions regions = reel::connected_regions(marks, 4, 4);
    CHECK(regions.sizes == std::vector<int>{2, 2, 2, 1});
    CHECK(regions.labels == std::vector<int>{1, 0, 0, 2, 0, 1, 0, 2, 0, 0, 0, 0, 3, 3, 0, 4});
    CHECK(reel::connected_regions(std::vector<std::uint8_t>(6, 0), 2, 3).sizes.empty());
    CHECK(message_of([&] { static_cast<void>(reel::connected_regions(marks, 4, 5)); }).find("16 marks for 4x5") !=
          std::string::npos);
}

TEST_CASE("a mask: reference value of the clip or the frame, quantile, smoothing, growing, regions") {
    Cpu cpu(1);
    const Values map{0, 0, 0, 8, 0, 0, 0, 0, 0, 3, //
                     0, 0, 0, 0, 0, 2, 2, 2, 0, 0};
    const auto difference = Tensor::from_host(cpu, {2, 1, 10, 1}, std::span<const double>(map));
    const auto mask = [&](const reel::MaskOptions& options) { return reel::mask_of(difference, options).to_host(); };
    CHECK(mask({.threshold = 0.5, .smooth = 0}) == Values{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    CHECK(mask({.threshold = 0.2, .smooth = 0}) == Values{0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0});
    CHECK(mask({.threshold = 0.5, .per_frame = true, .smooth = 0}) ==
          Values{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0});
    // round(0.9 * 19) = 17: the third largest, 2
    CHECK(mask({.threshold = 0.9, .quantile = 0.9, .smooth = 0}) ==
          Values{0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0});
    // averages of three, of two at the edges: 8/3 around 3; 1, 1.5; 2/3, 4/3, 2, 4/3, 2/3
    CHECK(mask({.threshold = 0.5}) == Values{0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0});
    CHECK(mask({.threshold = 0.5, .smooth = 0, .dilate = 2}) ==
          Values{0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    // one region a frame, that of the largest sum and not of the most pixels
    CHECK(mask({.threshold = 0.1, .smooth = 0, .regions = 1}) ==
          Values{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0});
    CHECK(reel::mask_of(Tensor::zeros(cpu, {1, 2, 2, 1}), {.threshold = 0}).to_host() == Values(4, 0));
    CHECK(reel::mask_of(Tensor::full(cpu, {1, 2, 2, 1}, 5e-5), {}).to_host() == Values(4, 0));
    CHECK(reel::mask_of(Tensor::full(cpu, {1, 2, 2, 1}, 5e-4), {}).to_host() == Values(4, 1));
    for (const reel::MaskOptions& wrong : {reel::MaskOptions{.threshold = 1}, {.quantile = 0}, {.smooth = -1}}) {
        CHECK(message_of([&] { static_cast<void>(mask(wrong)); }).find("expected") != std::string::npos);
    }
    CHECK(message_of([&] { static_cast<void>(reel::mask_of(random(cpu, clip_shape, 1), {})); }).find("[frames, h, w") !=
          std::string::npos);
}

TEST_CASE("the difference of predictions is the mean over samples and channels of the noise's difference") {
    Cpu cpu(1);
    const Tensor clean = random(cpu, clip_shape, 1);
    const std::array strengths{0.3, 0.7};
    for (const auto type :
         {reel::PredictionType::epsilon, reel::PredictionType::v_prediction, reel::PredictionType::sample}) {
        const reel::DDIMScheduler scheduler(latent_ddim(type));
        const auto samples = reel::noised_samples(scheduler, clean, std::span<const double>(strengths), 2, 33);
        REQUIRE(samples.size() == 4);
        Values expected(static_cast<std::size_t>(mask_shape.size()), 0);
        for (std::size_t s = 0; s < samples.size(); ++s) {
            const index_t timestep = s < 2 ? 299 : 699;
            CHECK(samples[s].timestep == static_cast<double>(timestep));
            const Values x = samples[s].latents.to_host();
            const reel::NoiseLevel level = scheduler.schedule().level(timestep);
            // d noise / d output, from x = s clean + n noise and each type's definition
            const double factor = type == reel::PredictionType::epsilon        ? 1
                                  : type == reel::PredictionType::v_prediction ? level.signal
                                                                               : level.signal / level.noise;
            for (std::size_t i = 0; i < x.size(); ++i) {
                const double change = predicted(x[i], samples[s].timestep, 1.5, static_cast<index_t>(i)) -
                                      predicted(x[i], samples[s].timestep, -0.25, static_cast<index_t>(i));
                expected[i / channels] += factor * std::abs(change) / (4 * channels);
            }
        }
        int calls = 0;
        int samples_seen = 0;
        const Tensor difference = reel::prediction_difference(FormulaUnet{&calls}, samples, text(cpu, -0.25),
                                                              text(cpu, 1.5), [&] { ++samples_seen; });
        CHECK(difference.shape() == mask_shape);
        CHECK(largest_difference(difference.to_host(), expected) < 1e-12);
        CHECK(calls == 4); // both texts in one
        CHECK(samples_seen == 4);
        const auto again = reel::noised_samples(scheduler, clean, std::span<const double>(strengths), 2, 33);
        const auto other = reel::noised_samples(scheduler, clean, std::span<const double>(strengths), 2, 34);
        CHECK(again[3].latents.to_host() == samples[3].latents.to_host());
        CHECK(other[3].latents.to_host() != samples[3].latents.to_host());
        CHECK(samples[0].latents.to_host() != samples[1].latents.to_host());
    }
    CHECK(message_of([] { static_cast<void>(reel::timestep_of_strength(0, 1000)); }) != "");
    CHECK(reel::timestep_of_strength(1, 1000) == 999);
    CHECK(reel::timestep_of_strength(1e-9, 1000) == 0);
}

TEST_CASE("a trajectory keeps an inversion's every step; samples are those nearest to a strength") {
    Cpu cpu(1);
    int calls = 0;
    const FormulaUnet unet{&calls};
    const Tensor clean = random(cpu, clip_shape, 1);
    reel::DDIMInverseScheduler inverse(latent_ddim());
    std::vector<Values> seen;
    const auto trajectory = reel::invert_trajectory(unet, inverse, clean, text(cpu, 0.5), 5,
                                                    [&](index_t, const Tensor& x) { seen.push_back(x.to_host()); });
    REQUIRE(trajectory.steps() == 5);
    CHECK(trajectory.timesteps == Values{1, 201, 401, 601, 801});
    REQUIRE(trajectory.latents.size() == 6);
    for (std::size_t i = 0; i < seen.size(); ++i) {
        CHECK(trajectory.latents[i].to_host() == seen[i]);
    }
    CHECK(seen[0] == clean.to_host());
    CHECK(reel::invert(unet, inverse, clean, text(cpu, 0.5), 5, nothing).to_host() == seen[5]);
    const std::array strengths{0.35, 1.0};
    const auto samples =
        reel::trajectory_samples(reel::DDIMScheduler(latent_ddim()), trajectory, std::span<const double>(strengths));
    REQUIRE(samples.size() == 2);
    CHECK(samples[0].timestep == 401);
    CHECK(samples[0].latents.to_host() == seen[3]);
    CHECK(samples[1].timestep == 801);
    CHECK(samples[1].latents.to_host() == seen[5]);

    reel::DDIMScheduler sampler(latent_ddim());
    const Tensor noise = random(cpu, clip_shape, 2);
    const auto noised = reel::noised_trajectory(sampler, clean, noise, 5);
    CHECK(noised.timesteps == trajectory.timesteps);
    CHECK(noised.latents[0].to_host() == clean.to_host());
    CHECK(noised.latents[4].to_host() == sampler.add_noise(clean, noise, index_t{601}).to_host());
}

TEST_CASE("blended sampling keeps the trajectory outside the mask at every step and is plain sampling inside") {
    Cpu cpu(1);
    int calls = 0;
    const FormulaUnet unet{&calls};
    const Tensor clean = random(cpu, clip_shape, 1);
    reel::DDIMInverseScheduler inverse(latent_ddim());
    reel::DDIMScheduler sampler(latent_ddim());
    const auto trajectory = reel::invert_trajectory(unet, inverse, clean, text(cpu, 0.5), 4, nothing);
    const reel::Guidance<double, Cpu> guidance{text(cpu, 1.5), text(cpu, 0.5), 3};

    Values marks(static_cast<std::size_t>(mask_shape.size()), 0);
    for (std::size_t i = 0; i < marks.size(); i += 3) {
        marks[i] = 1;
    }
    marks[1] = 0.25; // a soft edge is allowed
    const auto mask = Tensor::from_host(cpu, mask_shape, std::span<const double>(marks));

    // The same in plain loops: DDIM's step, equation (12) of arXiv:2010.02502 with eta 0.
    Values x = trajectory.latents[4].to_host();
    const std::array<index_t, 4> timesteps{751, 501, 251, 1};
    std::vector<Values> expected;
    for (std::size_t k = 0; k < 4; ++k) {
        const auto t = static_cast<double>(timesteps[k]);
        const double now = sampler.schedule().alpha_bar(timesteps[k]);
        const double next = sampler.schedule().alpha_bar(std::max<index_t>(timesteps[k] - 250, 0));
        const Values outside = trajectory.latents[3 - k].to_host();
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double with = predicted(x[i], t, 1.5, static_cast<index_t>(i));
            const double without = predicted(x[i], t, 0.5, static_cast<index_t>(i));
            const double e = without + 3 * (with - without);
            const double clean_value = (x[i] - std::sqrt(1 - now) * e) / std::sqrt(now);
            const double m = marks[i / channels];
            x[i] = m * (std::sqrt(next) * clean_value + std::sqrt(1 - next) * e) + (1 - m) * outside[i];
        }
        expected.push_back(x);
    }
    std::size_t done = 0;
    const Tensor edited =
        reel::sample_clip_blended(unet, sampler, trajectory.latents.back(),
                                  {.guidance = guidance, .outside = trajectory, .mask = mask, .num_inference_steps = 4},
                                  reel::NoNoise{}, [&](index_t k, const Tensor& latents) {
                                      REQUIRE(static_cast<std::size_t>(k) == done + 1);
                                      CHECK(largest_difference(latents.to_host(), expected[done++]) < 1e-12);
                                  });
    CHECK(done == 4);
    CHECK(largest_difference(edited.to_host(), expected.back()) < 1e-12);

    // All of it inside: plain sampling. Nothing: the clip itself.
    const Tensor plain =
        reel::sample_clip(unet, sampler, trajectory.latents.back(), {.guidance = guidance, .num_inference_steps = 4});
    const auto blended = [&](double share) {
        return reel::sample_clip_blended(unet, sampler, trajectory.latents.back(),
                                         {.guidance = guidance,
                                          .outside = trajectory,
                                          .mask = Tensor::full(cpu, mask_shape, share),
                                          .num_inference_steps = 4})
            .to_host();
    };
    CHECK(blended(1) == plain.to_host());
    CHECK(blended(0) == clean.to_host());
    CHECK(largest_difference(plain.to_host(), clean.to_host()) > 0.1);
    // Noise of one's own to start with: outside the mask the trajectory counts from the first step.
    CHECK(reel::sample_clip_blended(unet, sampler, random(cpu, clip_shape, 3),
                                    {.guidance = guidance,
                                     .outside = trajectory,
                                     .mask = Tensor::zeros(cpu, mask_shape),
                                     .num_inference_steps = 4})
              .to_host() == clean.to_host());
}

TEST_CASE("blended sampling wants the inversion's noise levels") {
    Cpu cpu(1);
    int calls = 0;
    const FormulaUnet unet{&calls};
    const Tensor clean = random(cpu, clip_shape, 1);
    reel::DDIMInverseScheduler inverse(latent_ddim());
    const auto trajectory = reel::invert_trajectory(unet, inverse, clean, text(cpu, 0.5), 4, nothing);
    const reel::Guidance<double, Cpu> guidance{text(cpu, 1.5), text(cpu, 0.5), 3};
    const auto sample = [&](reel::DDIMScheduler sampler, index_t steps, const Shape& shape) {
        return message_of([&] {
            static_cast<void>(reel::sample_clip_blended(unet, sampler, clean,
                                                        {.guidance = guidance,
                                                         .outside = trajectory,
                                                         .mask = Tensor::zeros(cpu, shape),
                                                         .num_inference_steps = steps}));
        });
    };
    CHECK(sample(reel::DDIMScheduler(latent_ddim()), 4, mask_shape) == "");
    CHECK(sample(reel::DDIMScheduler(latent_ddim()), 5, mask_shape).find("5 sampling steps") != std::string::npos);
    auto trailing = latent_ddim();
    trailing.timestep_spacing = reel::TimestepSpacing::trailing;
    CHECK(sample(reel::DDIMScheduler(trailing), 4, mask_shape).find("timestep 999") != std::string::npos);
    CHECK(sample(reel::DDIMScheduler(latent_ddim()), 4, clip_shape).find("blend") != std::string::npos);
}
