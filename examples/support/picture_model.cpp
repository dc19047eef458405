#include "picture_model.hpp"

#include <cmath>

#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/pipelines/text_to_image.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

namespace pictures {

using reel::Cpu;
using reel::index_t;
using Tensor = PictureModel::Tensor;

struct PictureModel::Parts {
    reel::CLIPTokenizer tokenizer;
    reel::CLIPTextModel<float> text_encoder;
    reel::AutoencoderKL<float> vae;
    reel::UNet3DConditionModel<float> unet;
    reel::AnyScheduler<float> scheduler;

    [[nodiscard]] Tensor encode(const std::vector<std::string>& prompts) const {
        std::vector<std::int32_t> ids;
        for (const std::string& prompt : prompts) {
            const std::vector<std::int32_t> row = tokenizer.encode(prompt);
            ids.insert(ids.end(), row.begin(), row.end());
        }
        return text_encoder(std::span<const std::int32_t>(ids), static_cast<index_t>(prompts.size()));
    }
};

namespace {

/// The folder's sampler, or another with its configuration.
[[nodiscard]] reel::AnyScheduler<float> sampler(const std::filesystem::path& folder, const std::string& name) {
    const std::filesystem::path file = folder / "scheduler" / "scheduler_config.json";
    return reel::make_scheduler<float>(name, reel::stable_diffusion_fixes(reel::read_scheduler_json(file)),
                                       file.string());
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

PictureModel::PictureModel(Cpu& cpu, const std::filesystem::path& folder, const std::string& scheduler) : cpu_(cpu) {
    std::error_code ignored;
    reel::require(std::filesystem::is_directory(folder, ignored), folder.string(),
                  ": no such folder; expected a diffusers folder with model_index.json");
    reel::detail::check_model_index(folder);
    parts_ =
        std::make_unique<Parts>(Parts{reel::CLIPTokenizer::from_pretrained(folder / "tokenizer"),
                                      reel::load_clip_text_model<float>(cpu, folder / "text_encoder"),
                                      reel::load_autoencoder_kl<float>(cpu, folder / "vae"),
                                      reel::load_unet_2d<float>(cpu, folder / "unet"), sampler(folder, scheduler)});
    const reel::UNetConfig& unet = parts_->unet.config;
    const index_t latents = parts_->vae.config.latent_channels;
    reel::require(parts_->text_encoder.config.hidden_size == unet.cross_attention_dim, folder.string(),
                  ": the text encoder gives ", parts_->text_encoder.config.hidden_size, " channels, the unet expects ",
                  unet.cross_attention_dim);
    reel::require(latents == unet.in_channels && latents == unet.out_channels, folder.string(), ": the vae has ",
                  latents, " latent channels, the unet takes ", unet.in_channels, " and gives ", unet.out_channels,
                  "; expected equal numbers (an inpainting or depth model is not supported)");
    reel::require(static_cast<index_t>(parts_->tokenizer.max_length()) <=
                      parts_->text_encoder.config.max_position_embeddings,
                  folder.string(), ": the tokenizer gives ", parts_->tokenizer.max_length(),
                  " ids, the text encoder takes ", parts_->text_encoder.config.max_position_embeddings);
    reel::require(unet.class_embedding == reel::ClassEmbedding::none, folder.string(),
                  ": the unet wants a class embedding, which text to image has none to give");
}

PictureModel::~PictureModel() = default;

int PictureModel::default_size() const {
    return static_cast<int>(parts_->unet.config.sample_size) * pixels_per_latent();
}

int PictureModel::pixels_per_latent() const {
    return static_cast<int>(parts_->vae.config.pixels_per_latent());
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
        const reel::Encoding encoding = parts_->tokenizer.encode_with_details(prompt);
        return encoding.truncated ? encoding.dropped_text : "";
    } catch (const reel::Error& error) {
        reel::fail(option, ": ", error.what());
    }
}

Tensor PictureModel::noise(int height, int width, std::uint64_t seed, std::uint64_t first, index_t count) const {
    const index_t step = pixels_per_latent();
    return normal(cpu_, {count, height / step, width / step, parts_->unet.config.in_channels}, seed, first, 0);
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
    return reel::sample_pictures(parts_->unet, scheduler,
                                 reel::scale(noise, static_cast<float>(scheduler.init_noise_sigma())), guidance,
                                 index_t{sampling.steps}, source, [&](index_t k, const Tensor&) { each(k, total); });
}

Tensor PictureModel::decode(const Tensor& latents) const {
    return reel::decode_clip(parts_->vae, latents, [] {});
}

Tensor PictureModel::reconstruct(const reel::Frames& frames) const {
    const Tensor pixels =
        reel::pixels_from_bytes<float>(cpu_, {frames.count, frames.height, frames.width, 3}, frames.rgb);
    const Tensor moments = reel::encode_clip(parts_->vae, pixels, [] {});
    return decode(reel::sample_latents(moments, Tensor{}, parts_->vae.config.scaling_factor));
}

} // namespace pictures
