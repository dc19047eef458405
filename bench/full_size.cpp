// full_size: times parts of the main job at Stable Diffusion 1.4's size, with cheap weights made in memory.
// bench/compare runs it beside PyTorch; it also runs alone: full_size --case unet_forward --repeats 3

#include <reel/core/build_info.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/pipelines/tune.hpp>

#include <array>
#include <charconv>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using reel::Cpu;
using reel::index_t;
using reel::Shape;
using Tensor = reel::Tensor<float>;

constexpr const char* manual = R"(full_size --case NAME [options]
  --case NAME     unet_forward, tune_step, tune_step_checkpoint, vae_encode or vae_decode
  --frames N      frames of the clip (4)
  --size N        width and height in pixels, a multiple of 8 (256)
  --threads N     0 is one per hardware thread (0)
  --warmup N      runs that are not reported (1)
  --repeats N     runs that are (1)
  --tiny          a small fraction of the channels, to try the program itself
  --json          one line of JSON per run
  --serve         after the warm-up, run once per line of standard input instead of --repeats times
)";

struct Options {
    std::string name;
    index_t frames = 4;
    index_t size = 256;
    int threads = 0;
    int warmup = 1;
    int repeats = 1;
    bool tiny = false;
    bool json = false;
    bool serve = false;
    bool help = false;
};

template <class Number>
void read_number(const std::string& option, const std::string& text, Number lowest, Number& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    reel::require(error == std::errc() && end == text.data() + text.size() && value >= lowest, option, ": \"", text,
                  "\" is not a number of ", lowest, " or more");
}

Options read_options(const std::vector<std::string>& words) {
    Options options;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        const auto value = [&]() -> const std::string& {
            reel::require(i + 1 < words.size(), word, ": a value is missing");
            return words[++i];
        };
        if (word == "--help") {
            options.help = true;
        } else if (word == "--case") {
            options.name = value();
        } else if (word == "--frames") {
            read_number<index_t>(word, value(), 1, options.frames);
        } else if (word == "--size") {
            read_number<index_t>(word, value(), 8, options.size);
        } else if (word == "--threads") {
            read_number(word, value(), 0, options.threads);
        } else if (word == "--warmup") {
            read_number(word, value(), 0, options.warmup);
        } else if (word == "--repeats") {
            read_number(word, value(), 1, options.repeats);
        } else if (word == "--tiny") {
            options.tiny = true;
        } else if (word == "--json") {
            options.json = true;
        } else if (word == "--serve") {
            options.serve = true;
        } else {
            reel::fail("unknown option ", word, "\n", manual);
        }
    }
    reel::require(options.size % 8 == 0, "--size: ", options.size, " is not a multiple of 8");
    return options;
}

/// Spread evenly in +-bound and never near the smallest floats, which processors are slow at.
struct CheapUniform {
    float* x;
    float bound;
    std::uint32_t stream;
    void operator()(index_t i) const {
        std::uint32_t bits = (static_cast<std::uint32_t>(i) + stream) * 2654435769U;
        bits ^= bits >> 15;
        bits *= 0x2c1b3c6dU;
        bits ^= bits >> 13;
        x[i] = (static_cast<float>(bits >> 8) * 0x1p-23F - 1.0F) * bound;
    }
};

Tensor cheap_uniform(Cpu& cpu, const Shape& shape, double bound, std::uint32_t stream) {
    Tensor x(cpu, shape);
    cpu.for_each_index(x.size(), CheapUniform{x.data(), static_cast<float>(bound), stream});
    return x;
}

/// Weights in +-1/sqrt(fan in), norms that change nothing, so that activations stay near one through all layers.
/// A full-size model takes a second.
template <reel::Module M>
void fill(M& model, Cpu& cpu) {
    std::uint32_t stream = 1;
    reel::for_each_parameter(model, [&](const std::string& name, auto& parameter) {
        const Shape& shape = parameter.spec().shape;
        const bool vector = shape.rank() == 1;
        if (vector && name.ends_with("weight")) {
            parameter.set(Tensor::full(cpu, shape, 1.0F));
        } else {
            const double fan_in = static_cast<double>(vector ? 1024 : shape.size() / shape[0]);
            parameter.set(cheap_uniform(cpu, shape, 1.0 / std::sqrt(fan_in), stream));
        }
        stream += 0x9e3779b9U;
    });
}

