// A backend of one's own: the CPU's with a stopwatch and a look at every result. It runs the whole of Stable
// Diffusion, says where the time goes, and stops at the first operation whose result is not finite. custom_backend
// MODEL PROMPT PIXELS: eight frames of PIXELS x PIXELS.

#include <cmath>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <string>

#include <reel/core/stopwatch.hpp>
#include <reel/models/latent_shape.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/stable_diffusion.hpp>

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

void sample_and_measure(const std::string& folder, const std::string& prompt, index_t side) {
    MeasuredCpu backend;
    const auto model = reel::load_stable_diffusion<float>(backend, folder, 33);
    const reel::Guidance<float, MeasuredCpu> guidance{reel::encode_prompt(model, prompt),
                                                      reel::encode_prompt(model, "")};
    const auto shape = reel::latent_shape(model, 8, side, side);
    reel::DDIMScheduler sampler(model.sampling);
    const auto noise = reel::randn<float>(backend, shape, 33);
    const reel::Stopwatch watch;
    const auto latents = reel::sample_clip(model.unet, sampler, noise, guidance, 5);
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
    try {
        reel::require(argc == 4, "usage: custom_backend MODEL PROMPT PIXELS");
        sample_and_measure(argv[1], argv[2], std::stoi(argv[3]));
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "custom_backend: error: " << error.what() << '\n';
        return 1;
    }
}
