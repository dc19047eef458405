// full_size: times parts of the main job at Stable Diffusion 1.4's size, with cheap weights made in memory.
// bench/compare runs it beside PyTorch; it also runs alone: full_size --case unet_forward --repeats 3

#include <reel/backend/cpu/rehearsal.hpp>
#include <reel/core/build_info.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

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

template <class T>
using Tensor = reel::Tensor<T>;

constexpr const char* manual = R"(full_size --case NAME [options], or full_size --long_clips [options]
  --case NAME     unet_forward, unet_guided (both halves of guidance), tune_step, tune_step_checkpoint, vae_encode,
                  vae_decode, text_encoder or whole_job (20 tuning steps with checkpointing, 10 inversion steps,
                  10 sampling steps with guidance)
  --long_clips    runs nothing: counts the memory that clips of 8 to 64 frames take, and prints it as a table
  --frames N      frames of the clip (4)
  --size N        width and height in pixels, a multiple of 8 (256)
  --dtype NAME    of weights and activations: float32 or bfloat16 (float32); what is tuned stays in float32
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
    bool bfloat16 = false;
    bool tiny = false;
    bool json = false;
    bool serve = false;
    bool long_clips = false;
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
        } else if (word == "--dtype") {
            const std::string& name = value();
            reel::require(name == "float32" || name == "bfloat16", word, ": \"", name,
                          "\"; expected float32 or bfloat16");
            options.bfloat16 = name == "bfloat16";
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
        } else if (word == "--long_clips") {
            options.long_clips = true;
        } else {
            reel::fail("unknown option ", word, "\n", manual);
        }
    }
    reel::require(options.size % 8 == 0, "--size: ", options.size, " is not a multiple of 8");
    return options;
}

/// Spread evenly in +-bound and never near the smallest floats, which processors are slow at.
template <class T>
struct CheapUniform {
    T* x;
    float bound;
    std::uint32_t stream;
    void operator()(index_t i) const {
        std::uint32_t bits = (static_cast<std::uint32_t>(i) + stream) * 2654435769U;
        bits ^= bits >> 15;
        bits *= 0x2c1b3c6dU;
        bits ^= bits >> 13;
        x[i] = static_cast<T>((static_cast<float>(bits >> 8) * 0x1p-23F - 1.0F) * bound);
    }
};

template <class T = float>
Tensor<T> cheap_uniform(Cpu& cpu, const Shape& shape, double bound, std::uint32_t stream) {
    Tensor<T> x(cpu, shape);
    cpu.for_each_index(x.size(), CheapUniform<T>{x.data(), static_cast<float>(bound), stream});
    return x;
}