reel::UNetConfig unet_config(bool tiny) {
    reel::UNetConfig config;
    config.cross_attention_dim = tiny ? 64 : 768;
    if (tiny) {
        config.block_out_channels = {32, 64, 64, 64};
        config.norm_num_groups = 8;
    }
    return config;
}

reel::AutoencoderKLConfig vae_config(bool tiny) {
    reel::AutoencoderKLConfig config;
    if (tiny) {
        config.block_out_channels = {16, 32, 32, 32};
        config.norm_num_groups = 8;
    }
    return config;
}

/// A case ready to run; what it computes ends in a number that must be finite.
using Case = std::function<double()>;

double mean_of(const Tensor& x) {
    double sum = 0;
    for (const float value : x.to_host()) {
        sum += static_cast<double>(value);
    }
    return sum / static_cast<double>(x.size());
}

Case unet_forward(Cpu& cpu, const Options& options) {
    const auto unet = std::make_shared<reel::UNet3DConditionModel<float>>(unet_config(options.tiny));
    fill(*unet, cpu);
    const index_t side = options.size / 8;
    const Tensor sample = cheap_uniform(cpu, {options.frames, side, side, 4}, 1.7, 1);
    const Tensor text = cheap_uniform(cpu, {1, 77, unet->config.cross_attention_dim}, 1.7, 2);
    return [=, frames = options.frames] {
        const std::array<double, 1> timestep{981};
        return mean_of((*unet)(sample, timestep, text, frames));
    };
}

/// Everything a tuner needs to outlive it.
struct Tuning {
    reel::UNet3DConditionModel<float> unet;
    reel::DDPMScheduler scheduler;
    std::optional<reel::Tuner<float>> tuner;
};

Case tune_step(Cpu& cpu, const Options& options, bool checkpointing) {
    reel::DDPMConfig ddpm;
    ddpm.schedule.beta_start = 0.00085;
    ddpm.schedule.beta_end = 0.012;
    ddpm.schedule.beta_schedule = reel::BetaSchedule::scaled_linear;
    const auto tuning = std::make_shared<Tuning>(
        Tuning{reel::UNet3DConditionModel<float>(unet_config(options.tiny)), reel::DDPMScheduler(ddpm), {}});
    reel::set_trainable_modules(tuning->unet, {"attn1.to_q", "attn2.to_q", "attn_temp"});
    fill(tuning->unet, cpu);
    if (checkpointing) {
        tuning->unet.gradient_checkpointing = reel::CheckpointMode::exact;
    }
    const index_t side = options.size / 8;
    tuning->tuner.emplace(tuning->unet, tuning->scheduler, cheap_uniform(cpu, {options.frames, side, side, 8}, 1.7, 1),
                          cheap_uniform(cpu, {1, 77, tuning->unet.config.cross_attention_dim}, 1.7, 2), 0.18215,
                          reel::TuneOptions{});
    return [&cpu, tuning] {
        return tuning->tuner
            ->update([&](index_t draw) {
                return reel::training_noise<float>(cpu, tuning->tuner->latent_shape(), 33, draw, 1000);
            })
            .loss;
    };
}

Case vae_encode(Cpu& cpu, const Options& options) {
    const auto vae = std::make_shared<reel::AutoencoderKL<float>>(vae_config(options.tiny));
    fill(*vae, cpu);
    const Tensor pictures = cheap_uniform(cpu, {options.frames, options.size, options.size, 3}, 1.0, 1);
    return [=] { // frame by frame, as the programs do
        return mean_of(reel::sliced(pictures, [&](const Tensor& picture) { return vae->encode(picture); }));
    };
}

Case vae_decode(Cpu& cpu, const Options& options) {
    const auto vae = std::make_shared<reel::AutoencoderKL<float>>(vae_config(options.tiny));
    fill(*vae, cpu);
    const index_t side = options.size / 8;
    const Tensor latents = cheap_uniform(cpu, {options.frames, side, side, 4}, 1.7, 1);
    return [=] { return mean_of(reel::sliced(latents, [&](const Tensor& latent) { return vae->decode(latent); })); };
}

