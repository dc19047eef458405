// A pipeline on the backend Cuda against the same on Cpu: one folder, one clip, every stage. What is handed from stage
// to stage stays on its backend.

#include <doctest/doctest.h>

#include <reel/backend/cuda/cuda.cuh>
#include <reel/pipelines/any/networks_of.hpp>
#include <reel/pipelines/any/pipeline_on.hpp>
#include <reel/pipelines/named_sampler.hpp>

#include "backend/compare.hpp"
#include "io/temporary_folder.hpp"
#include "support/inpainting_model.hpp"

namespace {

using namespace reel;
using reel_test::message_of;

/// Two frames in which every channel differs.
[[nodiscard]] Frames clip() {
    Frames frames = make_frames(2, 16, 32, 8);
    for (std::size_t i = 0; i < frames.rgb.size(); ++i) {
        frames.rgb[i] = static_cast<std::uint8_t>(37 * i + i / 97);
    }
    return frames;
}

void compare(const char* what, const AnyTensor& found, const AnyTensor& expected, double limit = 1e-4) {
    INFO(what);
    REQUIRE(found.shape() == expected.shape());
    CHECK(near::relative_error(found.to_host(), expected.to_host()) < limit);
}

void compare(const StateDict& found, const StateDict& expected, double limit) {
    REQUIRE(found.size() == expected.size());
    REQUIRE(!found.empty());
    for (const auto& [name, tensor] : expected) {
        CAPTURE(name);
        CHECK(near::relative_error(found.at(name).to_vector<float>(), tensor.to_vector<float>()) <= limit);
    }
}

/// A sampler that is not one of reel's: DDIM by another type.
struct Own : DDIMScheduler {
    using DDIMScheduler::DDIMScheduler;
};

/// Both pipelines, loaded from one folder.
struct Both {
    Cpu cpu{1};
    Cuda cuda;
    std::unique_ptr<PipelineBackend> backend = open_backend(BackendKind::cpu, cpu);
    std::unique_ptr<AnyPipeline> here;
    std::unique_ptr<AnyPipeline> there;

    Both() : Both({.folder = "golden/sd1_tiny", .seed = 5}) {}
    explicit Both(const PipelineSource& source) {
        here = backend->load(source);
        there =
            std::make_unique<PipelineOn<Cuda>>(PipelineHost{cpu, &sampler_json}, load_networks<float>(cuda, source));
        here->watch.bars = there->watch.bars = false;
    }
};

} // namespace

TEST_CASE("a pipeline on Cuda encodes and decodes as on Cpu") {
    Both both;
    AnyPipeline& here = *both.here;
    AnyPipeline& there = *both.there;
    CHECK(there.fingerprint() == here.fingerprint());
    CHECK(there.mapped_bytes(PipelinePart::unet) == 0);
    CHECK(there.facts().pixels_per_latent == here.facts().pixels_per_latent);

    int seen = 0;
    there.watch.after_step = [&] { ++seen; };
    const AnyTensor moments = here.encode(clip());
    const AnyTensor moments_there = there.encode(clip());
    compare("encode", moments_there, moments);
    CHECK(seen == 2);
    const std::vector<std::string> prompts{"a man is skiing", "a dog", "a man is skiing"};
    compare("texts", there.encode_prompts(prompts), here.encode_prompts(prompts));
    compare("mean", there.mean_latents(moments_there), here.mean_latents(moments));
    const TuningNoise noise{.seed = 3};
    compare("sample", there.sample_latents(moments_there, noise, 4), here.sample_latents(moments, noise, 4));
    const AnyTensor latents = here.start_noise({2, 2, 4, 4}, 9);
    const AnyTensor latents_there = there.start_noise({2, 2, 4, 4}, 9);
    CHECK(latents_there.to_host() == latents.to_host());
    compare("decode", there.decode(latents_there), here.decode(latents));
    compare("slice", there.slice(latents_there, 1, 2), here.slice(latents, 1, 2), 1e-30);
    CHECK(there.upload(to_file(latents), "x").to_host() == latents.to_host());
    CHECK(message_of<Error>([&] { static_cast<void>(here.decode(latents_there)); }).find("another backend") !=
          std::string::npos);
}

