// A UNet distilled to be told the guidance scale: what diffusers' pipeline draws with it (golden/distilled, made by
// part_distilled.py), and that clips are edited with it as told.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/ops/random.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/model_notes.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

#include "io/temporary_folder.hpp"
#include "support/golden.hpp"

using namespace reel_test;
using reel::AnyTensor;
using reel::Cpu;
using reel::index_t;
using reel::Shape;
using Tensor = reel::Tensor<float>;

namespace {

const std::string prompt = "a man is skiing";

/// golden/sd1_tiny with the parameter that a distilled UNet has beside.
void put_distilled(const std::filesystem::path& folder, const Golden& golden) {
    std::filesystem::copy("golden/sd1_tiny", folder, std::filesystem::copy_options::recursive);
    const std::filesystem::path unet = folder / "unet";
    auto weights = reel::load_weights(unet, reel::diffusers_weight_names);
    const std::string name = "time_embedding.cond_proj.weight";
    weights.insert_or_assign(name, golden.at(name));
    nlohmann::json config = reel::read_json(unet / "config.json");
    config["time_cond_proj_dim"] = golden.at(name).shape.at(1);
    std::filesystem::remove_all(unet);
    std::filesystem::create_directory(unet);
    reel::write_json(unet / "config.json", config);
    reel::write_safetensors(unet / "diffusion_pytorch_model.safetensors", weights, {{"format", "pt"}});
}

struct Distilled {
    Golden golden{"distilled"};
    TemporaryFolder temporary;
    std::filesystem::path folder = temporary / "model";
    Cpu cpu{1};
    std::unique_ptr<reel::PipelineBackend> backend = reel::open_backend(reel::BackendKind::cpu, cpu);

    Distilled() { put_distilled(folder, golden); }

    [[nodiscard]] std::unique_ptr<reel::AnyPipeline> load(reel::PipelineSource source) const {
        source.seed = 33;
        auto model = backend->load(source);
        model->watch.bars = false;
        return model;
    }
    /// Number 0 is what a run starts from, the others are what its steps draw.
    [[nodiscard]] Tensor noise(index_t number) {
        const auto all = golden.tensor<float>(cpu, "noise");
        return reel::permute(all.slice(number, number + 1).reshape({1, 4, 8, 8}), {0, 2, 3, 1});
    }
    [[nodiscard]] Tensor sampled(const reel::AnyPipeline& model, const std::string& sampler, double scale) {
        index_t draws = 0;
        return model
            .sample({.sampler = reel::named_sampler({.scheduler = sampler, .scheduler_config = {}}, model.facts(), 0),
                     .steps = 4,
                     .guidance_scale = scale,
                     .text = model.encode_prompt(prompt),
                     .negative = model.encode_prompt("what has no effect"),
                     .noise = noise(0),
                     .draw = [&](const Shape&) -> AnyTensor { return noise(++draws); }})
            .on_cpu(cpu);
    }
};

} // namespace

TEST_CASE("a distilled UNet is told the guidance scale, as by diffusers' pipeline") {
    Distilled at;
    const auto model = at.load({.folder = at.folder, .pictures = true});
    CHECK(model->facts().takes_guidance_scale);
    Agreement agreement("latents of a distilled model", 1e-4);
    for (const auto& [name, sampler, scale] :
         {std::tuple{"ddim.1", "ddim", 1.0}, {"ddim.7.5", "ddim", 7.5}, {"lcm.8.5", "lcm", 8.5}}) {
        agreement.check(name, relative_error(picture_order(at.sampled(*model, sampler, scale)), at.golden.at(name)));
    }
    const auto narrow = at.load({.folder = at.folder, .mixed_precision = reel::MixedPrecision::bf16, .pictures = true});
    CHECK(relative_error(picture_order(at.sampled(*narrow, "ddim", 7.5)), at.golden.at("ddim.7.5")) < 0.1);
}

TEST_CASE("clips are inverted at scale 1 and sampled at the scale asked for, with a distilled UNet") {
    Distilled at;
    const auto model = at.load({.folder = at.folder});
    const auto direct = reel::load_stable_diffusion<float>(at.cpu, at.folder, 33);
    const auto told = [&](double scale) { // a UNet that is told this scale whatever it is asked
        auto unet = direct.unet;
        unet.guidance_scale = scale;
        return [unet](const Tensor& x, std::span<const double> timesteps, const Tensor& text, index_t frames) {
            return unet(x, timesteps, text, frames);
        };
    };
    const Tensor latents = reel::randn<float>(at.cpu, {2, 4, 4, 4}, 5);
    const Tensor text = reel::encode_prompt(direct, prompt);
    const reel::EditRequest request{.sampler = reel::ddim_sampler(model->facts()),
                                    .sampling = {.num_inference_steps = 3, .guidance_scale = 4, .num_inv_steps = 3},
                                    .prompt = prompt};
    reel::DDIMInverseScheduler inverse(direct.sampling);
    const Tensor inverted = reel::invert(told(1), inverse, latents, reel::encode_prompt(direct, ""), 3);
    const reel::AnyStart start = model->start_edit(request, latents);
    CHECK(start.noise.to_host() == inverted.to_host());

    const reel::AnyPlace place = model->find_place(request, start, prompt);
    reel::DDIMScheduler sampler(direct.sampling);
    const auto expected = [&](double scale) {
        return reel::sample_clip(told(scale), sampler, inverted,
                                 {.guidance = {text, text, 1}, .num_inference_steps = 3})
            .to_host();
    };
    const auto edited = model->sample_edit(request, start.trajectory, place, prompt).to_host();
    CHECK(edited == expected(4));
    CHECK(edited != expected(1));
}

TEST_CASE("what has no effect on a distilled UNet is said, and another takes no guidance scale") {
    const Distilled at;
    const auto notes = reel::model_notes(reel::open_model(at.folder));
    CHECK(std::ranges::count_if(notes, [](const auto& note) {
              return note.find("negative prompts have no effect") != std::string::npos;
          }) == 1);
    CHECK(reel::model_notes(reel::open_model("golden/sd1_tiny")).empty());
    Cpu cpu(1);
    const auto plain = reel::load_stable_diffusion<float>(cpu, "golden/sd1_tiny", 33);
    CHECK_FALSE(plain.unet.takes_guidance_scale());
    const Tensor x = reel::randn<float>(cpu, {1, 4, 4, 4}, 5);
    const Tensor text = reel::encode_prompt(plain, prompt);
    CHECK_THROWS_WITH_AS(static_cast<void>(plain.unet.at_guidance_scale(7.5, x, 1.0, text, 1)),
                         doctest::Contains("this model takes none"), reel::Error);
}