Case make_case(Cpu& cpu, const Options& options) {
    if (options.name == "unet_forward") {
        return unet_forward(cpu, options);
    }
    if (options.name == "tune_step" || options.name == "tune_step_checkpoint") {
        return tune_step(cpu, options, options.name == "tune_step_checkpoint");
    }
    if (options.name == "vae_encode") {
        return vae_encode(cpu, options);
    }
    if (options.name == "vae_decode") {
        return vae_decode(cpu, options);
    }
    reel::fail("--case: unknown case \"", options.name, "\"\n", manual);
}

/// Processor seconds that all threads of this process have had.
struct ProcessorTime {
    double user = 0;
    double system = 0; ///< in the operating system: mostly fresh memory pages
};

ProcessorTime processor_time() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return {seconds(usage.ru_utime), seconds(usage.ru_stime)};
}

/// GFLOP/s of a large square product, the best of a few: what this machine can do at this moment.
double gemm_rate(Cpu& cpu) {
    constexpr index_t n = 1536;
    const Tensor a = cheap_uniform(cpu, {n, n}, 1.0, 1);
    const Tensor b = cheap_uniform(cpu, {n, n}, 1.0, 2);
    const Tensor c(cpu, {n, n});
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 8; ++i) {
        const reel::Stopwatch watch;
        reel::gemm(
            cpu,
            reel::GemmProblem<float>{
                .m = n, .n = n, .k = n, .a = a.data(), .lda = n, .b = b.data(), .ldb = n, .c = c.data(), .ldc = n});
        best = std::min(best, watch.seconds());
    }
    return 2e-9 * static_cast<double>(n * n * n) / best;
}

void measure(Cpu& cpu, const Case& run, const Options& options) {
    cpu.memory().reset_peak();
    const ProcessorTime before = processor_time();
    const reel::Stopwatch watch;
    const double result = run();
    const double seconds = watch.seconds();
    const ProcessorTime after = processor_time();
    const double user = after.user - before.user;
    const double system = after.system - before.system;
    reel::require(std::isfinite(result), options.name, ": the result is not finite");
    const std::size_t backend = cpu.memory().statistics().peak;
    const std::size_t resident = reel::peak_resident_bytes();
    if (options.json) {
        std::cout << "{\"seconds\": " << seconds << ", \"user_seconds\": " << user << ", \"system_seconds\": " << system
                  << ", \"peak_backend_bytes\": " << backend << ", \"peak_resident_bytes\": " << resident
                  << ", \"result\": " << result << "}" << std::endl;
    } else {
        std::cout << options.name << ": " << seconds << " s, user " << user << " s, system " << system
                  << " s, backend peak " << static_cast<double>(backend) * 1e-9 << " GB, process peak "
                  << static_cast<double>(resident) * 1e-9 << " GB, result " << result << std::endl;
    }
}

void run(const Options& options) {
    Cpu cpu(options.threads);
    const double rate = gemm_rate(cpu);
    const Case once = make_case(cpu, options);
    const std::size_t weights = cpu.memory().statistics().in_use;
    for (int i = 0; i < options.warmup; ++i) {
        reel::require(std::isfinite(once()), options.name, ": the result is not finite");
    }
    if (options.json) {
        std::cout << "{\"gemm_gflops\": " << rate << ", \"threads\": " << cpu.threads()
                  << ", \"weight_bytes\": " << weights << ", \"version\": \"" << reel::compiler_description()
                  << ", Eigen " << reel::eigen_version() << ", " << reel::instruction_sets() << "\"}" << std::endl;
    } else {
        std::cout << reel::processor_name() << ", " << cpu.threads() << " threads, " << reel::compiler_description()
                  << ", Eigen " << reel::eigen_version() << ", product of 1536 x 1536: " << rate << " GFLOP/s"
                  << std::endl;
    }
    if (options.serve) {
        for (std::string line; std::getline(std::cin, line);) {
            measure(cpu, once, options);
        }
    } else {
        for (int i = 0; i < options.repeats; ++i) {
            measure(cpu, once, options);
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    try {
        const Options options = read_options({argv + 1, argv + argc});
        if (options.help) {
            std::cout << manual;
            return 0;
        }
        run(options);
    } catch (const std::exception& error) {
        std::cerr << "full_size: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
