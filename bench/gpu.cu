// gpu: times the UNet, tuning steps and an edit of Stable Diffusion 1.4's size on the backend Cuda, with cheap weights
// made on the device. bench/gpu.sh compiles and runs it. Words are the cases wanted (none: all) and rate=TFLOP/s, what
// the shares are of where the case gemm is not run before the others: gpu gemm parity forward-8 forward-12 forward-24
// float32-8 tune-12 tune-24 edit-24

#include <array>
#include <iomanip>
#include <iostream>
#include <set>

#include <reel/backend/cuda/cuda.cuh>
#include <reel/core/random.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

namespace {

using reel::bfloat16;
using reel::Cuda;
using reel::half;
using reel::index_t;
using reel::Shape;
using Precision = reel::Float32MatmulPrecision;
template <class T>
using Tensor = reel::Tensor<T, Cuda>;
template <class T>
using UNet = reel::UNet3DConditionModel<T, Cuda>;

constexpr std::array precisions{Precision::highest, Precision::high, Precision::medium};
constexpr std::array<const char*, 3> precision_names{"float32", "TF32", "medium: TF32 and bfloat16"};

double gemm_rate = 0; ///< TFLOP/s in bfloat16; 0: not known

/// A tensor in another type, or the same tensor.
template <class To, class From>
Tensor<To> as(const Tensor<From>& x) {
    if constexpr (std::same_as<To, From>) {
        return x;
    } else {
        return reel::cast<To>(x);
    }
}

/// Normal numbers that bfloat16 holds exactly, and half but for the smallest: alike in every type.
template <class T>
Tensor<T> normal(Cuda& cuda, const Shape& shape, std::uint64_t stream, double spread = 1) {
    Tensor<float> x(cuda, shape);
    reel::fill_normal(cuda, x, 2, stream);
    return as<T>(as<float>(as<bfloat16>(reel::scale(x, static_cast<float>(spread)))));
}

/// Weights in +-1/sqrt(fan in), norms that change nothing, so that activations stay near one through all layers.
template <class T, class Model>
void fill(Model& model, Cuda& cuda) {
    std::uint64_t stream = 100;
    reel::for_each_parameter(model, [&](const std::string& name, auto& parameter) {
        const Shape& shape = parameter.spec().shape;
        const bool vector = shape.rank() == 1;
        if (vector && name.ends_with("weight")) {
            parameter.set(Tensor<T>::full(cuda, shape, T(1.0F)));
            return;
        }
        const double fan_in = static_cast<double>(vector ? 1024 : shape.size() / shape[0]);
        parameter.set(normal<T>(cuda, shape, stream++, 1 / std::sqrt(fan_in)));
    });
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

std::string gigabytes(Cuda& cuda) {
    return number(static_cast<double>(cuda.memory().statistics().peak) * 1e-9, 2, "GB at most");
}

/// What cuBLAS's products of a call make; attention's are not counted.
std::string rate_of(double operations, double seconds) {
    const double rate = operations / seconds * 1e-12;
    return number(rate, 1, "TFLOP/s in products") +
           (gemm_rate > 0 ? number(100 * rate / gemm_rate, 0, "% of cuBLAS's best").insert(0, ", ") : "");
}

/// Square products of 8192: cuBLAS's own best, what other figures are a share of.
template <class T>
double product_rate(Cuda& cuda, int repeats) {
    constexpr index_t n = 8192;
    const auto a = normal<T>(cuda, {n, n}, 1);
    const auto b = normal<T>(cuda, {n, n}, 2);
    const Tensor<T> c(cuda, {n, n});
    const double seconds = seconds_of(cuda, repeats, [&] {
        gemm(cuda,
             reel::GemmProblem<T>{
                 .m = n, .n = n, .k = n, .a = a.data(), .lda = n, .b = b.data(), .ldb = n, .c = c.data(), .ldc = n});
    });
    return 2.0 * n * n * n / seconds * 1e-12;
}

void measure_gemm(Cuda& cuda) {
    const std::string what = "product of 8192 x 8192 matrices";
    gemm_rate = product_rate<bfloat16>(cuda, 10);
    row(what, "bfloat16", number(gemm_rate, 1, "TFLOP/s"));
    row(what, "half", number(product_rate<half>(cuda, 10), 1, "TFLOP/s"));
    for (std::size_t i = 0; i < 2; ++i) {
        cuda.float32_matmul_precision = precisions[i];
        row(what, precision_names[i], number(product_rate<float>(cuda, 3), 1, "TFLOP/s"));
    }
    cuda.float32_matmul_precision = Precision::highest;
}

reel::UNetConfig stable_diffusion() {
    reel::UNetConfig config;
    config.cross_attention_dim = 768;
    return config;
}

/// One prediction for clips of 64 x 64 latents, 512 x 512 pixels.
template <class T>
struct Prediction {
    UNet<T> unet{stable_diffusion()};
    index_t frames;
    Tensor<T> sample, text;

    Prediction(Cuda& cuda, index_t clips, index_t frames_)
        : frames(frames_), sample(normal<T>(cuda, {clips * frames_, 64, 64, 4}, 1)),
          text(normal<T>(cuda, {clips, 77, 768}, 2)) {
        fill<T>(unet, cuda);
    }
    [[nodiscard]] Tensor<T> operator()() const {
        const std::array<double, 1> timestep{981};
        return unet(sample, std::span<const double>(timestep), text, frames);
    }
};

/// The UNet in 16 bits against itself in float32, which the tests compare with the processor.
void measure_parity(Cuda& cuda) {
    constexpr index_t frames = 8;
    constexpr double bound = 2e-2;
    std::vector<float> expected;
    expected = Prediction<float>(cuda, 1, frames)().to_host();
    float largest = 0;
    for (const float value : expected) {
        largest = std::max(largest, std::abs(value));
    }
    bool near = true;
    const auto compare = [&](const char* name, const std::vector<float>& found) {
        float difference = 0;
        bool finite = true;
        for (std::size_t i = 0; i < found.size(); ++i) {
            finite = finite && std::isfinite(found[i]);
            difference = std::max(difference, std::abs(found[i] - expected[i]));
        }
        const double error = static_cast<double>(difference) / static_cast<double>(largest);
        const bool passed = finite && error <= bound;
        near = near && passed;
        row("whole UNet against float32, 8 frames", name,
            number(error, 4, "of the largest value, bound 0.02: ") + (passed ? "passed" : "FAILED"));
    };
    compare("bfloat16", as<float>(Prediction<bfloat16>(cuda, 1, frames)()).to_host());
    compare("half", as<float>(Prediction<half>(cuda, 1, frames)()).to_host());
    reel::require(near, "the UNet in 16 bits is not near float32");
}

/// With guidance, as an edit makes 50 of: two clips.
template <class T>
void measure_forward(Cuda& cuda, const Prediction<T>& prediction, const std::string& how) {
    cuda.memory().reset_peak();
    const double products = cuda.blas().operations();
    int calls = 0;
    const double seconds = seconds_of(cuda, 3, [&] {
        const Tensor<T> out = prediction();
        ++calls;
    });
    row("UNet forward, guidance, " + std::to_string(prediction.frames) + " frames", how,
        number(seconds * 1e3, 1, "ms; ") + rate_of((cuda.blas().operations() - products) / calls, seconds) + "; " +
            gigabytes(cuda));
}

void measure_float32(Cuda& cuda, index_t frames) {
    const Prediction<float> prediction(cuda, 2, frames);
    for (std::size_t i = 0; i < precisions.size(); ++i) {
        cuda.float32_matmul_precision = precisions[i];
        measure_forward(cuda, prediction, precision_names[i]);
    }
    cuda.float32_matmul_precision = Precision::highest;
}

reel::NoiseScheduleConfig noise_schedule() {
    reel::NoiseScheduleConfig schedule;
    schedule.beta_start = 0.00085;
    schedule.beta_end = 0.012;
    schedule.beta_schedule = reel::BetaSchedule::scaled_linear;
    return schedule;
}

/// One update of Tune-A-Video's weights in bfloat16, what trains in float32, with checkpointing.
void measure_tuning(Cuda& cuda, index_t frames) {
    UNet<bfloat16> unet(stable_diffusion());
    static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
    fill<bfloat16>(unet, cuda);
    unet.gradient_checkpointing = reel::CheckpointMode::exact;
    const reel::DDPMScheduler scheduler(reel::DDPMConfig{.schedule = noise_schedule()});
    reel::Tuner<bfloat16, Cuda> tuner(unet, scheduler, normal<float>(cuda, {frames, 64, 64, 8}, 1),
                                      normal<bfloat16>(cuda, {1, 77, 768}, 2), 0.18215, reel::TuneOptions{});
    cuda.memory().reset_peak();
    const double products = cuda.blas().operations();
    int calls = 0;
    const double seconds = seconds_of(cuda, 2, [&] {
        const double loss = tuner
                                .update([&](index_t draw) {
                                    return reel::training_noise<float>(cuda, tuner.latent_shape(), 33, draw, 1000);
                                })
                                .loss;
        reel::require(std::isfinite(loss), "tuning: the loss is not finite");
        ++calls;
    });
    row("tuning step, checkpointing, " + std::to_string(frames) + " frames", "bfloat16",
        number(seconds * 1e3, 1, "ms; ") + rate_of((cuda.blas().operations() - products) / calls, seconds) + "; " +
            gigabytes(cuda));
}

/// The whole edit: a clip of 512 x 512 pixels encoded, inverted in 50 steps, sampled in 50 with guidance, decoded.
void measure_edit(Cuda& cuda, index_t frames) {
    constexpr index_t steps = 50;
    UNet<bfloat16> unet(stable_diffusion());
    fill<bfloat16>(unet, cuda);
    reel::AutoencoderKL<bfloat16, Cuda> vae{reel::AutoencoderKLConfig{}};
    fill<bfloat16>(vae, cuda);
    const Tensor<bfloat16> pixels = normal<bfloat16>(cuda, {frames, 512, 512, 3}, 1, 0.3);
    const Tensor<float> text = normal<float>(cuda, {1, 77, 768}, 2);
    const auto predict = [&](const Tensor<float>& sample, std::span<const double> at, const Tensor<float>& words,
                             index_t count) {
        return as<float>(unet(as<bfloat16>(sample), at, as<bfloat16>(words), count));
    };
    const auto nothing = [](auto&&...) {};
    cuda.synchronize();
    cuda.memory().reset_peak();
    const reel::Stopwatch watch;
    const Tensor<float> moments = as<float>(reel::encode_clip(vae, pixels, [] {}));
    const Tensor<float> clean = reel::scale(reel::slice_channels(moments, 0, 4), 0.18215F);
    const reel::DDIMConfig config{
        .schedule = noise_schedule(), .clip_sample = false, .set_alpha_to_one = false, .steps_offset = 1};
    reel::DDIMInverseScheduler inverse(config);
    const Tensor<float> noise = reel::invert(predict, inverse, clean, text, steps, nothing);
    reel::DDIMScheduler scheduler(config);
    const reel::Guidance<float, Cuda> guidance{text, reel::scale(text, -1.0F), 7.5};
    const Tensor<float> edited =
        reel::sample_clip(predict, scheduler, noise, {.guidance = guidance, .num_inference_steps = steps});
    const Tensor<bfloat16> pictures = reel::decode_clip(vae, as<bfloat16>(edited), [] {});
    cuda.synchronize();
    row("edit, 50 steps back, 50 forth, " + std::to_string(frames) + " frames", "bfloat16",
        number(watch.seconds(), 1, "s; ") + gigabytes(cuda));
}

} // namespace

int main(int count, char** words) {
    try {
        std::set<std::string> wanted;
        for (const std::string& word : std::vector<std::string>(words + 1, words + count)) {
            if (word.starts_with("rate=")) {
                gemm_rate = std::stod(word.substr(5));
            } else {
                wanted.insert(word);
            }
        }
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
        run("parity", [&] { measure_parity(cuda); });
        for (const index_t frames : {8, 12, 24}) {
            run("forward-" + std::to_string(frames),
                [&] { measure_forward(cuda, Prediction<bfloat16>(cuda, 2, frames), "bfloat16"); });
        }
        run("float32-8", [&] { measure_float32(cuda, 8); });
        for (const index_t frames : {12, 24}) {
            run("tune-" + std::to_string(frames), [&] { measure_tuning(cuda, frames); });
        }
        run("edit-24", [&] { measure_edit(cuda, 24); });
        return failed ? 1 : 0;
    } catch (const std::exception& error) {
        std::cerr << "gpu: " << error.what() << '\n';
        return 1;
    }
}
