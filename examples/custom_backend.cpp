// A backend of one's own: the CPU's with a stopwatch and a look at every result. It runs the whole of Stable
// Diffusion, says where the time goes, and stops at the first operation whose result is not finite.

#include <cmath>
#include <cstdio>
#include <map>

#include <reel/core/stopwatch.hpp>
#include <reel/models/latent_shape.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/load_stable_diffusion.hpp>

#include "options.hpp"

using reel::index_t;

namespace {

/// Everything that is not said here is Cpu's: memory, loops, and the operations that nobody measures.
struct MeasuredCpu : reel::Cpu {
    using reel::Cpu::Cpu;

    struct Row {
        long calls = 0;
        double operations = 0; ///< multiplications and additions
        double seconds = 0;
    };
    std::map<std::string, Row> rows;

    /// Runs one operation that writes `count` numbers from `result` on.
    template <class T, class Run>
    void measure(const char* what, double operations, const T* result, index_t count, const Run& run) {
        const reel::Stopwatch watch;
        run(static_cast<reel::Cpu&>(*this));
        Row& row = rows[what];
        row.calls += 1;
        row.operations += operations;
        row.seconds += watch.seconds();
        for (index_t i = 0; i < count; ++i) {
            reel::require(std::isfinite(static_cast<double>(result[i])), what, ", call ", row.calls, ": number ", i,
                          " of ", count, " is ", static_cast<double>(result[i]));
        }
    }
};

// The operations that are measured. reel finds these functions by their first argument, as it finds Cpu's and Cuda's.

template <class T>
void gemm(MeasuredCpu& backend, const reel::GemmProblem<T>& p) {
    const double operations = 2.0 * static_cast<double>(p.batch * p.m * p.n * p.k);
    const index_t count = p.ldc == p.n ? p.m * p.n : 0; // with gaps between the rows, nothing is looked at
    backend.measure("matrix products", operations, p.c, count, [&](reel::Cpu& cpu) { gemm(cpu, p); });
}

/// `kernel` is a pointer, or packed for oneDNN.
template <class T, class Kernel>
void convolution(MeasuredCpu& backend, const reel::ConvGeometry& g, const T* x, const Kernel& kernel, const T* bias,
                 T* y) {
    const index_t count = g.out_rows() * g.out_channels;
    backend.measure("convolutions", 2.0 * static_cast<double>(count * g.patch()), y, count,
                    [&](reel::Cpu& cpu) { convolution(cpu, g, x, kernel, bias, y); });
}

template <class T>
void attention_forward(MeasuredCpu& backend, const reel::AttentionProblem<T>& p) {
    const index_t count = p.batches * p.queries * p.heads * p.head_size;
    backend.measure("attention", 4.0 * static_cast<double>(count * p.keys * p.lists), p.out, 0,
                    [&](reel::Cpu& cpu) { attention_forward(cpu, p); });
}

template <class T>
void norm_forward(MeasuredCpu& backend, const reel::NormProblem<T>& p) {
    const index_t count = p.sets * p.rows * p.channels;
    backend.measure("norms", 8.0 * static_cast<double>(count), p.y, count,
                    [&](reel::Cpu& cpu) { norm_forward(cpu, p); });
}

struct Options {
    std::string model, prompt;
    int size = 512;
    static void options(auto& self, const auto& visit) {
        visit(reel::Option{"model", "a Stable Diffusion: a diffusers folder, or a file with a tokenizer/ beside it"},
              self.model);
        visit(reel::Option{"prompt", "what to show"}, self.prompt);
        visit(reel::Option{"size", "of a frame, pixels a side", reel::from_to(8, 4096)}, self.size);
    }
};

void sample_and_measure(const Options& o) {
    MeasuredCpu backend;
    const auto model = reel::load_stable_diffusion<float>(backend, o.model, 33);
    const reel::Guidance<float, MeasuredCpu> guidance{reel::encode_prompt(model, o.prompt),
                                                      reel::encode_prompt(model, "")};
    const auto shape = reel::latent_shape(model, 8, o.size, o.size);
    reel::DDIMScheduler sampler(model.sampling);
    const auto noise = reel::randn<float>(backend, shape, 33);
    const reel::Stopwatch watch;
    const auto latents =
        reel::sample_clip(model.unet, sampler, noise, {.guidance = guidance, .num_inference_steps = 5});
    const auto pixels = reel::decode_clip(model.vae, latents);
    double left = watch.seconds();
    std::printf("%-18s %8s %10s %9s %9s\n", "", "calls", "GFLOP", "seconds", "GFLOP/s");
    for (const auto& [name, row] : backend.rows) {
        std::printf("%-18s %8ld %10.2f %9.3f %9.1f\n", name.c_str(), row.calls, row.operations / 1e9, row.seconds,
                    row.operations / 1e9 / row.seconds);
        left -= row.seconds;
    }
    std::printf("%-18s %8s %10s %9.3f\n", "everything else", "", "", left);
}

} // namespace

int main(int argc, char** argv) {
    return program::run({"custom_backend",
                         "Samples eight frames in five steps, and says where the time goes.",
                         {"--model", "--prompt"}},
                        argc, argv, Options{}, sample_and_measure);
}
