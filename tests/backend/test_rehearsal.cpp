#include <doctest/doctest.h>

#include <reel/backend/cpu/rehearsal.hpp>
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/unet.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/pipelines/tune.hpp>

using namespace reel;

namespace {

using FloatTensor = Tensor<float, Cpu>;

[[nodiscard]] UNetConfig small_unet() {
    UNetConfig config;
    config.block_out_channels = {32, 64};
    config.down_block_attention = {true, false};
    config.up_block_attention = {false, true};
    config.heads = {2, 4};
    config.layers_per_block = 1;
    config.cross_attention_dim = 16;
    config.norm_num_groups = 8;
    config.temporal = true;
    return config;
}

/// Peaks of the work's stages: what is counted, and what the pool holds with the blocks it keeps.
struct Peaks {
    std::vector<std::size_t> counted;
    std::vector<std::size_t> held;

    void end_stage(Cpu& cpu) {
        counted.push_back(cpu.memory().statistics().peak);
        held.push_back(cpu.memory().statistics().held_peak);
        cpu.memory().reset_peak();
    }
};

void forward(Cpu& cpu, Peaks& peaks) {
    UNet3DConditionModel<float, Cpu> unet(small_unet());
    initialize(unet, cpu, 1);
    peaks.end_stage(cpu);
    const auto sample = FloatTensor::full(cpu, {6, 16, 16, 4}, 0.5F);
    const auto text = FloatTensor::full(cpu, {2, 7, 16}, 0.25F);
    const double timestep = 10;
    const FloatTensor out = unet(sample, std::span<const double>(&timestep, 1), text, 3);
    peaks.end_stage(cpu);
}

void autoencode(Cpu& cpu, Peaks& peaks) {
    AutoencoderKLConfig config;
    config.block_out_channels = {32, 64};
    config.layers_per_block = 1;
    config.norm_num_groups = 8;
    AutoencoderKL<float, Cpu> vae(config);
    initialize(vae, cpu, 1);
    const auto pictures = FloatTensor::full(cpu, {1, 32, 32, 3}, 0.5F);
    const FloatTensor moments = vae.encode(pictures);
    peaks.end_stage(cpu);
    const FloatTensor decoded = vae.decode(sample_latents(moments, FloatTensor(), 1.0));
    peaks.end_stage(cpu);
}

void tune(Cpu& cpu, Peaks& peaks, bool checkpointing) {
    UNet3DConditionModel<float, Cpu> unet(small_unet());
    initialize(unet, cpu, 1);
    set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"});
    if (checkpointing) {
        unet.gradient_checkpointing = CheckpointMode::exact;
    }
    const DDPMScheduler scheduler;
    Tuner<float, Cpu> tuner(unet, scheduler, FloatTensor::zeros(cpu, {3, 16, 16, 8}),
                            FloatTensor::full(cpu, {1, 7, 16}, 0.25F), 0.18, {.max_train_steps = 2});
    for (int step = 0; step < 2; ++step) {
        (void)tuner.update(
            [&](index_t draw) { return training_noise<float>(cpu, tuner.latent_shape(), 1, draw, 1000); });
        peaks.end_stage(cpu);
    }
}

template <class Work>
void compare(int threads, const Work& work, bool exact) {
    Peaks real;
    {
        Cpu cpu(threads);
        work(cpu, real);
    }
    for (const double patience : {0.0, 0.02}) {
        Rehearsal rehearsal(patience);
        Cpu cpu(threads, &rehearsal);
        Peaks predicted;
        work(cpu, predicted);
        REQUIRE(predicted.counted.size() == real.counted.size());
        for (std::size_t i = 0; i < real.counted.size(); ++i) {
            if (exact) {
                CHECK(predicted.counted[i] == real.counted[i]);
                // A loop's last body may take a smaller block than the others, which the pool keeps too.
                const double held = static_cast<double>(real.held[i]);
                CHECK(std::abs(static_cast<double>(predicted.held[i]) - held) < 0.05 * held);
            } else { // threads that do not work at once take less
                CHECK(predicted.counted[i] >= real.counted[i]);
                CHECK(static_cast<double>(predicted.counted[i]) < 1.1 * static_cast<double>(real.counted[i]));
            }
        }
        CHECK((rehearsal.seconds() > 0) == (patience > 0));
    }
}

} // namespace

TEST_CASE("Rehearsal: memory of a UNet, to the byte") {
    compare(1, forward, true);
    compare(3, forward, false);
}

TEST_CASE("Rehearsal: memory of the autoencoder, to the byte") {
    compare(1, autoencode, true);
}

TEST_CASE("Rehearsal: memory of tuning, with and without checkpointing, to the byte") {
    for (const bool checkpointing : {false, true}) {
        CAPTURE(checkpointing);
        compare(
            1, [&](Cpu& cpu, Peaks& peaks) { tune(cpu, peaks, checkpointing); }, true);
    }
}

