// Guidance's halves, and other clips of one call, on ranks of their own.

#include <doctest/doctest.h>

#include <vector>

#include <reel/nn/initialize.hpp>
#include <reel/ops/random.hpp>
#include <reel/parallel/clips_over_ranks.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/schedulers/ddim.hpp>

#include "parallel/small_unet.hpp"
#include "ranks.hpp"

using reel::Cpu;
using reel::index_t;
using reel::Tensor;

TEST_CASE_TEMPLATE("guidance's halves on ranks of their own give one process's bits", T, double, float,
                   reel::bfloat16) {
    Cpu cpu(1);
    const auto unet = reel_test::small_unet<T>(cpu);
    const reel::ClipsOverRanks shared{&unet, &reel_test::world()};
    constexpr index_t frames = 3;
    for (const index_t clips : {1, 2, 3}) {
        using C = reel::compute_t<T>;
        const auto x = reel::cast<T>(reel::randn<C>(cpu, {clips * frames, 8, 8, 4}, 5));
        const auto text = reel::cast<T>(reel::randn<C>(cpu, {clips, 7, 16}, 6));
        const std::vector<double> one{301};
        const std::vector<double> each{301, 7, 990};
        for (const auto times :
             {std::span<const double>(one), std::span(each).first(static_cast<std::size_t>(clips))}) {
            const auto expected = unet(x, times, text, frames);
            const auto found = shared(x, times, text, frames);
            REQUIRE(found.shape() == expected.shape());
            const auto a = found.to_host();
            const auto b = expected.to_host();
            index_t different = 0;
            for (std::size_t i = 0; i < a.size(); ++i) {
                different += static_cast<C>(a[i]) == static_cast<C>(b[i]) ? 0 : 1;
            }
            CHECK(different == 0);
        }
    }
}

TEST_CASE_TEMPLATE("a guided sample on ranks is one process's to the bit", T, double, float) {
    Cpu cpu(1);
    const auto unet = reel_test::small_unet<T>(cpu);
    const reel::ClipsOverRanks shared{&unet, &reel_test::world()};
    const auto start = reel::randn<T>(cpu, {2, 8, 8, 4}, 5);
    const reel::Sampling<T, Cpu> sampling{
        .guidance = {reel::randn<T>(cpu, {1, 7, 16}, 6), reel::randn<T>(cpu, {1, 7, 16}, 7), 7.5},
        .num_inference_steps = 4};
    reel::DDIMScheduler scheduler{reel::DDIMConfig{}};
    const auto expected = reel::sample_clip(unet, scheduler, start, sampling);
    CHECK(reel::sample_clip(shared, scheduler, start, sampling).to_host() == expected.to_host());
}