namespace {

/// Tuning, whose checkpoint goes on on the other backend, and whose end is undone.
void check_tuning(const TuneOptions& options) {
    Both both;
    AnyPipeline& here = *both.here;
    AnyPipeline& there = *both.there;
    const AnyTensor moments = here.encode(clip());
    const AnyTensor moments_there = there.encode(clip());
    const TuningNoise noise{.seed = 3};
    const std::string prompt = "a man is skiing";
    here.prepare_training(options, false, true);
    there.prepare_training(options, false, true);
    const auto expected = here.tune(moments, here.encode_prompt(prompt), options, noise);
    const auto found = there.tune(moments_there, there.encode_prompt(prompt), options, noise);
    const StateDict before = there.trained();
    compare(before, here.trained(), 0);
    const TuneReport a = expected->update();
    const TuneReport b = found->update();
    CHECK(b.loss == doctest::Approx(a.loss).epsilon(1e-4));
    CHECK(b.grad_norm == doctest::Approx(a.grad_norm).epsilon(1e-3));
    compare("latents of tuning", found->latents(), expected->latents());
    // Adam's first step is the gradient's sign: where a gradient is almost nothing, the two may differ by 2 lr.
    compare(there.trained(), here.trained(), 1e-2);
    const reel_test::TemporaryFolder folder;
    const CheckpointIdentity identity{{{"seed", 3}}};
    found->save_checkpoint(folder / ".", identity);
    expected->load_checkpoint(folder / "checkpoint-1", identity);
    compare(there.trained(), here.trained(), 0);
    found->load_checkpoint(folder / "checkpoint-1", identity);
    CHECK(found->update().loss == doctest::Approx(expected->update().loss).epsilon(1e-4));
    const StateDict tuned = there.trained();
    there.restore();
    there.set_trained(tuned, "tuned");
    here.restore();
    here.set_trained(tuned, "tuned");
    there.restore();
    here.restore();
    if (options.tune == TuneKind::lora) {
        for (AnyPipeline* pipeline : {&there, &here}) {
            pipeline->prepare_training(options, false, true);
            const auto again = pipeline->tune(pipeline == &here ? moments : moments_there,
                                              pipeline->encode_prompt(prompt), options, noise);
            static_cast<void>(again->update());
            pipeline->stop_training();
            pipeline->save_lora(folder / (pipeline == &here ? "here" : "there"), LoraNaming::kohya);
        }
        compare(read_safetensors(folder / "there"), read_safetensors(folder / "here"), 1e-2);
    }
}

} // namespace

TEST_CASE("a pipeline on Cuda tunes as on Cpu") {
    check_tuning({.max_train_steps = 2, .learning_rate = 1e-3});
    // Factors that were zero are as large as a step: by the gradient's size then, not its sign alone.
    check_tuning({.max_train_steps = 2, .learning_rate = 0.1, .adam_epsilon = 1, .tune = TuneKind::lora, .rank = 2});
}

TEST_CASE("an inpainting model on Cuda sees what it sees on Cpu") {
    const reel_test::TemporaryFolder folder;
    reel_test::put_inpainting_model(folder / "model");
    Both both({.folder = folder / "model", .seed = 5, .masked = true});
    PixelMask mask(2, 16, 32);
    for (int f = 0; f < 2; ++f) {
        std::fill_n(mask.frame(f).begin(), 8 * 32, PixelMask::whole);
    }
    EditRequest request{ddim_sampler(both.here->facts()), {}, {}, "a man is skiing", 7};
    request.sampling.num_inference_steps = request.sampling.num_inv_steps = 3;
    const auto edited = [&](AnyPipeline& pipeline) {
        pipeline.paint_inside(clip(), mask, 4);
        const AnyStart start = pipeline.start_edit(request, pipeline.mean_latents(pipeline.encode(clip())));
        return pipeline.sample_edit(request, start.trajectory, {start.noise}, "a dog");
    };
    compare("inpainting", edited(*both.there), edited(*both.here), 1e-3);
}

TEST_CASE("an edit on Cuda is that on Cpu, by every start and place, with reel's samplers and one's own") {
    Both both;
    const auto edited = [&](const AnyPipeline& pipeline, const EditRequest& request) {
        const AnyTensor latents = pipeline.mean_latents(pipeline.encode(clip()));
        const AnyStart start = pipeline.start_edit(request, latents);
        const AnyPlace place = pipeline.find_place(request, start, "a dog");
        return pipeline.sample_edit(request, start.trajectory, place, "a dog");
    };
    const PipelineFacts& facts = both.here->facts();
    for (const EditStart start : {EditStart::inversion, EditStart::noise}) {
        for (const MaskKind mask : {MaskKind::none, MaskKind::difference, MaskKind::delta}) {
            CAPTURE(option_text(start));
            CAPTURE(option_text(mask));
            EditRequest request{ddim_sampler(facts, 0.5), {}, {}, "a man is skiing", 7};
            request.sampling.num_inference_steps = request.sampling.num_inv_steps = 3;
            request.edit.start = start;
            request.edit.mask = mask;
            request.edit.mask_options.draws = 2;
            request.edit.delta.steps = 3;
            compare("edit", edited(*both.there, request), edited(*both.here, request), 1e-3);
            if (start == EditStart::noise) {
                request.sampler = Sampler("Own", Own(facts.sampling));
                compare("own sampler", edited(*both.there, request), edited(*both.here, request), 1e-3);
            }
        }
    }
    EditRequest friendly{ddim_sampler(facts, 1), {}, {}, "a man is skiing", 7};
    friendly.sampling.num_inference_steps = friendly.sampling.num_inv_steps = 3;
    friendly.edit.inversion = InversionKind::edit_friendly;
    friendly.edit.mask_options.draws = 2;
    for (const MaskKind mask : {MaskKind::none, MaskKind::difference}) {
        friendly.edit.mask = mask;
        compare("edit-friendly", edited(*both.there, friendly), edited(*both.here, friendly), 1e-3);
        Own own(facts.sampling); // is given copies
        own.options.eta = 1;
        friendly.sampler = Sampler("Own", own);
    }
    CHECK(both.cuda.memory().statistics().in_use > 0);
}
