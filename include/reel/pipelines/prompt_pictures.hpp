#pragma once // Needs reel::text and reel::io.
// Pictures of prompts, with a Stable Diffusion folder of whatever scalar type and backend. Link reel::pipelines.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>

namespace reel {

/// How pictures are sampled.
struct PictureOptions {
    std::string negative_prompt{};
    double guidance_scale = 7.5;
    int num_inference_steps = 50;
    std::string scheduler{}; ///< a name of scheduler_registry.hpp; empty: the folder's own
    SamplerSpacing timestep_spacing = SamplerSpacing::own;
    double eta = 0;
    std::uint64_t seed = 33;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"negative_prompt", "what guidance leads away from"}, self.negative_prompt);
        visit(Option{"guidance_scale", "1 or less: no guidance", from_to(-1e3, 1e3)}, self.guidance_scale);
        visit(Option{"num_inference_steps", "steps of the sampler", at_least(1)}, self.num_inference_steps);
        visit(Option{"scheduler", "a sampler by its name: ddim, euler, dpm++_2m, unipc, ...; none: the folder's own"},
              self.scheduler);
        visit(Option{"timestep_spacing", "which timesteps are visited: leading, trailing or linspace; own: as the "
                                         "folder's configuration says"},
              self.timestep_spacing);
        visit(Option{"eta", "0: deterministic, for samplers that have the choice", from_to(0, 1)}, self.eta);
        visit(Option{"seed", "of the noise"}, self.seed);
    }
};

/// Pixels in 0..1 [count, height, width, 3] as pictures of bytes, rounded.
[[nodiscard]] inline std::vector<Frames> pictures_of(const AnyTensor& pixels) {
    std::vector<float> values = pixels.to_host();
    for (float& value : values) {
        value += 0.5F / 255; // to_frames_u8() cuts off
    }
    const auto height = static_cast<int>(pixels.shape(1));
    const auto width = static_cast<int>(pixels.shape(2));
    const Frames all = to_frames_u8(values, static_cast<int>(pixels.shape(0)), height, width);
    std::vector<Frames> pictures;
    for (int i = 0; i < all.count; ++i) {
        pictures.push_back(make_frames(1, height, width));
        ranges::copy(all.frame(i), pictures.back().rgb.begin());
    }
    return pictures;
}

/// Batches of pictures, or of their latents, [n, height, width, channels] as files have them: [all, channels, height,
/// width] by name.
[[nodiscard]] inline StateDict picture_tensors(Cpu& cpu, const std::map<std::string, std::vector<AnyTensor>>& batches) {
    StateDict tensors;
    for (const auto& [name, parts] : batches) {
        std::vector<Tensor<float, Cpu>> rows;
        for (const AnyTensor& part : parts) {
            rows.push_back(part.on_cpu(cpu));
        }
        const Tensor<float, Cpu> all = concat_rows(std::span<const Tensor<float, Cpu>>(rows));
        tensors.emplace(name, to_file(AnyTensor(permute(all, {0, 3, 1, 2}))));
    }
    return tensors;
}

/// Samples pictures of prompts. Each is a function of the seed, its prompt and its number, whichever others are sampled
/// with it.
class PromptPictures {
public:
    /// Sees the number of the step, from 1, and how many there are.
    using Each = std::function<void(index_t step, index_t steps)>;

    /// The pipeline must outlive it. Throws Error for an unknown sampler, steps that the noise schedule has no room
    /// for, and an eta that the sampler has not.
    PromptPictures(const AnyPipeline& pipeline, PictureOptions options)
        : pipeline_(pipeline), options_(std::move(options)),
          sampler_(named_sampler(
              {.scheduler = options_.scheduler.empty() ? own_scheduler(pipeline.facts().scheduler) : options_.scheduler,
               .scheduler_config = {},
               .timestep_spacing = options_.timestep_spacing},
              pipeline.facts(), options_.eta)) {
        try {
            sampler_.set_timesteps(options_.num_inference_steps);
        } catch (const Error& error) {
            fail("--num_inference_steps ", options_.num_inference_steps, ": ", error.what());
        }
    }

    /// Class name of the sampler.
    [[nodiscard]] const std::string& scheduler() const { return sampler_.name(); }

    /// Standard normal latents [count, h, w, channels] of pictures number first, first + 1, ... Sides are in pixels,
    /// multiples of the model's pixels per latent.
    [[nodiscard]] AnyTensor noise(int height, int width, std::uint64_t first, index_t count) const {
        const PipelineFacts& facts = pipeline_.facts();
        return normal({count, height / facts.pixels_per_latent, width / facts.pixels_per_latent, facts.latent_channels},
                      first, 0);
    }

    /// Latents of one picture for each prompt, from such noise of pictures number first, first + 1, ...
    [[nodiscard]] AnyTensor sample(const AnyTensor& noise, std::span<const std::string> prompts, std::uint64_t first,
                                   const Each& each) const {
        const std::vector<std::string> negative(prompts.size(), options_.negative_prompt);
        const auto total = static_cast<index_t>(sampler_.timesteps().size());
        std::uint64_t draws = 0;
        return pipeline_.sample({.sampler = sampler_,
                                 .steps = options_.num_inference_steps,
                                 .guidance_scale = options_.guidance_scale,
                                 .text = pipeline_.encode_prompts(prompts),
                                 .negative = pipeline_.encode_prompts(negative),
                                 .noise = noise,
                                 .draw = [&](const Shape& shape) { return normal(shape, first, ++draws); }},
                                [&](index_t step, const AnyTensor&) { each(step, total); });
    }

private:
    /// The class of the folder's scheduler, or what takes its place.
    [[nodiscard]] static std::string own_scheduler(const ModelSchedulerConfig& own) {
        const auto name = own.config.find("_class_name");
        require(name != own.config.end() && name->is_string(), own.file,
                ": \"_class_name\" is missing; say the sampler by its name");
        return name->get<std::string>();
    }

    /// Each picture's numbers are from a stream of its own: what it starts from (0), or what a draw of the sampler
    /// takes (1, 2, ...).
    [[nodiscard]] AnyTensor normal(const Shape& shape, std::uint64_t first, std::uint64_t draw) const {
        std::vector<std::uint64_t> streams;
        for (index_t i = 0; i < shape[0]; ++i) {
            streams.push_back((first + static_cast<std::uint64_t>(i)) | draw << 40);
        }
        return pipeline_.normal(shape, options_.seed, streams);
    }

    const AnyPipeline& pipeline_;
    PictureOptions options_;
    Sampler sampler_;
};

} // namespace reel
