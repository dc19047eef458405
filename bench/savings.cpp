// savings: the same work with and without each thing that reel does to save time or memory, at shapes of Stable
// Diffusion 1.x: 4 frames of 256 x 256 pixels, both halves of guidance. Prints a Markdown table; one thread.

#include <cmath>
#include <functional>
#include <iomanip>
#include <iostream>
#include <limits>

#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/cpu/gemm_serial.hpp>
#include <reel/core/random.hpp>
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/transformer.hpp>
#include <reel/nn/initialize.hpp>

#include "processor_seconds.hpp"

namespace {

using reel::Cpu;
using reel::index_t;
using reel::Shape;
using Tensor = reel::Tensor<float>;
using Variable = reel::Variable<float>;

constexpr index_t frames = 4;
constexpr index_t pictures = 2 * frames; ///< of both halves of guidance
constexpr index_t side = 32;
constexpr index_t tokens = side * side;
constexpr index_t channels = 320;
constexpr index_t heads = 8;

Tensor randoms(Cpu& cpu, const Shape& shape, std::uint64_t stream) {
    Tensor x(cpu, shape);
    reel::fill_normal(cpu, x, 1, stream);
    return x;
}

/// Processor time of a run and what it takes at most beyond what is there before.
struct Cost {
    double seconds = std::numeric_limits<double>::infinity();
    double megabytes = 0;
};

using Work = std::function<void()>;

/// The least of five runs after one that is not counted, each of as many calls as take a fifth of a second.
Cost cost_of(Cpu& cpu, const Work& work) {
    Cost cost;
    cpu.memory().release_cached(); // what other work left
    const std::size_t before = cpu.memory().statistics().in_use;
    cpu.memory().reset_peak();
    double start = processor_seconds();
    work();
    cost.megabytes = 1e-6 * static_cast<double>(cpu.memory().statistics().peak - before);
    const int calls = 1 + static_cast<int>(0.2 / std::max(processor_seconds() - start, 1e-4));
    for (int run = 0; run < 5; ++run) {
        start = processor_seconds();
        for (int call = 0; call < calls; ++call) {
            work();
        }
        cost.seconds = std::min(cost.seconds, (processor_seconds() - start) / calls);
    }
    return cost;
}

void row(Cpu& cpu, const char* saving, const Work& with, const Work& without) {
    const Cost on = cost_of(cpu, with);
    const Cost off = cost_of(cpu, without);
    std::cout << std::fixed << "| " << saving << " | " << std::setprecision(2) << 1e3 * on.seconds << " | "
              << 1e3 * off.seconds << " | " << off.seconds / on.seconds << " | " << std::setprecision(1) << on.megabytes
              << " | " << off.megabytes << " |" << std::endl;
}

/// Each of `count` pictures of x as often as `times`, one after the other.
Tensor repeated(const Tensor& x, index_t times) {
    Tensor all(x.backend(), x.shape().with(0, x.shape(0) * times));
    for (index_t i = 0; i < all.shape(0); ++i) {
        all.slice(i, i + 1).copy_from(x.slice(i / times, i / times + 1));
    }
    return all;
}

/// softmax of each row, in place.
struct SoftmaxRow {
    float* x;
    index_t width;
    void operator()(index_t row) const {
        reel::cpu::ArrayMap<float> values(x + row * width, width);
        values = (values - values.maxCoeff()).exp();
        values /= values.sum();
    }
};

/// Attention that keeps the scores of all heads: [pictures, heads, tokens, tokens].
Tensor attention_by_matrix(const Tensor& q, const Tensor& k, const Tensor& v) {
    Cpu& cpu = q.backend();
    constexpr index_t head = channels / heads;
    const Tensor scores(cpu, {pictures, heads, tokens, tokens});
    Tensor out(cpu, q.shape());
    const auto each_picture = [&](const auto& run) {
        for (index_t i = 0; i < pictures; ++i) {
            run(scores.data() + i * heads * tokens * tokens, i * tokens * channels);
        }
    };
    each_picture([&](float* own, index_t at) {
        reel::run_gemm(cpu, reel::GemmProblem<float>{.transpose_b = true,
                                                     .m = tokens,
                                                     .n = tokens,
                                                     .k = head,
                                                     .alpha = 1 / std::sqrt(static_cast<float>(head)),
                                                     .a = q.data() + at,
                                                     .lda = channels,
                                                     .b = k.data() + at,
                                                     .ldb = channels,
                                                     .c = own,
                                                     .ldc = tokens,
                                                     .batch = heads,
                                                     .stride_a = head,
                                                     .stride_b = head,
                                                     .stride_c = tokens * tokens});
    });
    cpu.for_each_index(pictures * heads * tokens, SoftmaxRow{scores.data(), tokens}, 16);
    each_picture([&](float* own, index_t at) {
        reel::run_gemm(cpu, reel::GemmProblem<float>{.m = tokens,
                                                     .n = head,
                                                     .k = tokens,
                                                     .a = own,
                                                     .lda = tokens,
                                                     .b = v.data() + at,
                                                     .ldb = channels,
                                                     .c = out.data() + at,
                                                     .ldc = channels,
                                                     .batch = heads,
                                                     .stride_a = tokens * tokens,
                                                     .stride_b = head,
                                                     .stride_c = head});
    });
    return out;
}

/// Keys or values of the first and of the former frame side by side, for each frame of each clip: [.., 2 tokens, ..].
Tensor gathered(const Tensor& x) {
    Tensor both(x.backend(), {pictures, 2 * tokens, channels});
    for (index_t i = 0; i < pictures; ++i) {
        const index_t first = i / frames * frames;
        const index_t former = std::max(first, i - 1);
        const Tensor to = both.slice(i, i + 1).reshape({2, tokens, channels});
        to.slice(0, 1).copy_from(x.slice(first, first + 1));
        to.slice(1, 2).copy_from(x.slice(former, former + 1));
    }
    return both;
}

void attention_rows(Cpu& cpu) {
    reel::CrossAttention<float> attn2(channels, 768, heads);
    reel::initialize(attn2, cpu, 1);
    const Tensor x = randoms(cpu, {pictures, tokens, channels}, 1);
    const Tensor text = randoms(cpu, {2, 77, 768}, 2);
    row(
        cpu, "keys and values of the text once per prompt, not per frame (a cross-attention)",
        [&] { (void)attn2(x, text, {.key_batches = reel::shared_keys(2, frames)}); },
        [&] { (void)attn2(x, repeated(text, frames), {}); });

    const Tensor k = randoms(cpu, {pictures, tokens, channels}, 3);
    const Tensor v = randoms(cpu, {pictures, tokens, channels}, 4);
    row(
        cpu, "keys and values indexed, not gathered (sparse-causal attention)",
        [&] {
            (void)reel::scaled_dot_product_attention(
                x, k, v, {.heads = heads, .key_batches = reel::sparse_causal_keys(2, frames), .lists = 2});
        },
        [&] { (void)reel::scaled_dot_product_attention(x, gathered(k), gathered(v), {.heads = heads}); });
    row(
        cpu, "no matrix of scores (self-attention)",
        [&] { (void)reel::scaled_dot_product_attention(x, k, v, {.heads = heads}); },
        [&] { (void)attention_by_matrix(x, k, v); });
}

void product_rows(Cpu& cpu) {
    const Tensor x = randoms(cpu, {pictures, side, side, channels}, 1);
    const Tensor kernel = randoms(cpu, {channels, 3, 3, channels}, 2);
    const auto same = reel::ConvOptions::same_pad(1);
    row(
        cpu, "no matrix of patches (3 x 3 convolution, 320 to 320 channels)",
        [&] { (void)reel::conv2d(x, kernel, Tensor{}, same); },
        [&] {
            const reel::ConvGeometry g = reel::detail::conv_geometry(x.shape(), kernel.shape(), same);
            const Tensor patches(cpu, {g.out_rows(), g.patch()});
            reel::cpu::gather_patches(g, x.data(), 0, g.out_rows(), patches.data());
            (void)reel::linear(patches, kernel.reshape({channels, g.patch()}));
        });

    reel::Linear<float> expand(1280, 10240);
    reel::initialize(expand, cpu, 1);
    const Tensor rows = randoms(cpu, {pictures, 16, 1280}, 3);
    row(
        cpu, "one product for all frames and halves (1280 to 10240 channels, 16 tokens a frame)",
        [&] { (void)expand(rows); },
        [&] {
            for (index_t i = 0; i < pictures; ++i) {
                (void)expand(rows.slice(i, i + 1));
            }
        });
    reel::Linear<float> biased(channels, channels);
    reel::initialize(biased, cpu, 1);
    row(
        cpu, "bias within the product (320 to 320 channels)", [&] { (void)biased(x); },
        [&] {
            const Tensor y = reel::linear(x, biased.weight.value());
            (void)reel::add_vectors(y, biased.bias->value().reshape({1, channels}));
        });
    reel::GroupNorm<float> norm(32, channels, 1e-5);
    reel::initialize(norm, cpu, 1);
    row(
        cpu, "norm and activation at once (group norm, SiLU)", [&] { (void)norm(x, 2, true); },
        [&] { (void)reel::activate(reel::Silu{}, norm(x, 2, false)); });
    const Tensor large = randoms(cpu, {4 * pictures, side, side, channels}, 4);
    row(
        cpu, "a buffer pool (a sum of 42 MB)", [&] { (void)reel::add(large, large); },
        [&] {
            cpu.memory().release_cached();
            (void)reel::add(large, large);
        });
}

void model_rows(Cpu& cpu) {
    {
        reel::ResnetBlock<float> resnet(channels, channels, 1280, 32, 1e-5);
        reel::initialize(resnet, cpu, 1);
        const Tensor x = randoms(cpu, {frames, side, side, channels}, 1);
        const Tensor time = randoms(cpu, {1, 1280}, 2);
        const auto step = [&](bool trains) {
            reel::for_each_parameter(resnet, [&](const std::string&, auto& parameter) { parameter.train(trains); });
            reel::backward(resnet(Variable::leaf(x), Variable(time), 1), x);
        };
        row(
            cpu, "no gradients of frozen weights (a resnet, forward and back)", [&] { step(false); },
            [&] { step(true); });
    }
    {
        reel::Transformer3DModel<float> transformer({.channels = channels, .text_channels = 768, .heads = heads});
        reel::initialize(transformer, cpu, 1);
        const Tensor x = randoms(cpu, {pictures, 2 * side, 2 * side, channels}, 1); // 512 x 512 pixels
        const Tensor text = randoms(cpu, {2, 77, 768}, 2);
        const std::size_t usual = cpu.piece_bytes;
        const auto call = [&](std::size_t bytes) {
            cpu.piece_bytes = bytes;
            (void)transformer(x, text, frames);
            cpu.piece_bytes = usual;
        };
        row(
            cpu, "long clips in pieces (a transformer, 512 x 512 pixels)", [&] { call(usual); },
            [&] { call(std::size_t{1} << 40); });
    }
    reel::AutoencoderKL<float> vae({});
    reel::initialize(vae, cpu, 1);
    const Tensor picture = randoms(cpu, {1, 8 * side, 8 * side, 3}, 1);
    const Tensor moments = vae.encode(picture);
    const Tensor noise = randoms(cpu, moments.shape().with(3, 4), 2);
    row(
        cpu, "the clip's latent distribution once per run, not per step (each frame)",
        [&] { (void)reel::sample_latents(moments, noise, 0.18215); },
        [&] { (void)reel::sample_latents(vae.encode(picture), noise, 0.18215); });
}

} // namespace

int main() {
    try {
        Cpu cpu(1);
        std::cout << "| saving | ms with | ms without | times | MB with | MB without |\n|---|---|---|---|---|---|\n";
        attention_rows(cpu);
        product_rows(cpu);
        model_rows(cpu);
    } catch (const std::exception& error) {
        std::cerr << "savings: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
