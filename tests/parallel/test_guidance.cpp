// Guidance's halves, and other clips of one call, on ranks of their own.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <type_traits>
#include <vector>

#include <reel/ops/random.hpp>
#include <reel/parallel/clips_over_ranks.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/schedulers/ddim.hpp>

#include "parallel/small_unet.hpp"
#include "ranks.hpp"

using reel::Cpu;
using reel::index_t;
using reel::Tensor;

namespace {

/// A process alone that calls a UNet clip by clip, as ranks do.
template <class Unet>
struct ClipByClip {
    const Unet& unet;

    template <class X>
    [[nodiscard]] X operator()(const X& x, std::span<const double> times, const X& text, index_t frames) const {
        std::vector<X> parts;
        for (index_t i = 0; i < text.shape(0); ++i) {
            const bool each = static_cast<index_t>(times.size()) == text.shape(0);
            parts.push_back(unet(x.slice(i * frames, (i + 1) * frames),
                                 each ? times.subspan(static_cast<std::size_t>(i), 1) : times, text.slice(i, i + 1),
                                 frames));
        }
        return parts.size() == 1 ? parts.front() : reel::concat_rows(std::span<const X>(parts));
    }
};

template <class T>
constexpr double rounding = std::is_same_v<T, double>  ? 1e-12
                            : std::is_same_v<T, float> ? 1e-5
                                                       : 0.05;

/// The largest difference, of the largest value.
template <class X>
[[nodiscard]] double difference(const X& a, const X& b) {
    REQUIRE(a.shape() == b.shape());
    double largest = 0;
    double most = 0;
    const auto left = a.to_host();
    const auto right = b.to_host();
    for (std::size_t i = 0; i < left.size(); ++i) {
        const auto value = static_cast<double>(right[i]);
        largest = std::max(largest, std::abs(value));
        most = std::max(most, std::abs(static_cast<double>(left[i]) - value));
    }
    return most / largest;
}

} // namespace

TEST_CASE_TEMPLATE("clips of a call on ranks of their own", T, double, float, reel::bfloat16) {
    Cpu cpu(1);
    const auto unet = reel_test::small_unet<T>(cpu);
    const reel::ClipsOverRanks shared{&unet, &reel_test::world()};
    const ClipByClip<std::remove_const_t<decltype(unet)>> one_by_one{unet};
    constexpr index_t frames = 3;
    for (const index_t clips : {1, 2, 3}) {
        using C = reel::compute_t<T>;
        const auto x = reel::cast<T>(reel::randn<C>(cpu, {clips * frames, 8, 8, 4}, 5));
        const auto text = reel::cast<T>(reel::randn<C>(cpu, {clips, 7, 16}, 6));
        const std::vector<double> one{301};
        const std::vector<double> each{301, 7, 990};
        for (const auto times :
             {std::span<const double>(one), std::span<const double>(each).first(static_cast<std::size_t>(clips))}) {
            const auto found = shared(x, times, text, frames);
            const auto folded = unet(x, times, text, frames);
            // to the bit; all clips in one call have longer products, which are rounded otherwise
            CHECK(difference(found, reel_test::world().alone() ? folded : one_by_one(x, times, text, frames)) == 0);
            CHECK(difference(found, folded) <= rounding<T>);
        }
    }
}

TEST_CASE_TEMPLATE("a guided sample whose halves are on ranks of their own", T, double, float) {
    Cpu cpu(1);
    const auto unet = reel_test::small_unet<T>(cpu);
    const reel::ClipsOverRanks shared{&unet, &reel_test::world()};
    const ClipByClip<std::remove_const_t<decltype(unet)>> one_by_one{unet};
    const auto start = reel::randn<T>(cpu, {2, 8, 8, 4}, 5);
    const reel::Sampling<T, Cpu> sampling{
        .guidance = {reel::randn<T>(cpu, {1, 7, 16}, 6), reel::randn<T>(cpu, {1, 7, 16}, 7), 7.5},
        .num_inference_steps = 4};
    reel::DDIMScheduler scheduler{reel::DDIMConfig{}};
    const std::size_t before = reel_test::world().bytes_sent();
    const auto found = reel::sample_clip(shared, scheduler, start, sampling);
    const std::size_t sent = reel_test::world().bytes_sent() - before;
    const auto folded = reel::sample_clip(unet, scheduler, start, sampling);
    // of a whole run: four steps at a guidance of 7.5 carry the rounding on
    CHECK(difference(found, folded) <= 10 * rounding<T>);
    if (reel_test::world().alone()) {
        CHECK(sent == 0);
        return;
    }
    CHECK(difference(found, reel::sample_clip(one_by_one, scheduler, start, sampling)) == 0);
    // As the page says, a call: its half to all others, and of the first rank the shape.
    const auto others = static_cast<std::size_t>(reel_test::world().size() - 1);
    const std::size_t half = reel_test::world().rank() < 2 ? static_cast<std::size_t>(start.size()) * sizeof(T) : 0;
    const std::size_t shape = reel_test::world().first() ? (1 + reel::Shape::max_rank) * sizeof(index_t) : 0;
    CHECK(sent == 4 * others * (half + shape));
}
