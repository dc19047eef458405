#include <doctest/doctest.h>

#include <reel/autograd/arithmetic.hpp>
#include <reel/autograd/reduce.hpp>
#include <reel/models/unet_blocks.hpp>

#include "nn/exchanged_parts.hpp"

using namespace reel;
using namespace exchanged;

namespace {

/// A decoder's block of two residual blocks, the first of which changes the number of channels.
template <class T>
struct Blocks {
    Cpu cpu{2};
    UpBlock<T> block{{.channels = 12, .time_channels = 20, .groups = 4}, 16, {8, 12}, false, false};
    Tensor<T> x = randoms<T>(cpu, {6, 8, 7, 16}, 1);
    Tensor<T> early = randoms<T>(cpu, {6, 8, 7, 12}, 2);
    Tensor<T> late = randoms<T>(cpu, {6, 8, 7, 8}, 3);
    Tensor<T> time = randoms<T>(cpu, {2, 20}, 4);

    Blocks() { initialize(block, cpu, 1); }

    template <class V>
    [[nodiscard]] V run(const V& in, std::optional<CheckpointMode> checkpointing = {}) {
        std::vector<V> skips{V(early), V(late)};
        return block(in, BlockContext<V>{V(time), V{}, 3, checkpointing}, skips);
    }
    [[nodiscard]] Tensor<T> run(std::size_t piece_bytes = never) {
        cpu.piece_bytes = piece_bytes;
        return run(x);
    }
};

const auto as_they_are = [](const auto& block) { return block.features; };
const auto halved = [](const auto& block) { return block.features * 0.5; };
const auto everywhere = [](const std::string&) { return true; };

} // namespace

TEST_CASE_TEMPLATE("feature processors give the same whole, in pieces and recorded", T, float, double, bfloat16) {
    const double bound = sizeof(T) == 8 ? 1e-12 : (sizeof(T) == 4 ? 1e-4 : 0.15);
    Blocks<T> at;
    const auto plain = at.run();
    const auto in_pieces = at.run(tiny);
    const auto check = [&](const auto& processor, bool changes) {
        CHECK(set_feature_processor(at.block, everywhere, processor) == 2);
        const auto whole = at.run();
        CHECK((difference(whole, plain) > bound) == changes);
        CHECK(difference(whole, at.run(tiny)) < bound);
        if (!changes) {
            CHECK(difference(whole, plain) == 0);
            CHECK(difference(at.run(tiny), in_pieces) == 0);
        }
        at.cpu.piece_bytes = never;
        CHECK(difference(whole, at.run(Variable<T>(at.x)).value()) == 0);
        set_default_feature_processor(at.block);
        CHECK(difference(plain, at.run()) == 0);
    };
    check(as_they_are, false);
    check(halved, true);
}

TEST_CASE("a feature processor may keep what it is given, in pieces too") {
    Blocks<double> at;
    for (const std::size_t bytes : {never, tiny}) {
        std::map<std::string, Tensor<double>> kept;
        const auto keep = [&](const LayerFeatures<Tensor<double>>& block) {
            CHECK(block.clips == 2);
            kept[block.name] = block.features;
            return block.features;
        };
        set_feature_processor(at.block, everywhere, keep);
        const auto first = at.run(bytes);
        std::vector<double> before = kept.at("resnets.1").to_host();
        CHECK(kept.at("resnets.0").shape() == Shape{6, 8, 7, 12});
        set_feature_processor(at.block, "resnets.1",
                              [&](const LayerFeatures<Tensor<double>>& block) { return kept.at(block.name); });
        set_feature_processor(at.block, "resnets.0", as_they_are);
        CHECK(difference(at.run(bytes), first) == 0);
        CHECK(kept.at("resnets.1").to_host() == before);
        set_default_feature_processor(at.block);
    }
}

TEST_CASE("gradients go through a feature processor, checkpointed or not") {
    Blocks<double> at;
    set_feature_processor(at.block, "resnets.1", halved);
    const auto gradient = [&](std::optional<CheckpointMode> mode) {
        const auto leaf = Variable<double>::leaf(at.x);
        backward(sum(square(at.run(leaf, mode))));
        return leaf.grad();
    };
    const auto whole = gradient({});
    CHECK(difference(whole, gradient(CheckpointMode::exact)) == 0);
    const auto way = randoms<double>(at.cpu, at.x.shape(), 9);
    const auto loss = [&](double step) { return sum_all(square(at.run(axpby(1.0, at.x, step, way)))); };
    const double expected = sum_all(multiply(whole, way));
    CHECK((loss(1e-5) - loss(-1e-5)) / 2e-5 == doctest::Approx(expected).epsilon(1e-7));
}

TEST_CASE("what a feature processor does wrong is said") {
    Blocks<float> at;
    CHECK_THROWS_WITH_AS(set_feature_processor(at.block, "resnets.2", as_they_are),
                         doctest::Contains("set_feature_processor: no residual block is chosen"), Error);
    set_feature_processor(at.block, "resnets.1", [](const auto& block) { return block.features.slice(0, 1); });
    CHECK_THROWS_WITH_AS(static_cast<void>(at.run()),
                         "resnets.1: its feature processor gave [1, 8, 7, 12], expected the features' [6, 8, 7, 12]",
                         Error);
    set_feature_processor(at.block, "resnets.1",
                          [](const LayerFeatures<Tensor<float>>& block) { return block.features; });
    CHECK_THROWS_WITH_AS(static_cast<void>(at.run(Variable<float>(at.x))),
                         "resnets.1: its feature processor takes tensors only, so that this UNet cannot be trained "
                         "through it",
                         Error);
}
