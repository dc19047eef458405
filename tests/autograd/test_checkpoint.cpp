#include <doctest/doctest.h>

#include <reel/autograd/checkpoint.hpp>
#include <reel/autograd/functions.hpp>
#include <reel/autograd/layers.hpp>

#include "autograd/gradient_check.hpp"

using namespace reel;
using near::tensor;

namespace {

using Var = Variable<double>;

/// A block as in a network: norm, product, activation, and the input added again.
struct Block {
    Var gamma, beta, weight, bias;

    Block(Cpu& backend, std::uint64_t stream, bool trained) {
        const auto make = [&](const Shape& shape, std::uint64_t part) {
            const auto value = tensor(backend, shape, 100 * stream + part, 0.3);
            return trained ? Var::leaf(value) : Var(value);
        };
        gamma = make({8}, 1);
        beta = make({8}, 2);
        weight = make({8, 8}, 3);
        bias = make({8}, 4);
    }

    [[nodiscard]] Var operator()(const Var& x) const {
        const Var normal = group_norm(x, gamma, beta, {.sets = x.size() / 8});
        return add(activate(Silu{}, linear(normal, weight, bias)), x);
    }

    [[nodiscard]] std::vector<std::vector<double>> gradients() const {
        std::vector<std::vector<double>> all;
        for (const Var& parameter : {gamma, beta, weight, bias}) {
            all.push_back(parameter.grad().to_host());
        }
        return all;
    }
    [[nodiscard]] bool any_gradient() const {
        return gamma.grad().defined() || beta.grad().defined() || weight.grad().defined() || bias.grad().defined();
    }
};

} // namespace

TEST_CASE("checkpointing changes no number: output, inputs' and parameters' gradients") {
    Cpu backend(2);
    for (const bool input_wants : {false, true}) {
        CAPTURE(input_wants);
        const auto start = tensor(backend, {5, 8}, 1);
        const auto seed = tensor(backend, {5, 8}, 2);
        std::vector<std::vector<double>> results[2];
        for (const bool saving : {false, true}) {
            const std::vector<Block> blocks{{backend, 1, true}, {backend, 2, false}, {backend, 3, true}};
            const Var x = input_wants ? Var::leaf(start) : Var(start);
            Var y = x;
            for (std::size_t i = 0; i < blocks.size(); ++i) {
                y = saving ? checkpoint(CheckpointMode::exact, i != 1, blocks[i], y) : blocks[i](y);
            }
            auto& result = results[saving ? 1 : 0];
            result.push_back(y.value().to_host());
            backward(y, seed);
            if (input_wants) {
                result.push_back(x.grad().to_host());
            }
            for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
                for (auto& gradient : blocks[i].gradients()) {
                    result.push_back(std::move(gradient));
                }
            }
            CHECK_FALSE(blocks[1].any_gradient());
        }
        CHECK(results[0] == results[1]); // bit for bit
    }
}

TEST_CASE("checkpoint keeps the block's input and output only") {
    Cpu backend(1);
    const auto in_use = [&] { return backend.memory().statistics().in_use; };
    const std::size_t tensor_bytes = 1024 * 8 * 8;
    const Block block(backend, 1, true);
    const Var x = Var::leaf(tensor(backend, {1024, 8}, 1));
    const std::size_t before = in_use();
    const Var plain = block(x);
    const std::size_t recorded = in_use() - before;
    const Var saved = checkpoint(CheckpointMode::exact, true, block, x);
    CHECK(in_use() - before - recorded < tensor_bytes + tensor_bytes / 8 + 1024);
    CHECK(recorded > 3 * tensor_bytes);
}

