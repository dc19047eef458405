#include "picture_model.hpp"

#include <map>
#include <span>

#include <reel/pipelines/text_to_image.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "editing.hpp"

namespace pictures {

using reel::Cpu;
using reel::index_t;
using Tensor = PictureModel::Tensor;

struct PictureModel::Parts {
    editing::Model model;
    reel::AnyScheduler<float> scheduler;

    [[nodiscard]] Tensor encode(const std::vector<std::string>& prompts) const {
        std::map<std::string, Tensor> known;
        std::vector<Tensor> texts;
        for (const std::string& prompt : prompts) {
            if (!known.contains(prompt)) {
                known.emplace(prompt, editing::encode_prompt(model, prompt));
            }
            texts.push_back(known.at(prompt));
        }
        return reel::concat_rows(std::span<const Tensor>(texts));
    }
};

namespace {

/// The folder's sampler, or another with its configuration.
[[nodiscard]] reel::AnyScheduler<float> sampler(const std::filesystem::path& folder, const std::string& name) {
    const reel::ModelSchedulerConfig own = reel::read_model_scheduler(folder / "scheduler");
    return reel::make_scheduler<float>(name, reel::stable_diffusion_fixes(own.config), own.file);
}

/// Stream of the noise that picture `number` starts from (0), or that its draw of a sampler takes (1, 2, ...).
[[nodiscard]] std::uint64_t stream(std::uint64_t number, std::uint64_t draw) {
    return number | draw << 40;
}

/// Standard normal numbers, each picture's from a stream of its own.
[[nodiscard]] Tensor normal(Cpu& cpu, const reel::Shape& shape, std::uint64_t seed, std::uint64_t first,
                            std::uint64_t draw) {
    Tensor noise(cpu, shape);
    for (index_t i = 0; i < shape[0]; ++i) {
        reel::fill_normal(cpu, noise.slice(i, i + 1), seed, stream(first + static_cast<std::uint64_t>(i), draw));
    }
    return noise;
}

} // namespace

PictureModel::PictureModel(Cpu& cpu, const std::filesystem::path& folder, const std::string& scheduler,
                           editing::Device* device)
    : cpu_(cpu), parts_(std::make_unique<Parts>(
                     Parts{editing::load_model(cpu, {.folder = folder, .pictures = true, .device = device}),
                           sampler(folder, scheduler)})) {}

PictureModel::~PictureModel() = default;

int PictureModel::default_size() const {
    return static_cast<int>(parts_->model.unet.config.sample_size) * pixels_per_latent();
}

int PictureModel::pixels_per_latent() const {
    return static_cast<int>(parts_->model.vae.config.pixels_per_latent());
}

const std::string& PictureModel::scheduler() const {
    return parts_->scheduler.name();
}

void PictureModel::check(const Sampling& sampling) const {
    reel::AnyScheduler<float> scheduler = parts_->scheduler;
    scheduler.set_eta(sampling.eta);
    try {
        scheduler.set_timesteps(sampling.steps);
    } catch (const reel::Error& error) {
        reel::fail("--num_inference_steps ", sampling.steps, ": ", error.what());
    }
}

std::string PictureModel::unseen(const std::string& option, const std::string& prompt) const {
    try {
        const reel::Encoding encoding = parts_->model.tokenizer.encode_with_details(prompt);
        return encoding.truncated ? encoding.dropped_text : "";
    } catch (const reel::Error& error) {
        reel::fail(option, ": ", error.what());
    }
}

Tensor PictureModel::noise(int height, int width, std::uint64_t seed, std::uint64_t first, index_t count) const {
    const index_t step = pixels_per_latent();
    return normal(cpu_, {count, height / step, width / step, parts_->model.unet.config.in_channels}, seed, first, 0);
}

Tensor PictureModel::sample(const Tensor& noise, const std::vector<std::string>& prompts, const Sampling& sampling,
                            std::uint64_t first, const Each& each) const {
    reel::AnyScheduler<float> scheduler = parts_->scheduler;
    scheduler.set_eta(sampling.eta);
    scheduler.set_timesteps(sampling.steps);
    const auto total = static_cast<index_t>(scheduler.timesteps().size());
    const std::vector<std::string> negative(prompts.size(), sampling.negative_prompt);
    const reel::Guidance<float, Cpu> guidance{parts_->encode(prompts), parts_->encode(negative),
                                              sampling.guidance_scale};
    std::uint64_t draws = 0;
    const auto source = [&](const reel::Shape& shape) { return normal(cpu_, shape, sampling.seed, first, ++draws); };
    return reel::sample_pictures(parts_->model.unet, scheduler,
                                 reel::scale(noise, static_cast<float>(scheduler.init_noise_sigma())), guidance,
                                 index_t{sampling.steps}, source, [&](index_t k, const Tensor&) { each(k, total); });
}

Tensor PictureModel::decode(const Tensor& latents) const {
    return parts_->model.networks->decode(latents, [] {});
}

Tensor PictureModel::reconstruct(const reel::Frames& frames) const {
    const Tensor moments = parts_->model.networks->encode(frames, [] {});
    return decode(reel::sample_latents(moments, Tensor{}, parts_->model.vae.config.scaling_factor));
}

} // namespace pictures
