// Draws of a tuning step divided among ranks: what is tuned is what one process tunes.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <reel/ops/random.hpp>
#include <reel/pipelines/tuning_run.hpp>

#include "io/temporary_folder.hpp"
#include "parallel/small_unet.hpp"
#include "ranks.hpp"

using reel::Communicator;
using reel::Cpu;
using reel::index_t;
using reel::Tensor;

namespace {

/// What a tuning left.
struct Tuned {
    std::map<std::string, std::vector<double>> weights;
    std::vector<double> losses;
    std::vector<double> latents;
    std::size_t bytes = 0; ///< that this rank sent in the last step
    index_t numbers = 0;   ///< that train
};

template <class T>
[[nodiscard]] Tuned tuned(const Communicator& ranks, int draws, int steps) {
    Cpu cpu(1);
    auto unet = reel_test::small_unet<T>(cpu);
    static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
    const reel::DDPMScheduler scheduler{reel::DDPMConfig{}};
    using C = reel::compute_t<T>;
    const auto moments = reel::randn<C>(cpu, {2, 8, 8, 8}, 4);
    reel::Tuner<T> tuner(unet, scheduler, moments, reel::cast<T>(reel::randn<C>(cpu, {1, 7, 16}, 6)), 0.18,
                         {.max_train_steps = steps, .learning_rate = 1e-3, .gradient_accumulation_steps = draws});
    tuner.share_draws(ranks);
    Tuned result;
    for (int i = 0; i < steps; ++i) {
        const std::size_t before = ranks.bytes_sent();
        const auto report = tuner.update(
            [&](index_t draw) { return reel::training_noise<C>(cpu, tuner.latent_shape(), 33, draw, 1000); });
        result.losses.push_back(report.loss);
        result.bytes = ranks.bytes_sent() - before;
    }
    for (const C value : tuner.latents().to_host()) {
        result.latents.push_back(static_cast<double>(value));
    }
    reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        if (parameter.requires_grad()) {
            std::vector<double>& values = result.weights[name];
            for (const C value : parameter.master().to_host()) {
                values.push_back(static_cast<double>(value));
            }
            result.numbers += parameter.spec().shape.size();
        }
    });
    return result;
}

/// The largest difference, of the largest value.
[[nodiscard]] double difference(const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(b[i]));
        most = std::max(most, std::abs(a[i] - b[i]));
    }
    return most / largest;
}

} // namespace

TEST_CASE_TEMPLATE("five steps whose draws are divided among ranks tune as one process does", T, double, float) {
    const double bound = std::is_same_v<T, double> ? 1e-12 : 1e-5;
    for (const int draws : {1, 3, 4}) {
        const Tuned alone = tuned<T>({}, draws, 5);
        const Tuned together = tuned<T>(reel_test::world(), draws, 5);
        CHECK(difference(together.losses, alone.losses) <= bound);
        CHECK(together.latents == alone.latents);
        REQUIRE(together.weights.size() == alone.weights.size());
        REQUIRE(together.weights.size() > 4);
        for (const auto& [name, values] : together.weights) {
            CAPTURE(name);
            CHECK(difference(values, alone.weights.at(name)) <= bound);
        }
        CHECK(alone.bytes == 0);

        // What the page says: the loss, four bytes for each parameter, the gradients.
        const auto formula = [&](index_t count, std::size_t size) {
            const index_t mine = reel_test::world().share(count).count();
            return static_cast<std::size_t>(count - mine + (reel_test::world().size() - 1) * mine) * size;
        };
        if (!reel_test::world().alone()) {
            CHECK(together.bytes == formula(1, sizeof(double)) +
                                        formula(static_cast<index_t>(together.weights.size()), 4) +
                                        formula(together.numbers, sizeof(T)));
        }
    }
}

TEST_CASE("weights are the same on all ranks to the bit") {
    for (const Tuned& result :
         {tuned<float>(reel_test::world(), 3, 2), tuned<reel::bfloat16>(reel_test::world(), 3, 2)}) {
        for (const auto& [name, values] : result.weights) {
            std::vector<double> first = values;
            reel_test::world().broadcast(std::span<double>(first));
            CAPTURE(name);
            CHECK(first == values);
        }
    }
}
