// A LoRA that distils a model to few steps, with the samplers that such are for: what diffusers' pipeline draws with it
// (golden/few_steps, made by part_few_steps.py).

#include <doctest/doctest.h>

#include <string>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/named_sampler.hpp>

#include "io/temporary_folder.hpp"
#include "support/golden.hpp"

using namespace reel_test;
using reel::AnyTensor;
using reel::Cpu;
using reel::index_t;
using reel::SamplerSpacing;
using reel::Shape;
using Tensor = reel::Tensor<float>;

namespace {

struct FewSteps {
    Golden golden{"few_steps"};
    Cpu cpu{1};
    std::unique_ptr<reel::PipelineBackend> backend = reel::open_backend(reel::BackendKind::cpu, cpu);
    index_t draws = 0;

    [[nodiscard]] std::unique_ptr<reel::AnyPipeline> load(bool with_lora) const {
        reel::PipelineSource source{.folder = "golden/sd1_tiny", .pictures = true};
        if (with_lora) {
            source.loras.uses.push_back({"golden/lora/few_steps.safetensors", 1});
        }
        auto model = backend->load(source);
        model->watch.bars = false;
        return model;
    }
    /// Number 0 is what a run starts from, the others are what its steps draw.
    [[nodiscard]] Tensor noise(index_t number) {
        const auto all = golden.tensor<float>(cpu, "noise");
        return reel::permute(all.slice(number, number + 1).reshape({1, 4, 8, 8}), {0, 2, 3, 1});
    }
    [[nodiscard]] Tensor sampled(const reel::AnyPipeline& model, const reel::Sampler& sampler, double scale,
                                 const std::string& negative) {
        draws = 0;
        return model
            .sample({.sampler = sampler,
                     .steps = 4,
                     .guidance_scale = scale,
                     .text = model.encode_prompt("a man is skiing"),
                     .negative = model.encode_prompt(negative),
                     .noise = noise(0),
                     .draw = [&](const Shape&) -> AnyTensor { return noise(++draws); }})
            .on_cpu(cpu);
    }
};

} // namespace

TEST_CASE("LCM, TCD and trailing DDIM in four steps with a LoRA for few steps, as diffusers' pipeline") {
    FewSteps at;
    const auto model = at.load(true);
    const auto plain = at.load(false);
    struct Case {
        const char* name;
        reel::SamplerRequest request;
        double eta;
        double scale;
        index_t draws;
    };
    const std::vector<Case> cases{
        {"lcm", {.scheduler = "LCM", .scheduler_config = {}}, 0, 1, 3},
        {"lcm.guided", {.scheduler = "lcm", .scheduler_config = {}}, 0, 1.5, 3},
        {"tcd", {.scheduler = "TCD", .scheduler_config = {}}, 0.3, 1, 3},
        {"trailing", {.scheduler = {}, .scheduler_config = {}, .timestep_spacing = SamplerSpacing::trailing}, 0, 0, 0}};
    Agreement agreement("latents in few steps", 1e-4);
    for (const Case& item : cases) {
        CAPTURE(item.name);
        const reel::Sampler sampler = reel::named_sampler(item.request, model->facts(), item.eta);
        const Tensor latents = at.sampled(*model, sampler, item.scale, "");
        CHECK(at.draws == item.draws);
        agreement.check(item.name, relative_error(picture_order(latents), at.golden.at(item.name)));
        CHECK(relative_error(picture_order(at.sampled(*plain, sampler, item.scale, "")), at.golden.at(item.name)) >
              0.1);
        // At a scale of 1 and below the negative prompt is not asked about at all.
        const bool same = at.sampled(*model, sampler, item.scale, "a dog").to_host() == latents.to_host();
        CHECK(same == (item.scale <= 1));
    }
}

TEST_CASE("a spacing is laid over the configuration, and a sampler that has no choice says so") {
    FewSteps at;
    const auto model = at.load(false);
    const auto timesteps = [&](const char* name, SamplerSpacing spacing) {
        auto sampler = reel::named_sampler({.scheduler = name, .scheduler_config = {}, .timestep_spacing = spacing},
                                           model->facts(), 0);
        sampler.set_timesteps(4);
        return sampler.timesteps();
    };
    CHECK(timesteps("", SamplerSpacing::trailing) == std::vector<double>{999, 749, 499, 249});
    CHECK(timesteps("ddim", SamplerSpacing::trailing) == std::vector<double>{999, 749, 499, 249});
    CHECK(timesteps("ddim", SamplerSpacing::own) == timesteps("", SamplerSpacing::own));
    CHECK(timesteps("euler", SamplerSpacing::linspace).back() == 0);
    for (const char* name : {"lcm", "tcd"}) {
        CHECK(contains(message_of<reel::Error>([&] { static_cast<void>(timesteps(name, SamplerSpacing::trailing)); }),
                       "--timestep_spacing trailing: "));
    }
}
