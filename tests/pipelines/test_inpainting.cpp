// Inpainting UNets: the picture that diffusers' StableDiffusionInpaintPipeline paints, and a step of training
// (golden/inpainting, made by part_inpainting.py); and that every stage of an edit shows the UNet its mask.

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/inpainting.hpp>
#include <reel/pipelines/load_stable_diffusion.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

#include "io/temporary_folder.hpp"
#include "pipelines/formula_unet.hpp"
#include "support/golden.hpp"
#include "support/inpainting_model.hpp"

using namespace reel_test;
using formula::message_of;
using reel::Cpu;
using reel::index_t;

namespace {

const std::string prompt = "a man is skiing";

/// golden/sd1_tiny with a first convolution of 9 channels.
struct Inpainting {
    Golden golden{"inpainting"};
    TemporaryFolder temporary;
    std::filesystem::path folder = temporary / "model";
    Cpu cpu{1};

    Inpainting() { put_inpainting_model(folder); }

    [[nodiscard]] reel::Frames picture() const {
        auto frames = reel::make_frames(1, 64, 64, 8);
        frames.rgb = golden.at("rgb").to_vector<std::uint8_t>();
        return frames;
    }
    [[nodiscard]] reel::PixelMask mask() const {
        reel::PixelMask mask(1, 64, 64);
        mask.values = golden.at("mask").to_vector<std::uint8_t>();
        return mask;
    }
    template <class T>
    [[nodiscard]] reel::StableDiffusion<T> loaded() {
        auto files = reel::open_model(folder);
        files.masked = true;
        return reel::load_stable_diffusion<T>(cpu, files, 33);
    }
    /// The UNet as it is, for pictures; shown what it paints, with the golden sample of the masked picture.
    template <class T>
    [[nodiscard]] reel::StableDiffusion<T> shown() {
        auto model = loaded<T>();
        model.unet = reel::load_unet_2d<T>(cpu, reel::open_model(folder).unet); // what inflation adds is not zero
        const auto moments = reel::encode_clip(model.vae, reel::masked_pixels<T>(cpu, picture(), mask()));
        const auto latents =
            reel::sample_latents(moments, golden.pictures<T>(cpu, "of_masked"), model.vae.config.scaling_factor);
        model.unet.beside = reel::inpainting_channels(mask(), latents);
        return model;
    }
    [[nodiscard]] std::unique_ptr<reel::AnyPipeline> pipeline(reel::PipelineBackend& backend,
                                                              reel::MixedPrecision precision = {}) const {
        auto model = backend.load({.folder = folder, .seed = 33, .mixed_precision = precision, .masked = true});
        model->watch.bars = false;
        return model;
    }
};

template <class T>
void compare(Inpainting& at, double bound) {
    Agreement agreement("inpainting, as diffusers'", bound);
    auto model = at.shown<T>();
    CHECK(model.unet.config.is_inpainting());
    agreement.check("beside", relative_error(picture_order(model.unet.beside), at.golden.at("beside")));
    const auto text = reel::encode_prompt(model, prompt);
    reel::DDIMScheduler sampler(model.sampling);
    const auto latents =
        reel::sample_clip(model.unet, sampler, at.golden.pictures<T>(at.cpu, "noise"),
                          {.guidance = {text, reel::encode_prompt(model, ""), 3}, .num_inference_steps = 6});
    agreement.check("latents", relative_error(picture_order(latents), at.golden.at("latents")));
    agreement.check("pixels",
                    relative_error(picture_order(reel::decode_clip(model.vae, latents)), at.golden.at("pixels")));
    for (const bool checkpointing : {false, true}) {
        reel::set_trainable_modules(model.unet, {"attn1.to_q", "attn2.to_q"});
        if (checkpointing) {
            model.unet.gradient_checkpointing = reel::CheckpointMode::exact;
        }
        const auto noise = at.golden.pictures<T>(at.cpu, "noise");
        const reel::DDPMScheduler& levels = model.training_scheduler;
        const auto noisy = levels.add_noise(at.golden.pictures<T>(at.cpu, "clean"), noise, index_t{437});
        const double timestep = 437;
        const auto loss = reel::mse_loss(model.unet(reel::Variable<T>(noisy), std::span<const double>(&timestep, 1),
                                                    reel::Variable<T>(text), index_t{1}),
                                         noise);
        reel::backward(loss);
        agreement.check("loss", relative_error(loss.value().to_host(), at.golden.values("loss")));
        int seen = 0;
        reel::for_each_parameter(model.unet, [&](const std::string& name, auto& parameter) {
            if (at.golden.tensors().contains("grad." + name)) {
                agreement.check(name.c_str(),
                                relative_error(parameter.grad().to_host(), at.golden.values("grad." + name)));
                ++seen;
            }
        });
        CHECK(seen == 2);
        reel::zero_grad(model.unet);
    }
}

} // namespace