/// Weights in +-1/sqrt(fan in), norms that change nothing, so that activations stay near one through all layers.
/// A full-size model takes a second.
template <reel::Module M>
void fill(M& model, Cpu& cpu) {
    std::uint32_t stream = 1;
    reel::for_each_parameter(model, [&](const std::string& name, auto& parameter) {
        using T = typename std::remove_cvref_t<decltype(parameter)>::value_type;
        const Shape& shape = parameter.spec().shape;
        const bool vector = shape.rank() == 1;
        const double fan_in = static_cast<double>(vector ? 1024 : shape.size() / shape[0]);
        if (vector && name.ends_with("weight")) {
            parameter.set(Tensor<T>::full(cpu, shape, T(1.0F)));
        } else { // when it is used first, as from a file
            parameter.set_later([&cpu, shape, bound = 1.0 / std::sqrt(fan_in), stream] {
                return cheap_uniform<T>(cpu, shape, bound, stream);
            });
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

/// A case ready to run.
struct Case {
    std::function<double()> run;               ///< what it computes ends in a number that must be finite
    std::function<std::size_t()> weight_bytes; ///< of its models, as far as they have been used
};

/// Bytes of a model's weights that have been used; of a 16-bit one that trains its float copy, too.
template <reel::Module M>
std::size_t weight_bytes(const M& model) {
    std::size_t bytes = 0;
    reel::for_each_parameter(model, [&](const std::string&, const auto& parameter) {
        using T = typename std::remove_cvref_t<decltype(parameter)>::value_type;
        const bool two = parameter.requires_grad() && !std::same_as<T, reel::compute_t<T>>;
        if (parameter.in_memory()) {
            bytes += static_cast<std::size_t>(parameter.spec().shape.size()) *
                     (sizeof(T) + (two ? sizeof(reel::compute_t<T>) : 0));
        }
    });
    return bytes;
}

template <class T>
double mean_of(const Tensor<T>& x) {
    double sum = 0;
    for (const T value : x.to_host()) {
        sum += static_cast<double>(value);
    }
    return sum / static_cast<double>(x.size());
}

/// Latents of the clip [frames, h, w, channels].
template <class T>
Tensor<T> cheap_latents(Cpu& cpu, const Options& options, index_t channels) {
    return cheap_uniform<T>(cpu, {options.frames, options.size / 8, options.size / 8, channels}, 1.7, 1);
}

template <class T>
Tensor<T> cheap_text(Cpu& cpu, const reel::UNetConfig& config) {
    return cheap_uniform<T>(cpu, {1, 77, config.cross_attention_dim}, 1.7, 2);
}

template <class T>
Case unet_forward(Cpu& cpu, const Options& options, bool guided) {
    const auto unet = std::make_shared<reel::UNet3DConditionModel<T>>(unet_config(options.tiny));
    fill(*unet, cpu);
    Tensor<T> sample = cheap_latents<T>(cpu, options, 4);
    Tensor<T> text = cheap_text<T>(cpu, unet->config);
    if (guided) {
        sample = reel::concat_rows({sample, sample});
        text = reel::concat_rows({reel::scale(text, -1.0F), text});
    }
    return {[=, frames = options.frames] {
                const std::array<double, 1> timestep{981};
                return mean_of((*unet)(sample, timestep, text, frames));
            },
            [=] { return weight_bytes(*unet); }};
}

/// Stable Diffusion's noise.
reel::NoiseScheduleConfig noise_schedule() {
    reel::NoiseScheduleConfig schedule;
    schedule.beta_start = 0.00085;
    schedule.beta_end = 0.012;
    schedule.beta_schedule = reel::BetaSchedule::scaled_linear;
    return schedule;
}

constexpr double scaling_factor = 0.18215;

/// Everything a tuner needs to outlive it.
template <class T>
struct Tuning {
    reel::UNet3DConditionModel<T> unet;
    reel::DDPMScheduler scheduler;
    std::optional<reel::Tuner<T>> tuner;

    Tuning(Cpu& cpu, const Options& options, bool checkpointing)
        : unet(unet_config(options.tiny)), scheduler({.schedule = noise_schedule()}) {
        reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"});
        fill(unet, cpu);
        if (checkpointing) {
            unet.gradient_checkpointing = reel::CheckpointMode::exact;
        }
    }

    /// On a clip's moments.
    void begin(Tensor<float> moments) {
        const Tensor<T> text = cheap_text<T>(moments.backend(), unet.config);
        const reel::TuneOptions options; // g++ 12 crashes over one that is made in the call
        tuner.emplace(unet, scheduler, std::move(moments), text, scaling_factor, options);
    }

    double step(Cpu& cpu) {
        return tuner
            ->update(
                [&](index_t draw) { return reel::training_noise<float>(cpu, tuner->latent_shape(), 33, draw, 1000); })
            .loss;
    }
};

template <class T>
Case tune_step(Cpu& cpu, const Options& options, bool checkpointing) {
    const auto tuning = std::make_shared<Tuning<T>>(cpu, options, checkpointing);
    tuning->begin(cheap_latents<float>(cpu, options, 8));
    return {[&cpu, tuning] { return tuning->step(cpu); }, [=] { return weight_bytes(tuning->unet); }};
}

template <class T>
Case vae_encode(Cpu& cpu, const Options& options) {
    const auto vae = std::make_shared<reel::AutoencoderKL<T>>(vae_config(options.tiny));
    fill(*vae, cpu);
    const Tensor<T> pictures = cheap_uniform<T>(cpu, {options.frames, options.size, options.size, 3}, 1.0, 1);
    return {[=] { return mean_of(reel::encode_clip(*vae, pictures, [] {})); }, // frame by frame, as the programs do
            [=] { return weight_bytes(*vae); }};
}

template <class T>
Case vae_decode(Cpu& cpu, const Options& options) {
    const auto vae = std::make_shared<reel::AutoencoderKL<T>>(vae_config(options.tiny));
    fill(*vae, cpu);
    const Tensor<T> latents = cheap_latents<T>(cpu, options, 4);
    return {[=] { return mean_of(reel::decode_clip(*vae, latents, [] {})); }, [=] { return weight_bytes(*vae); }};
}

template <class T>
Case text_encoder(Cpu& cpu, const Options& options) {
    reel::CLIPTextConfig config;
    if (options.tiny) {
        config.hidden_size = 64;
        config.intermediate_size = 128;
        config.num_attention_heads = 4;
    }
    const auto model = std::make_shared<reel::CLIPTextModel<T>>(config);
    fill(*model, cpu);
    std::vector<std::int32_t> ids(77);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<std::int32_t>(i * 613 % 49408);
    }
    return {[=] { return mean_of((*model)(ids)); }, [=] { return weight_bytes(*model); }};
}

/// A tensor in another type, or the same tensor.
template <class To, class From>
Tensor<To> as(const Tensor<From>& x) {
    if constexpr (std::same_as<To, From>) {
        return x;
    } else {
        return reel::cast<To>(x);
    }
}

/// Encode the clip, tune, invert, sample with guidance, decode. Latents are in float32 whatever the models are in.
template <class T>
Case whole_job(Cpu& cpu, const Options& options) {
    const auto tuning = std::make_shared<Tuning<T>>(cpu, options, true);
    const auto vae = std::make_shared<reel::AutoencoderKL<T>>(vae_config(options.tiny));
    fill(*vae, cpu);
    const Tensor<T> pictures = cheap_uniform<T>(cpu, {options.frames, options.size, options.size, 3}, 1.0, 1);
    const auto run = [&cpu, tuning, vae, pictures] {
        const auto nothing = [](auto&&...) {};
        const auto moments = as<float>(reel::encode_clip(*vae, pictures, [] {}));
        tuning->begin(moments);
        double loss = 0;
        for (int i = 0; i < 20; ++i) {
            loss = tuning->step(cpu);
        }
        reel::require(std::isfinite(loss), "whole_job: the loss is not finite");
        const auto unet = [&](const Tensor<float>& sample, std::span<const double> at, const Tensor<float>& words,
                              index_t frames) {
            return as<float>(tuning->unet(as<T>(sample), at, as<T>(words), frames));
        };
        const Tensor<float> text = cheap_text<float>(cpu, tuning->unet.config);
        const Tensor<float> clean =
            reel::scale(reel::slice_channels(moments, 0, 4), static_cast<float>(scaling_factor));
        const reel::DDIMConfig config{
            .schedule = noise_schedule(), .clip_sample = false, .set_alpha_to_one = false, .steps_offset = 1};
        reel::DDIMInverseScheduler inverse(config);
        const Tensor<float> noise = reel::invert(unet, inverse, clean, text, 10, nothing);
        reel::DDIMScheduler scheduler(config);
        const reel::Guidance<float, Cpu> guidance{text, reel::scale(text, -1.0F), 7.5};
        const Tensor<float> edited =
            reel::sample_clip(unet, scheduler, noise, {.guidance = guidance, .num_inference_steps = 10});
        return mean_of(reel::decode_clip(*vae, as<T>(edited), [] {}));
    };
    return {run, [=] { return weight_bytes(tuning->unet) + weight_bytes(*vae); }};
}

template <class T>
Case make_case(Cpu& cpu, const Options& options) {
    if (options.name == "unet_forward" || options.name == "unet_guided") {
        return unet_forward<T>(cpu, options, options.name == "unet_guided");
    }
    if (options.name == "vae_encode") {
        return vae_encode<T>(cpu, options);
    }
    if (options.name == "vae_decode") {
        return vae_decode<T>(cpu, options);
    }
    if (options.name == "text_encoder") {
        return text_encoder<T>(cpu, options);
    }
    if (options.name == "tune_step" || options.name == "tune_step_checkpoint") {
        return tune_step<T>(cpu, options, options.name == "tune_step_checkpoint");
    }
    if (options.name == "whole_job") {
        return whole_job<T>(cpu, options);
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
template <class T>
double gemm_rate(Cpu& cpu) {
    constexpr index_t n = 1536;
    const Tensor<T> a = cheap_uniform<T>(cpu, {n, n}, 1.0, 1);
    const Tensor<T> b = cheap_uniform<T>(cpu, {n, n}, 1.0, 2);
    const Tensor<T> c(cpu, {n, n});
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 8; ++i) {
        const reel::Stopwatch watch;
        reel::gemm(
            cpu,
            reel::GemmProblem<T>{
                .m = n, .n = n, .k = n, .a = a.data(), .lda = n, .b = b.data(), .ldb = n, .c = c.data(), .ldc = n});
        best = std::min(best, watch.seconds());
    }
    return 2e-9 * static_cast<double>(n * n * n) / best;
}

void measure(Cpu& cpu, const Case& run, const Options& options) {
    const ProcessorTime before = processor_time();
    const reel::Stopwatch watch;
    const double result = run.run();
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
                  << ", \"weight_bytes\": " << run.weight_bytes() << ", \"result\": " << result << "}" << std::endl;
    } else {
        std::cout << options.name << ": " << seconds << " s, user " << user << " s, system " << system
                  << " s, backend peak " << static_cast<double>(backend) * 1e-9 << " GB, process peak "
                  << static_cast<double>(resident) * 1e-9 << " GB, result " << result << std::endl;
    }
}

/// Bytes that the second run of a case takes beyond its weights and input, counted without running it.
template <class T>
std::size_t rehearsed_bytes(const Options& options) {
    reel::Rehearsal rehearsal(0);
    Cpu cpu(options.threads, &rehearsal);
    const Case once = make_case<T>(cpu, options);
    (void)once.run(); // makes weights and, of tuning, the optimizer's state
    cpu.memory().reset_peak();
    (void)once.run();
    return cpu.memory().statistics().peak - once.weight_bytes();
}

void print_long_clips(Options options) {
    constexpr std::array<index_t, 4> lengths{8, 16, 32, 64};
    std::cout << "| work | pixels | type | 8 frames | 16 frames | 32 frames | 64 frames | one frame more |\n"
              << "|---|---|---|---|---|---|---|---|\n";
    for (const char* name : {"unet_guided", "tune_step_checkpoint", "vae_encode", "vae_decode"}) {
        for (const index_t size : {256, 512}) {
            for (const bool bfloat16 : {false, true}) {
                options.name = name;
                options.size = size;
                std::cout << "| `" << name << "` | " << size << " x " << size << " | "
                          << (bfloat16 ? "bfloat16" : "float32") << " |";
                std::array<std::size_t, lengths.size()> bytes{};
                for (std::size_t i = 0; i < lengths.size(); ++i) {
                    options.frames = lengths[i];
                    bytes[i] = bfloat16 ? rehearsed_bytes<reel::bfloat16>(options) : rehearsed_bytes<float>(options);
                    std::cout << " " << bytes[i] << " |" << std::flush;
                }
                std::cout << " " << (bytes[3] - bytes[2]) / 32 << " |" << std::endl;
            }
        }
    }
}

void run(const Options& options) {
    Cpu cpu(options.threads);
    const double rate = options.bfloat16 ? gemm_rate<reel::bfloat16>(cpu) : gemm_rate<float>(cpu);
    const Case once = options.bfloat16 ? make_case<reel::bfloat16>(cpu, options) : make_case<float>(cpu, options);
    for (int i = 0; i < options.warmup; ++i) {
        reel::require(std::isfinite(once.run()), options.name, ": the result is not finite");
    }
    if (options.json) {
        std::cout << "{\"gemm_gflops\": " << rate << ", \"threads\": " << cpu.threads() << ", \"version\": \""
                  << reel::compiler_description() << ", Eigen " << reel::eigen_version() << ", "
                  << reel::instruction_sets() << "\"}" << std::endl;
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
        if (options.long_clips) {
            print_long_clips(options);
        } else {
            run(options);
        }
    } catch (const std::exception& error) {
        std::cerr << "full_size: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
