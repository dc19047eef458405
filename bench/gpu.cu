// gpu: times the UNet and tuning steps of Stable Diffusion 1.4's size on the backend Cuda, with cheap weights made on
// the device. bench/gpu.sh compiles and runs it; without words it measures everything, else the cases named:
// gpu gemm forward-8 forward-12 forward-24 tune-12 tune-24

#include <array>
#include <iomanip>
#include <iostream>
#include <set>

#include <reel/autograd/functions.hpp>
#include <reel/backend/cuda/cuda.cuh>
#include <reel/core/random.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/models/unet.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/grad_clip.hpp>

namespace {

using reel::Cuda;
using reel::index_t;
using reel::Shape;
using Tensor = reel::Tensor<float, Cuda>;
using UNet = reel::UNet3DConditionModel<float, Cuda>;
using Precision = reel::Float32MatmulPrecision;

constexpr std::array precisions{Precision::highest, Precision::high, Precision::medium};
constexpr std::array<const char*, 3> precision_names{"float32", "TF32", "medium: TF32 and bfloat16"};

/// Weights in +-1/sqrt(fan in), norms that change nothing, so that activations stay near one through all layers.
void fill(UNet& unet, Cuda& cuda) {
    std::uint64_t stream = 1;
    reel::for_each_parameter(unet, [&](const std::string& name, auto& parameter) {
        const Shape& shape = parameter.spec().shape;
        const bool vector = shape.rank() == 1;
        if (vector && name.ends_with("weight")) {
            parameter.set(Tensor::full(cuda, shape, 1.0F));
            return;
        }
        const double fan_in = static_cast<double>(vector ? 1024 : shape.size() / shape[0]);
        Tensor values(cuda, shape);
        reel::fill_normal(cuda, values, 1, stream++);
        parameter.set(reel::scale(values, static_cast<float>(1 / std::sqrt(fan_in))));
    });
}

Tensor normal(Cuda& cuda, const Shape& shape, std::uint64_t stream) {
    Tensor x(cuda, shape);
    reel::fill_normal(cuda, x, 2, stream);
    return x;
}

/// Seconds of the quickest of `repeats` calls after one that is not timed. The device has finished when one ends.
template <class Body>
double seconds_of(Cuda& cuda, int repeats, const Body& body) {
    body();
    cuda.synchronize();
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < repeats; ++i) {
        const reel::Stopwatch watch;
        body();
        cuda.synchronize();
        best = std::min(best, watch.seconds());
    }
    return best;
}

void row(const std::string& what, const std::string& how, const std::string& value) {
    std::cout << "| " << std::left << std::setw(38) << what << " | " << std::setw(28) << how << " | " << value << " |\n"
              << std::flush;
}

std::string number(double value, int digits, const std::string& unit) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value << ' ' << unit;
    return text.str();
}

/// cuBLAS's own best: square products of 8192, what other figures are a share of.
void measure_gemm(Cuda& cuda) {
    constexpr index_t n = 8192;
    const auto a = reel::cast<reel::bfloat16>(normal(cuda, {n, n}, 1));
    const auto b = reel::cast<reel::bfloat16>(normal(cuda, {n, n}, 2));
    const reel::Tensor<reel::bfloat16, Cuda> c(cuda, {n, n});
    const double operations = 2.0 * n * n * n;
    const double bf16 = seconds_of(cuda, 10, [&] {
        gemm(cuda,
             reel::GemmProblem<reel::bfloat16>{
                 .m = n, .n = n, .k = n, .a = a.data(), .lda = n, .b = b.data(), .ldb = n, .c = c.data(), .ldc = n});
    });
    row("product of 8192 x 8192 matrices", "bfloat16", number(operations / bf16 * 1e-12, 1, "TFLOP/s"));
    const Tensor x = normal(cuda, {n, n}, 3);
    const Tensor y = normal(cuda, {n, n}, 4);
    const Tensor z(cuda, {n, n});
    for (std::size_t i = 0; i < 2; ++i) {
        cuda.float32_matmul_precision = precisions[i];
        const double seconds = seconds_of(cuda, 5, [&] {
            gemm(
                cuda,
                reel::GemmProblem<float>{
                    .m = n, .n = n, .k = n, .a = x.data(), .lda = n, .b = y.data(), .ldb = n, .c = z.data(), .ldc = n});
        });
        row("product of 8192 x 8192 matrices", precision_names[i], number(operations / seconds * 1e-12, 1, "TFLOP/s"));
    }
}

