#include <doctest/doctest.h>

#include <reel/models/transformer.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/nn/resnet.hpp>

using namespace reel;

namespace {

using Tensors = Tensor<double, Cpu>;
using Var = Variable<double, Cpu>;

constexpr std::size_t never = std::size_t{1} << 40; // pieces so large that everything goes whole
constexpr std::size_t tiny = std::size_t{1} << 12;

Tensors randoms(Cpu& cpu, const Shape& shape, std::uint64_t stream) {
    Tensors x(cpu, shape);
    fill_normal(cpu, x, 7, stream);
    return x;
}

double largest_difference(const Tensors& a, const Tensors& b) {
    REQUIRE(a.shape() == b.shape());
    const auto x = a.to_host();
    const auto y = b.to_host();
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        largest = std::max(largest, std::abs(x[i] - y[i]));
    }
    return largest;
}

/// What `run` gives whole and in pieces must agree; in pieces it must take less memory.
template <class Run>
void compare(Cpu& cpu, const Run& run) {
    const auto with = [&](std::size_t bytes) {
        cpu.piece_bytes = bytes;
        cpu.memory().reset_peak();
        const std::size_t before = cpu.memory().statistics().in_use;
        const Tensors y = run();
        return std::pair{y, cpu.memory().statistics().peak - before};
    };
    const auto [whole, whole_bytes] = with(never);
    const auto [pieces, piece_bytes] = with(tiny);
    CHECK(largest_difference(whole, pieces) < 1e-12);
    CHECK(piece_bytes < whole_bytes);
}

} // namespace

TEST_CASE("pieces cover everything once and are nearly equal") {
    Cpu cpu(1);
    cpu.piece_bytes = 1000;
    CHECK(at_once(cpu, 10, 100) == 10);
    CHECK(at_once(cpu, 11, 100) == 6);
    CHECK(at_once(cpu, 5, 5000) == 1);
    CHECK(at_once(cpu, 5, 5000, 3) == 3);
    CHECK(at_once(cpu, 0, 100) == 1);
    index_t next = 0;
    for_each_piece(11, 4, [&](index_t begin, index_t end) {
        CHECK(begin == next);
        CHECK(end - begin <= 4);
        next = end;
    });
    CHECK(next == 11);
}

TEST_CASE("a transformer gives the same in pieces, on clips of every length") {
    Cpu cpu(2);
    for (const index_t frames : {1, 2, 5}) {
        CAPTURE(frames);
        Transformer3DModel<double> model(
            {.channels = 16, .text_channels = 12, .heads = 2, .groups = 4, .layers = 2, .temporal = frames > 1});
        initialize(model, cpu, 1);
        const Tensors x = randoms(cpu, {2 * frames, 6, 5, 16}, 1);
        const Tensors text = randoms(cpu, {2, 7, 12}, 2);
        const Tensors before = x.clone();
        compare(cpu, [&] { return model(x, text, frames); });
        const auto& block = model.transformer_blocks[0];
        const Tensors tokens = x.reshape({2 * frames, 30, 16});
        compare(cpu, [&] { return block(tokens, text, frames); });
        CHECK(largest_difference(x, before) == 0); // in place on copies only
    }
}

TEST_CASE("a resnet and an upsampling give the same in pieces") {
    Cpu cpu(2);
    const Tensors x = randoms(cpu, {6, 8, 7, 16}, 1);
    const Tensors skip = randoms(cpu, {6, 8, 7, 8}, 2);
    const Tensors time = randoms(cpu, {2, 20}, 3);
    ResnetBlock<double> plain(16, 16, 20, 4, 1e-5);
    initialize(plain, cpu, 1);
    compare(cpu, [&] { return plain(x, time, 2); });
    // Groups of 24 / 6 = 4 channels, and of 24 / 4 = 6 that lie across the border between x and the skip.
    for (const index_t groups : {6, 4}) {
        ResnetBlock<double> joined(24, 12, 20, groups, 1e-5);
        initialize(joined, cpu, 1);
        compare(cpu, [&] { return joined(x, skip, time, 2); });
        cpu.piece_bytes = never;
        CHECK(largest_difference(joined(x, skip, time, 2), joined(concat_channels(x, skip), time, 2)) == 0);
    }
    ResnetBlock<double> of_pictures(16, 8, 0, 4, 1e-6); // as in the autoencoder
    initialize(of_pictures, cpu, 1);
    compare(cpu, [&] { return of_pictures(x, Tensors{}, 6); });
    Upsample<double> upsample(16);
    initialize(upsample, cpu, 1);
    compare(cpu, [&] { return upsample(x, 15, 14); });
}

TEST_CASE("gradients through a transformer are the same with the feed-forward in pieces") {
    Cpu cpu(2);
    Transformer3DModel<double> model({.channels = 8, .text_channels = 12, .heads = 2, .groups = 4});
    initialize(model, cpu, 1);
    const Tensors x = randoms(cpu, {6, 24, 40, 8}, 1); // 5760 rows, of which at least 2048 are widened at once
    const Tensors text = randoms(cpu, {2, 7, 12}, 2);
    const Tensors seed = randoms(cpu, {6, 24, 40, 8}, 3);
    for (const bool feed_forward_trains : {true, false}) {
        CAPTURE(feed_forward_trains);
        for_each_parameter(model, [&](const std::string& name, auto& parameter) {
            parameter.train(feed_forward_trains || name.find("ff.") == std::string::npos);
        });
        const auto gradients = [&](std::size_t bytes) {
            cpu.piece_bytes = bytes;
            const Var leaf = Var::leaf(x);
            const Var y = model(leaf, Var(text), 3);
            backward(y, seed);
            std::vector<Tensors> all{y.value(), leaf.grad()};
            for_each_parameter(model, [&](const std::string& /*name*/, auto& parameter) {
                if (parameter.requires_grad()) {
                    all.push_back(parameter.grad());
                }
            });
            zero_grad(model);
            return all;
        };
        const auto whole = gradients(never);
        const auto pieces = gradients(tiny);
        REQUIRE(whole.size() == pieces.size());
        for (std::size_t i = 0; i < whole.size(); ++i) {
            CAPTURE(i);
            REQUIRE(whole[i].defined());
            CHECK(largest_difference(whole[i], pieces[i]) < 1e-10); // sums of thousands of rows
        }
    }
}
