// Operations at the shapes that Stable Diffusion 1.x gives them: 4 frames of 256 x 256 pixels, so 32 x 32 latents.
// Rates are in operations (a product and a sum are two) or bytes per second; --benchmark_filter picks some.
// REEL_BENCH_THREADS in the environment sets the number of threads.

#include <benchmark/benchmark.h>

#include <reel/io/files/sha256.hpp>
#include <reel/ops/attention.hpp>
#include <reel/ops/conv.hpp>
#include <reel/ops/linear.hpp>
#include <reel/ops/norm.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace {

using reel::Cpu;
using reel::index_t;
using reel::Shape;
using Tensor = reel::Tensor<float>;

constexpr index_t frames = 4;
constexpr index_t side = 32; ///< of the largest level's pictures

Cpu& cpu() {
    static Cpu backend([] {
        const char* threads = std::getenv("REEL_BENCH_THREADS"); // NOLINT: no other thread runs yet
        return threads != nullptr ? std::atoi(threads) : 0;
    }());
    return backend;
}

/// Values in -1..1 that repeat rarely and are never tiny.
Tensor filled(const Shape& shape) {
    Tensor x(cpu(), shape);
    for (index_t i = 0; i < x.size(); ++i) {
        x.data()[i] = static_cast<float>(i * 7919 % 2003 - 1001) / 1024.0F + 0.0001F;
    }
    return x;
}

/// Runs `work`, which does `operations` or moves `bytes` each time.
template <class Work>
void repeat(benchmark::State& state, double operations, double bytes, const Work& work) {
    for (auto _ : state) {
        Tensor result = work();
        benchmark::DoNotOptimize(result.data());
        benchmark::ClobberMemory();
    }
    using benchmark::Counter;
    if (operations > 0) {
        state.counters["FLOP/s"] = Counter(operations, Counter::kIsIterationInvariantRate, Counter::kIs1000);
    }
    if (bytes > 0) {
        state.counters["B/s"] = Counter(bytes, Counter::kIsIterationInvariantRate, Counter::kIs1000);
    }
}

/// x [rows, in] times weight [out, in].
void linear(benchmark::State& state) {
    const index_t rows = state.range(0);
    const index_t in = state.range(1);
    const index_t out = state.range(2);
    const Tensor x = filled({rows, in});
    const Tensor weight = filled({out, in});
    const Tensor bias = filled({out});
    repeat(state, 2.0 * static_cast<double>(rows * in * out), 0, [&] { return reel::linear(x, weight, bias); });
}

/// 3 x 3 kernels over the pictures of all frames.
void conv2d(benchmark::State& state) {
    const index_t pictures = state.range(0);
    const index_t extent = state.range(1);
    const index_t in = state.range(2);
    const index_t out = state.range(3);
    const Tensor x = filled({pictures, extent, extent, in});
    const Tensor kernel = filled({out, 3, 3, in});
    const Tensor bias = filled({out});
    repeat(state, 18.0 * static_cast<double>(pictures * extent * extent * in * out), 0,
           [&] { return reel::conv2d(x, kernel, bias, reel::ConvOptions::same_pad(1)); });
}

void conv2d_input_gradient(benchmark::State& state) {
    const index_t extent = state.range(0);
    const index_t in = state.range(1);
    const index_t out = state.range(2);
    const Tensor gradient = filled({frames, extent, extent, out});
    const Tensor kernel = filled({out, 3, 3, in});
    repeat(state, 18.0 * static_cast<double>(frames * extent * extent * in * out), 0, [&] {
        return reel::conv2d_input_gradient(gradient, kernel, {frames, extent, extent, in},
                                           reel::ConvOptions::same_pad(1));
    });
}

double attention_operations(index_t batches, index_t queries, index_t keys, index_t channels) {
    return 4.0 * static_cast<double>(batches * queries * keys * channels);
}

/// Every frame looks at the first and at the former: frames 0 and 1 at one frame's keys, the others at two.
void sparse_causal_attention(benchmark::State& state) {
    const index_t tokens = state.range(0);
    const index_t channels = state.range(1);
    const Tensor q = filled({frames, tokens, channels});
    const Tensor k = filled({frames, tokens, channels});
    const Tensor v = filled({frames, tokens, channels});
    const reel::AttentionOptions options{.heads = 8, .key_batches = reel::sparse_causal_keys(1, frames), .lists = 2};
    const double operations = attention_operations(2, tokens, tokens, channels) +
                              attention_operations(frames - 2, tokens, 2 * tokens, channels);
    repeat(state, operations, 0, [&] { return reel::scaled_dot_product_attention(q, k, v, options); });
}

/// Every frame looks at one text.
void text_attention(benchmark::State& state) {
    constexpr index_t words = 77;
    const index_t tokens = state.range(0);
    const index_t channels = state.range(1);
    const Tensor q = filled({frames, tokens, channels});
    const Tensor k = filled({1, words, channels});
    const Tensor v = filled({1, words, channels});
    const reel::AttentionOptions options{.heads = 8, .key_batches = reel::shared_keys(1, frames)};
    repeat(state, attention_operations(frames, tokens, words, channels), 0,
           [&] { return reel::scaled_dot_product_attention(q, k, v, options); });
}