TEST_CASE("inputs_only: parameters before the first wanted input get nothing, as torch's reentrant checkpoint") {
    Cpu backend(1);
    const Block first(backend, 1, true);
    const Block second(backend, 2, true);
    const auto start = tensor(backend, {5, 8}, 1);
    const auto seed = tensor(backend, {5, 8}, 2);

    SUBCASE("a constant input: the block is a constant") {
        const Var y = checkpoint(CheckpointMode::inputs_only, true, first, Var(start));
        CHECK_FALSE(y.requires_grad());
        CHECK(y.value().to_host() == first(Var(start)).value().to_host());
        // The next block, not checkpointed, trains; the first does not.
        backward(second(y), seed);
        CHECK_FALSE(first.any_gradient());
        CHECK(second.any_gradient());
    }
    SUBCASE("a wanted input: everything trains") {
        const Var x = Var::leaf(start);
        backward(checkpoint(CheckpointMode::inputs_only, true, first, x), seed);
        CHECK(first.any_gradient());
        CHECK(x.grad().defined());
    }
    SUBCASE("a constant first input and a wanted second one") {
        const Var x = Var::leaf(start);
        const auto sum = [&first](const Var& a, const Var& b) { return first(add(a, b)); };
        const Var y = checkpoint(CheckpointMode::inputs_only, true, sum, Var(start), x);
        backward(y, seed);
        CHECK(first.any_gradient());
        const auto with = x.grad().to_host();
        const Var again = Var::leaf(start);
        backward(sum(Var(start), again), seed);
        CHECK(again.grad().to_host() == with);
    }
    SUBCASE("exact mode trains the block all the same") {
        backward(checkpoint(CheckpointMode::exact, true, first, Var(start)), seed);
        CHECK(first.any_gradient());
    }
    SUBCASE("exact mode with nothing to train records nothing") {
        CHECK_FALSE(checkpoint(CheckpointMode::exact, false, Block(backend, 3, false), Var(start)).requires_grad());
    }
}

TEST_CASE("checkpoint: several inputs, one of them used outside too, and checkpoints inside checkpoints") {
    Cpu backend(1);
    const auto start = tensor(backend, {5, 8}, 1);
    const auto other = tensor(backend, {5, 8}, 3);
    const auto seed = tensor(backend, {5, 8}, 2);
    std::vector<std::vector<double>> results[3];
    for (int way = 0; way < 3; ++way) {
        const Block block(backend, 1, true);
        const Var x = Var::leaf(start);
        const Var z = Var::leaf(other);
        const auto inner = [block](const Var& a) { return block(a); };
        const auto outer = [inner, way](const Var& a, const Var& b) {
            const Var once = way == 2 ? checkpoint(CheckpointMode::exact, true, inner, a) : inner(a);
            return multiply(once, b);
        };
        const Var base = scale(x, 2);
        const Var y = way == 0 ? outer(base, z) : checkpoint(CheckpointMode::exact, true, outer, base, z);
        backward(add(y, base), seed);
        results[way] = block.gradients();
        results[way].push_back(x.grad().to_host());
        results[way].push_back(z.grad().to_host());
    }
    CHECK(results[1] == results[2]);
    REQUIRE(results[0].size() == 6);
    for (std::size_t i = 0; i < 6; ++i) {
        CAPTURE(i);
        if (i == 4) { // x feeds the sum too: its three parts are added in another order
            CHECK(near::relative_error(results[1][i], results[0][i]) < 1e-15);
        } else {
            CHECK(results[0][i] == results[1][i]);
        }
    }
}

TEST_CASE(
    "checkpoint: a recorded value that a block takes by capture, not as input, is an error when it would be lost") {
    Cpu backend(1);
    const Var x = Var::leaf(tensor(backend, {2, 8}, 1));
    const Var shared = scale(x, 2); // should have been an input of the blocks
    const auto block = [shared](const Var& a) { return multiply(a, shared); };
    const Var y = checkpoint(CheckpointMode::exact, true, block, checkpoint(CheckpointMode::exact, true, block, x));
    CHECK_THROWS_WITH_AS(backward(y, tensor(backend, {2, 8}, 2)), doctest::Contains("already"), Error);
}