TEST_CASE("an inpainting model paints diffusers' picture, and trains as its UNet does") {
    Inpainting at;
    compare<float>(at, 1e-4);
    compare<double>(at, 1e-6);
}

TEST_CASE("every stage of an edit shows an inpainting UNet where it paints") {
    Inpainting at;
    const auto backend = reel::open_backend(reel::BackendKind::cpu, at.cpu);
    const auto model = at.pipeline(*backend);
    CHECK(model->facts().inpaints);
    CHECK(model->facts().latent_channels == 4);
    reel::Frames clip = reel::make_frames(2, 64, 64, 8);
    for (std::size_t i = 0; i < clip.rgb.size(); ++i) {
        clip.rgb[i] = static_cast<std::uint8_t>(i * 7 % 251);
    }
    reel::PixelMask mask(2, 64, 64);
    for (int f = 0; f < 2; ++f) {
        for (std::size_t i = 0; i < 64 * 40; ++i) {
            mask.frame(f)[i] = reel::PixelMask::whole;
        }
    }
    const reel::EditRequest request{.sampler = reel::ddim_sampler(model->facts()),
                                    .sampling = {.num_inference_steps = 3, .guidance_scale = 4, .num_inv_steps = 3},
                                    .prompt = prompt};
    const auto latents = model->mean_latents(model->encode(clip));
    CHECK(
        message_of([&] { static_cast<void>(model->start_edit(request, latents)); }) ==
        "UNet3DConditionModel: sample [2, 8, 8, 4]; expected [clips * frames, height, width, 9], or the channels that "
        "an inpainting UNet sees beside it: its mask and the masked clip's latents");
    model->paint_inside(clip, mask, 5);

    // the same by hand
    auto direct = at.loaded<float>();
    const auto moments = reel::encode_clip(direct.vae, reel::masked_pixels<float>(at.cpu, clip, mask));
    reel::Tensor<float> noise(at.cpu, latents.shape());
    fill_normal(at.cpu, noise, 5, static_cast<std::uint64_t>(reel::NoiseStream::masked));
    direct.unet.beside =
        reel::inpainting_channels(mask, reel::sample_latents(moments, noise, direct.vae.config.scaling_factor));
    reel::DDIMInverseScheduler inverse(direct.sampling);
    const auto empty = reel::encode_prompt(direct, "");
    const auto inverted = reel::invert(direct.unet, inverse, latents.on_cpu(at.cpu), empty, 3);
    const reel::AnyStart start = model->start_edit(request, latents);
    CHECK(start.noise.to_host() == inverted.to_host());
    reel::DDIMScheduler sampler(direct.sampling);
    const auto expected =
        reel::sample_clip(direct.unet, sampler, inverted,
                          {.guidance = {reel::encode_prompt(direct, "a dog"), empty, 4}, .num_inference_steps = 3});
    const auto edited = model->sample_edit(request, start.trajectory, {start.noise}, "a dog").to_host();
    CHECK(edited == expected.to_host());

    // another mask, another edit; 16 bits, nearly the same one
    const auto narrow = at.pipeline(*backend, reel::MixedPrecision::bf16);
    narrow->paint_inside(clip, mask, 5);
    const auto rough = narrow->start_edit(request, latents).noise.to_host();
    CHECK(relative_error(rough, [&] {
              const auto exact = inverted.to_host();
              return std::vector<double>(exact.begin(), exact.end());
          }()) < 0.05);
    mask.frame(1)[0] = 0;
    model->paint_inside(clip, mask, 5);
    CHECK(model->start_edit(request, latents).noise.to_host() != inverted.to_host());
    CHECK(message_of([&] {
              reel::PixelMask small(2, 64, 64);
              small.frame(0)[9] = reel::PixelMask::whole;
              model->paint_inside(clip, small, 5);
          }) == "the mask is too small for an inpainting model: of every 8x8 pixels it is looked at one, and none of "
                "those is in it; let it grow (--mask_grow 8)");
    CHECK(message_of([&] { model->paint_inside(clip, {}, 5); }).starts_with("masked_pixels: no mask is given"));
}

TEST_CASE("an inpainting model without a mask is refused in a sentence, and so are its relatives") {
    Inpainting at;
    const auto refused = [&] {
        return message_of([&] { static_cast<void>(reel::load_stable_diffusion<float>(at.cpu, at.folder, 33)); });
    };
    CHECK(refused() == at.folder.string() + ": the vae has 4 latent channels, the unet takes 9 and gives 4; this is an "
                                            "inpainting model, which paints inside a mask: give insert_object one "
                                            "(--mask_box, --mask_file, --mask_polygon), or take the plain model of it");
    const auto backend = reel::open_backend(reel::BackendKind::cpu, at.cpu);
    CHECK(message_of([&] {
              static_cast<void>(backend->load({.folder = at.folder, .pictures = true}));
          }).find("this is an inpainting model") != std::string::npos);
}