/// Every token looks at itself in the other frames.
void temporal_attention(benchmark::State& state) {
    const index_t tokens = state.range(0);
    const index_t channels = state.range(1);
    const Tensor q = filled({frames, tokens, channels});
    const Tensor k = filled({frames, tokens, channels});
    const Tensor v = filled({frames, tokens, channels});
    const reel::AttentionOptions options{.heads = 8, .frames = frames};
    repeat(state, attention_operations(tokens, frames, frames, channels), 0,
           [&] { return reel::scaled_dot_product_attention(q, k, v, options); });
}

/// With SiLU, over all frames of a clip. Bytes: read once, written once.
void group_norm(benchmark::State& state) {
    const index_t pictures = state.range(0);
    const index_t extent = state.range(1);
    const index_t channels = state.range(2);
    const Tensor x = filled({pictures, extent, extent, channels});
    const Tensor gamma = filled({channels});
    const Tensor beta = filled({channels});
    const reel::NormOptions options{.sets = 1, .groups = 32, .epsilon = 1e-5, .silu = true};
    repeat(state, 0, 8.0 * static_cast<double>(x.size()), [&] { return reel::group_norm(x, gamma, beta, options); });
}

void layer_norm(benchmark::State& state) {
    const index_t rows = state.range(0);
    const index_t channels = state.range(1);
    const Tensor x = filled({rows, channels});
    const Tensor gamma = filled({channels});
    const Tensor beta = filled({channels});
    const reel::NormOptions options{.sets = rows, .groups = 1, .epsilon = 1e-5};
    repeat(state, 0, 8.0 * static_cast<double>(x.size()), [&] { return reel::group_norm(x, gamma, beta, options); });
}

constexpr index_t rows(index_t level) {
    return frames * (side >> level) * (side >> level);
}

/// How files are named by content, by the processor's instructions for it or without.
void sha256(benchmark::State& state) {
    const std::vector<std::byte> bytes(std::size_t{1} << 24);
    for (auto _ : state) {
        reel::Sha256 hash(state.range(0) != 0);
        hash.update(bytes);
        benchmark::DoNotOptimize(hash.hex());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}

// The processor time is that of all threads; rates are over wall time.
// NOLINTBEGIN: static registration is how this library works
BENCHMARK(linear)
    ->Name("gemm/large")
    ->Args({1536, 1536, 1536})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(linear)
    ->ArgNames({"rows", "in", "out"})
    ->Args({rows(0), 320, 320})  // attention projections
    ->Args({rows(0), 320, 2560}) // feed-forward, first half
    ->Args({rows(0), 1280, 320}) // and second
    ->Args({rows(1), 640, 640})
    ->Args({rows(1), 640, 5120})
    ->Args({rows(2), 1280, 1280})
    ->Args({rows(2), 1280, 10240})
    ->Args({rows(2), 5120, 1280})
    ->Args({77, 768, 320}) // text keys
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(conv2d)
    ->ArgNames({"pictures", "side", "in", "out"})
    ->Args({frames, 32, 4, 320})
    ->Args({frames, 32, 320, 320})
    ->Args({frames, 32, 960, 320})
    ->Args({frames, 16, 640, 640})
    ->Args({frames, 16, 1920, 640})
    ->Args({frames, 8, 1280, 1280})
    ->Args({frames, 8, 2560, 1280})
    ->Args({frames, 4, 1280, 1280})
    ->Args({frames, 32, 320, 4})
    ->Args({1, 256, 128, 128}) // the autoencoder goes picture by picture
    ->Args({1, 128, 256, 256})
    ->Args({1, 64, 512, 512})
    ->Args({1, 256, 128, 3})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(conv2d_input_gradient)
    ->ArgNames({"side", "in", "out"})
    ->Args({32, 320, 320})
    ->Args({16, 640, 640})
    ->Args({8, 1280, 1280})
    ->Args({4, 1280, 1280})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(sparse_causal_attention)
    ->ArgNames({"tokens", "channels"})
    ->Args({1024, 320})
    ->Args({256, 640})
    ->Args({64, 1280})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(text_attention)
    ->ArgNames({"tokens", "channels"})
    ->Args({1024, 320})
    ->Args({256, 640})
    ->Args({64, 1280})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(temporal_attention)
    ->ArgNames({"tokens", "channels"})
    ->Args({1024, 320})
    ->Args({256, 640})
    ->Args({64, 1280})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(group_norm)
    ->ArgNames({"pictures", "side", "channels"})
    ->Args({frames, 32, 320})
    ->Args({frames, 32, 960})
    ->Args({frames, 16, 640})
    ->Args({frames, 8, 1280})
    ->Args({1, 256, 128}) // the autoencoder's largest
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(layer_norm)
    ->ArgNames({"rows", "channels"})
    ->Args({rows(0), 320})
    ->Args({rows(1), 640})
    ->Args({rows(2), 1280})
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(sha256)->ArgName("portable")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
// NOLINTEND

} // namespace

BENCHMARK_MAIN();
