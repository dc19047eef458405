// A pipeline whose scalar type is chosen at run time, in bfloat16 on Cpu: every stage gives what the networks of that
// type give when they are called as what they are, and something near float32.

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include <reel/ops/random.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/pipelines/widened_unet.hpp>

#include "support/golden.hpp"

using reel::AnyTensor;
using reel::bfloat16;
using reel::Cpu;
using reel::index_t;
using reel::MixedPrecision;
using reel::Tensor;
using Values = std::vector<float>;

namespace {

constexpr std::uint64_t seed = 33;
const std::string folder = "golden/sd1_tiny";

/// Largest root mean square error, relative to the values, of what was rounded to eight bits at every step.
constexpr double near_float = 0.05;

[[nodiscard]] double error_of(const Values& found, const Values& expected) {
    return reel_test::relative_error(found, std::vector<double>(expected.begin(), expected.end()));
}

[[nodiscard]] reel::Frames drawn_clip() {
    reel::Frames clip = reel::make_frames(2, 32, 32, 8);
    for (std::size_t i = 0; i < clip.rgb.size(); ++i) {
        clip.rgb[i] = static_cast<std::uint8_t>(i / 7 * 31 + i % 3 * 50);
    }
    return clip;
}

/// The model as a pipeline of a type.
struct Loaded {
    Cpu cpu{1};
    std::unique_ptr<reel::PipelineBackend> backend = reel::open_backend(reel::BackendKind::cpu, cpu);
    std::unique_ptr<reel::AnyPipeline> model;

    explicit Loaded(MixedPrecision type)
        : model(backend->load({.folder = folder, .seed = seed, .mixed_precision = type})) {
        model->watch.bars = false;
    }
    [[nodiscard]] AnyTensor latents() { return reel::randn<float>(cpu, {2, 4, 4, 4}, 5); }
    [[nodiscard]] Values sampled() {
        const auto result = model->sample({.sampler = reel::ddim_sampler(model->facts()),
                                           .steps = 3,
                                           .guidance_scale = 2,
                                           .text = model->encode_prompt("a man is skiing"),
                                           .negative = model->encode_prompt(""),
                                           .noise = latents()});
        return result.to_host();
    }
};

} // namespace

TEST_CASE("stages in bfloat16 are those of the networks in bfloat16, and near float32") {
    Loaded narrow(MixedPrecision::bf16);
    Loaded wide(MixedPrecision::no);
    Cpu cpu(1);
    const auto direct = reel::load_stable_diffusion<bfloat16>(cpu, folder, seed);
    const auto check = [](const Values& found, const Values& expected, const Values& in_float) {
        CHECK(found == expected);
        CHECK(found != in_float);
        CHECK(error_of(found, in_float) < near_float);
    };
    const Tensor<float> text = reel::cast<float>(reel::encode_prompt(direct, "a man is skiing"));
    check(narrow.model->encode_prompt("a man is skiing").to_host(), text.to_host(),
          wide.model->encode_prompt("a man is skiing").to_host());

    const reel::Frames clip = drawn_clip();
    check(narrow.model->encode(clip).to_host(),
          reel::cast<float>(reel::encode_clip(direct.vae, reel::to_tensor<bfloat16>(cpu, clip))).to_host(),
          wide.model->encode(clip).to_host());

    const Tensor<float> latents = reel::randn<float>(cpu, {2, 4, 4, 4}, 5);
    check(narrow.model->decode(narrow.latents()).to_host(),
          reel::cast<float>(reel::decode_clip(direct.vae, reel::cast<bfloat16>(latents))).to_host(),
          wide.model->decode(wide.latents()).to_host());

    const reel::WidenedUnet unet(direct.unet);
    reel::DDIMScheduler sampler(direct.sampling);
    const Tensor<float> negative = reel::cast<float>(reel::encode_prompt(direct, ""));
    check(narrow.sampled(),
          reel::sample_clip(unet, sampler, latents, {.guidance = {text, negative, 2}, .num_inference_steps = 3})
              .to_host(),
          wide.sampled());
}

namespace {

void check_tuning_in_bfloat16(const reel::TuneOptions& options) {
    Loaded narrow(MixedPrecision::bf16);
    Loaded wide(MixedPrecision::no);
    const auto tuned = [&](Loaded& in) {
        const Values before = in.sampled();
        in.model->prepare_training(options, false, true);
        const AnyTensor moments = in.model->encode(drawn_clip());
        const auto tuning =
            in.model->tune(moments, in.model->encode_prompt("a man is skiing"), options, {.seed = seed});
        std::vector<double> losses;
        for (int step = 0; step < options.max_train_steps; ++step) {
            losses.push_back(tuning->update().loss);
        }
        CHECK(tuning->step_count() == options.max_train_steps);
        for (const auto& [name, tensor] : in.model->trained()) {
            CAPTURE(name);
            CHECK(tensor.dtype == reel::DType::f32);
        }
        in.model->stop_training();
        CHECK(in.sampled() != before);
        in.model->restore();
        CHECK(in.sampled() == before);
        return losses;
    };
    const std::vector<double> found = tuned(narrow);
    const std::vector<double> expected = tuned(wide);
    for (std::size_t step = 0; step < found.size(); ++step) {
        CAPTURE(step);
        CHECK(found[step] != expected[step]);
        CHECK(std::abs(found[step] - expected[step]) < near_float * expected[step]);
    }
}

} // namespace

TEST_CASE("tuning in bfloat16 is near float32, is saved in float32, and can be undone") {
    check_tuning_in_bfloat16({.max_train_steps = 3, .learning_rate = 1e-2});
    check_tuning_in_bfloat16({.max_train_steps = 3, .learning_rate = 1e-2, .tune = reel::TuneKind::lora, .rank = 2});
}