namespace {

constexpr std::size_t smallest_pieces = std::size_t{1} << 14;
constexpr std::size_t small_pieces = std::size_t{1} << 18;

/// Bytes that a call of the UNet with guidance takes beyond weights and input, or a checkpointed tuning step, of
/// pictures of 32 x 32 latents.
[[nodiscard]] double counted(index_t frames, bool tuning, std::size_t piece_bytes) {
    Rehearsal rehearsal(0);
    Cpu cpu(1, &rehearsal);
    cpu.piece_bytes = piece_bytes;
    UNet3DConditionModel<float, Cpu> unet(small_unet());
    initialize(unet, cpu, 1);
    const auto beyond = [&](const auto& run) {
        cpu.memory().reset_peak();
        const std::size_t before = cpu.memory().statistics().in_use;
        run();
        return static_cast<double>(cpu.memory().statistics().peak - before);
    };
    if (!tuning) {
        const auto sample = FloatTensor::zeros(cpu, {2 * frames, 32, 32, 4});
        const auto text = FloatTensor::zeros(cpu, {2, 7, 16});
        const double timestep = 10;
        return beyond([&] { (void)unet(sample, std::span<const double>(&timestep, 1), text, frames); });
    }
    set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"});
    unet.gradient_checkpointing = CheckpointMode::exact;
    const DDPMScheduler scheduler;
    Tuner<float, Cpu> tuner(unet, scheduler, FloatTensor::zeros(cpu, {frames, 32, 32, 8}),
                            FloatTensor::full(cpu, {1, 7, 16}, 0.25F), 0.18, {.max_train_steps = 2});
    return beyond([&] {
        (void)tuner.update(
            [&](index_t draw) { return training_noise<float>(cpu, tuner.latent_shape(), 1, draw, 1000); });
    });
}

} // namespace

TEST_CASE("Rehearsal: memory of work in pieces, to the byte") {
    compare(
        1,
        [](Cpu& cpu, Peaks& peaks) {
            cpu.piece_bytes = smallest_pieces;
            forward(cpu, peaks);
            autoencode(cpu, peaks);
        },
        true);
    compare(
        1,
        [](Cpu& cpu, Peaks& peaks) {
            cpu.piece_bytes = smallest_pieces;
            tune(cpu, peaks, true);
        },
        true);
}

TEST_CASE("long clips: memory grows with the frames by what the blocks hand on, and no more") {
    // What one frame has at full size: 32 channels in 32 x 32 pixels, of floats.
    constexpr double unit = 32 * 32 * 32 * 4;
    const auto growth = [](bool tuning, std::size_t bytes) {
        return (counted(64, tuning, bytes) - counted(32, tuning, bytes)) / 32 / unit;
    };
    constexpr std::size_t never = std::size_t{1} << 40;
    // Of both halves of guidance, in the first layer that joins a skip at full size: two skips, what comes from below
    // (64 channels), the result.
    CHECK(growth(false, small_pieces) < 2 * (2 + 2 + 1) * 1.05);
    CHECK(growth(false, never) > 1.5 * 2 * (2 + 2 + 1));
    // Inputs of the checkpointed resnets and transformers, and the skips, which are among them: at full size down
    // 1 + 1 + 1, up 2 + 1 + 1 + 1 and the last result; at half, a quarter of the pixels with 32 or 64 channels: down
    // 0.25 + 0.5, the middle's recording, which is never checkpointed, up 0.5 + 0.5.
    const double checkpoints = 3 + 5 + 1 + 0.25 + 0.5 + 1;
    // One transformer's recording while it is run back: 16 tensors (4 norms' inputs, 2 normalised inputs, 3 queries,
    // 2 keys, 2 values, 3 results), and the gradients at hand; and as much at half size in the middle.
    const double recording = 16 + 8;
    CHECK(growth(true, small_pieces) < checkpoints + recording + 0.5 * recording);
    CHECK(growth(true, never) > growth(true, small_pieces) + 3);
}

TEST_CASE("Rehearsal: large work takes hardly any memory, and none of the time") {
    Rehearsal memory_alone(0);
    Cpu cpu(2, &memory_alone);
    const std::size_t before = resident_bytes();
    const Stopwatch watch;
    const FloatTensor a = FloatTensor::full(cpu, {1 << 16, 1 << 14}, 1.0F); // 4 GiB
    const FloatTensor b = a.clone();
    CHECK(sum_all(add(a, b)) == 0); // what comes to the host is zeros
    CHECK(cpu.memory().statistics().peak >= 3 * (std::size_t{4} << 30));
    CHECK(resident_bytes() < before + (64U << 20));
    CHECK(watch.seconds() < 2);
}

TEST_CASE("Rehearsal: the time of steps that are alike") {
    Rehearsal rehearsal;
    Cpu cpu(1, &rehearsal);
    const FloatTensor x = FloatTensor::zeros(cpu, {1 << 20});
    int calls = 0;
    const double before = rehearsal.seconds();
    rehearsal.repeat(1000, [&] {
        ++calls;
        x.fill(1);
    });
    CHECK(calls == 3);
    const double all = rehearsal.seconds() - before;
    x.fill(1);
    const double one = rehearsal.seconds() - before - all;
    CHECK(one > 0);
    CHECK(all >= 1000 * one * (1 - 1e-6));
}

TEST_CASE("Rehearsal: indices get to where they are looked for") {
    Rehearsal rehearsal;
    Cpu cpu(1, &rehearsal);
    const std::vector<std::int32_t> indices{3, 1, 2};
    const auto kept = Tensor<std::int32_t, Cpu>::from_host(cpu, {3}, indices);
    CHECK(kept.data()[0] == 3);
    CHECK(kept.data()[2] == 2);
}
