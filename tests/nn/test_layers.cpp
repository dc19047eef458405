#include <doctest/doctest.h>

#include <cmath>

#include <reel/core/random.hpp>
#include <reel/nn/attention.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/nn/resnet.hpp>

using reel::Cpu;
using reel::index_t;
using reel::Tensor;

namespace {

Tensor<double> random(Cpu& cpu, const reel::Shape& shape, std::uint64_t stream) {
    Tensor<double> x(cpu, shape);
    reel::fill_normal(cpu, x, 1, stream);
    return x;
}

double largest_difference(const Tensor<double>& a, const Tensor<double>& b) {
    const auto x = a.to_host();
    const auto y = b.to_host();
    REQUIRE(a.shape() == b.shape());
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        largest = std::max(largest, std::abs(x[i] - y[i]));
    }
    return largest;
}

} // namespace

TEST_CASE("a frame sees the first and the former frame only, itself only when it is the first") {
    Cpu cpu(1);
    reel::BasicTransformerBlock<double> block(8, 6, 2, false);
    reel::initialize(block, cpu, 1);
    const auto text = random(cpu, {1, 3, 6}, 1);
    const auto x = random(cpu, {4, 5, 8}, 2);
    const auto y = block(x, text, 4);
    for (index_t changed = 0; changed < 4; ++changed) {
        auto other = x.clone();
        other.slice(changed, changed + 1).copy_from(random(cpu, {1, 5, 8}, 3));
        const auto z = block(other, text, 4);
        for (index_t frame = 0; frame < 4; ++frame) {
            const bool sees = changed == 0 || frame == changed || frame == changed + 1;
            CAPTURE(changed);
            CAPTURE(frame);
            CHECK((largest_difference(y.slice(frame, frame + 1), z.slice(frame, frame + 1)) > 1e-6) == sees);
        }
    }
    // Keys of the frame itself are not among those seen: what the first frame attends to is itself, though.
    const auto normal = block.norm1(x);
    reel::AttentionOptions sparse{.key_batches = reel::sparse_causal_keys(1, 4), .lists = 2};
    const auto own = block.attn1(normal.slice(0, 1), normal.slice(0, 1), {});
    CHECK(largest_difference(block.attn1(normal, normal, sparse).slice(0, 1), own) < 1e-14);
}

TEST_CASE("a still clip looks like one picture to sparse-causal attention") {
    Cpu cpu(1);
    reel::BasicTransformerBlock<double> block(8, 6, 2, false);
    reel::initialize(block, cpu, 1);
    const auto text = random(cpu, {1, 3, 6}, 1);
    const auto picture = random(cpu, {1, 5, 8}, 2);
    const auto clip = reel::concat_rows({picture, picture, picture});
    const auto one = block(picture, text, 1);
    const auto three = block(clip, text, 3);
    for (index_t frame = 0; frame < 3; ++frame) {
        CHECK(largest_difference(three.slice(frame, frame + 1), one) < 1e-13);
    }
}

TEST_CASE("temporal attention mixes frames of a pixel, not pixels of a frame, and knows no order") {
    Cpu cpu(1);
    reel::TemporalAttention<double> temporal(8, 2);
    reel::initialize(temporal, cpu, 1);
    const auto x = random(cpu, {3, 4, 8}, 2); // one clip
    const auto y = temporal(x, 3);
    auto other = x.clone();
    other.slice(1, 2).reshape({4, 8}).slice(2, 3).fill(0.5); // frame 1, pixel 2
    const auto difference = reel::subtract(temporal(other, 3), y).to_host();
    for (std::size_t i = 0; i < difference.size(); ++i) {
        const bool pixel_two = i / 8 % 4 == 2;
        CHECK((difference[i] != 0) == pixel_two);
    }
    const auto reversed = reel::concat_rows({x.slice(2, 3), x.slice(1, 2), x.slice(0, 1)});
    const auto z = temporal(reversed, 3);
    CHECK(largest_difference(z.slice(0, 1), y.slice(2, 3)) < 1e-14);
    CHECK(largest_difference(z.slice(1, 2), y.slice(1, 2)) < 1e-14);
}

TEST_CASE("a resnet normalises the frames of a clip together") {
    Cpu cpu(1);
    reel::ResnetBlock<double> resnet(4, 6, 8, 2, 1e-5);
    reel::initialize(resnet, cpu, 1);
    const auto x = random(cpu, {4, 3, 5, 4}, 2);
    const auto time = random(cpu, {2, 8}, 3);
    const auto clips = resnet(x, time, 2);
    CHECK(clips.shape() == reel::Shape{4, 3, 5, 6});
    const auto second = resnet(x.slice(2, 4), time.slice(1, 2), 1);
    CHECK(largest_difference(clips.slice(2, 4), second) < 1e-13);
    const auto frame_times =
        reel::concat_rows({time.slice(0, 1), time.slice(0, 1), time.slice(1, 2), time.slice(1, 2)});
    CHECK(largest_difference(clips, resnet(x, frame_times, 4)) > 1e-3); // frame by frame is something else
}

TEST_CASE("sizes of downsampling and upsampling") {
    Cpu cpu(1);
    reel::Downsample<double> padded(4, true);
    reel::Downsample<double> right_and_bottom(4, false);
    reel::Upsample<double> up(4);
    reel::initialize(padded, cpu, 1);
    reel::initialize(right_and_bottom, cpu, 1);
    reel::initialize(up, cpu, 1);
    const auto odd = random(cpu, {1, 7, 9, 4}, 1);
    CHECK(padded(odd).shape() == reel::Shape{1, 4, 5, 4});
    CHECK(right_and_bottom(odd).shape() == reel::Shape{1, 3, 4, 4});
    CHECK(up(odd).shape() == reel::Shape{1, 14, 18, 4});
    CHECK(up(padded(odd), 7, 9).shape() == odd.shape());
}

TEST_CASE("timestep embedding: cosines first when flipped, of phases rounded to float") {
    Cpu cpu(1);
    const std::vector<double> timesteps{0, 981};
    const auto flipped = reel::timestep_embedding<double>(cpu, timesteps, 6, true, 0).to_host();
    const auto straight = reel::timestep_embedding<double>(cpu, timesteps, 6, false, 0).to_host();
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(flipped[i] == 1);     // cos 0
        CHECK(flipped[3 + i] == 0); // sin 0
        const double frequency = std::exp(-std::log(10000.0) * static_cast<double>(i) / 3);
        CHECK(flipped[6 + i] == doctest::Approx(std::cos(981 * frequency)).epsilon(1e-3));
        CHECK(flipped[6 + i] == static_cast<double>(static_cast<float>(flipped[6 + i])));
        CHECK(straight[6 + i] == flipped[9 + i]);
        CHECK(straight[9 + i] == flipped[6 + i]);
    }
    const auto shifted = reel::timestep_embedding<double>(cpu, timesteps, 6, true, 1).to_host();
    CHECK(shifted[7] == doctest::Approx(std::cos(981 * std::exp(-std::log(10000.0) / 2))).epsilon(1e-3));
    const auto odd = reel::timestep_embedding<double>(cpu, timesteps, 7, true, 0).to_host();
    CHECK(odd.size() == 14);
    CHECK(odd[6] == 0); // the last of an odd number is padding
}