reel::UNetConfig stable_diffusion() {
    reel::UNetConfig config;
    config.cross_attention_dim = 768;
    return config;
}

std::string gigabytes(Cuda& cuda) {
    return number(static_cast<double>(cuda.memory().statistics().peak) * 1e-9, 2, "GB at most");
}

/// One prediction with guidance, as an edit makes 50 of: two clips of 64 x 64 latents, 512 x 512 pixels.
void measure_forward(Cuda& cuda, index_t frames) {
    UNet unet(stable_diffusion());
    fill(unet, cuda);
    const Tensor sample = normal(cuda, {2 * frames, 64, 64, 4}, 1);
    const Tensor text = normal(cuda, {2, 77, 768}, 2);
    const std::array<double, 1> timestep{981};
    for (std::size_t i = 0; i < precisions.size(); ++i) {
        cuda.float32_matmul_precision = precisions[i];
        cuda.memory().reset_peak();
        const double products = cuda.blas().operations();
        int calls = 0;
        const double seconds = seconds_of(cuda, 3, [&] {
            const Tensor out = unet(sample, std::span<const double>(timestep), text, frames);
            ++calls;
        });
        const double operations = (cuda.blas().operations() - products) / calls;
        row("UNet forward, guidance, " + std::to_string(frames) + " frames", precision_names[i],
            number(seconds * 1e3, 1, "ms; ") + number(operations / seconds * 1e-12, 1, "TFLOP/s in products; ") +
                gigabytes(cuda));
    }
}

/// One update of Tune-A-Video's weights, with checkpointing.
void measure_tuning(Cuda& cuda, index_t frames) {
    UNet unet(stable_diffusion());
    static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
    fill(unet, cuda);
    unet.gradient_checkpointing = reel::CheckpointMode::exact;
    const Tensor sample = normal(cuda, {frames, 64, 64, 4}, 1);
    const Tensor target = normal(cuda, {frames, 64, 64, 4}, 2);
    const Tensor text = normal(cuda, {1, 77, 768}, 3);
    const std::array<double, 1> timestep{500};
    reel::AdamW<float, Cuda> optimizer({.learning_rate = 3e-5});
    for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
        cuda.float32_matmul_precision = precisions[i];
        cuda.memory().reset_peak();
        const double seconds = seconds_of(cuda, 2, [&] {
            using reel::Variable;
            reel::backward(reel::mse_loss(unet(Variable<float, Cuda>(sample), std::span<const double>(timestep),
                                               Variable<float, Cuda>(text), frames),
                                          target));
            std::vector<reel::NamedParameter<float, Cuda>> parameters;
            reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
                if (parameter.requires_grad()) {
                    parameters.push_back({name, parameter.value(), parameter.grad()});
                }
            });
            static_cast<void>(reel::clip_grad_norm_(parameters, 1.0));
            optimizer.step(parameters);
            reel::zero_grad(unet);
        });
        row("tuning step, checkpointing, " + std::to_string(frames) + " frames", precision_names[i],
            number(seconds * 1e3, 1, "ms; ") + gigabytes(cuda));
    }
}

} // namespace

int main(int count, char** words) {
    try {
        const std::set<std::string> wanted(words + 1, words + count);
        const auto asked = [&](const std::string& name) { return wanted.empty() || wanted.contains(name); };
        Cuda cuda;
        // A case that fails, for want of memory say, is a line of the table; the others still run.
        bool failed = false;
        const auto run = [&](const std::string& name, const auto& measure) {
            try {
                if (asked(name)) {
                    measure();
                }
            } catch (const reel::Error& error) {
                row(name, "failed", error.what());
                failed = true;
            }
        };
        run("gemm", [&] { measure_gemm(cuda); });
        for (const index_t frames : {8, 12, 24}) {
            run("forward-" + std::to_string(frames), [&] { measure_forward(cuda, frames); });
        }
        for (const index_t frames : {12, 24}) {
            run("tune-" + std::to_string(frames), [&] { measure_tuning(cuda, frames); });
        }
        return failed ? 1 : 0;
    } catch (const std::exception& error) {
        std::cerr << "gpu: " << error.what() << '\n';
        return 1;
    }
}
