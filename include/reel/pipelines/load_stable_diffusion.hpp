#pragma once
// Loads a Stable Diffusion of any Parts, on any backend. Needs reel::io and reel::text.

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <reel/io/lora/lora_file.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/encode_prompt.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/model_tokenizer.hpp>
#include <reel/pipelines/prompt_text.hpp>
#include <reel/pipelines/stable_diffusion_parts.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/text/clip_tokenizer.hpp>

namespace reel {

namespace detail {

/// Throws Error unless the parts fit each other and tuning. `masked`: an inpainting UNet will be given a mask.
template <class Model>
void require_fitting_parts(const Model& model, const std::string& where, bool masked) {
    const auto fits = [&](bool condition, const auto&... text) { require(condition, where, ": ", text...); };
    const index_t in = model.unet.config.in_channels;
    const index_t latents = model.vae.config.latent_channels;
    fits(model.text_encoder.config.hidden_size == model.unet.config.cross_attention_dim, "the text encoder gives ",
         model.text_encoder.config.hidden_size, " channels, the unet expects ", model.unet.config.cross_attention_dim);
    const bool inpaints = model.unet.config.is_inpainting();
    fits(latents == model.unet.config.out_channels && (latents == in || (inpaints && masked)), "the vae has ", latents,
         " latent channels, the unet takes ", in, " and gives ", model.unet.config.out_channels,
         in == 2 * latents + 1 ? "; this is an inpainting model, which paints inside a mask: give insert_object one "
                                 "(--mask_box, --mask_file, --mask_polygon), or take the plain model of it"
         : in == 2 * latents   ? "; this is a model that is shown a picture beside the text (instruct-pix2pix), which "
                                 "reel does not use; take a plain model"
         : in == latents + 1   ? "; this is a depth model, which reel does not use; take a plain model"
                               : "; expected equal numbers");
    fits(static_cast<index_t>(model.tokenizer->max_length()) <= model.text_encoder.config.max_position_embeddings,
         "the tokenizer gives ", model.tokenizer->max_length(), " ids, the text encoder takes ",
         model.text_encoder.config.max_position_embeddings);
    fits(static_cast<index_t>(model.tokenizer->vocabulary().largest_id()) < model.text_encoder.config.vocab_size,
         "the tokenizer has ids up to ", model.tokenizer->vocabulary().largest_id(), ", the text encoder ",
         model.text_encoder.config.vocab_size, " of them; the tokenizer is of another model");
    fits(model.unet.config.class_embedding == ClassEmbedding::none,
         "the unet wants a class embedding, which text-to-video tuning has none to give");
}

/// load_stable_diffusion(), under a name that reel::compiled has nothing of.
template <Scalar T, class Parts, Backend B>
[[nodiscard]] StableDiffusion<T, B, Parts> load_files(B& backend, const ModelFiles& files, std::uint64_t seed,
                                                      TextCleaning cleaning) {
    std::vector<NewWord> words;
    for (const std::string& embedding : files.options.embedding) {
        words.push_back(read_textual_inversion(embedding_request(embedding)));
    }
    auto tokenizer =
        std::make_shared<CLIPTokenizer>(read_model_tokenizer(files.tokenizer, files.is_second(), cleaning));
    const ModelPart text =
        without_last_layers(with_new_words(files.text_encoder, *tokenizer, words), files.options.clip_skip);
    const ModelSchedulerConfig& scheduler = files.scheduler;
    StableDiffusion<T, B, Parts> model{
        files.path,
        std::move(tokenizer),
        load_clip_text_model<T>(backend, text),
        load_autoencoder<T>(backend, files.vae),
        load_unet<T, Parts>(backend, files.unet, seed),
        scheduler_from_config<DDPMScheduler>(scheduler.config, scheduler.file),
        stable_diffusion_fixes(scheduler_from_config<DDIMScheduler>(scheduler.config, scheduler.file).config()),
        files.options.prompt_syntax,
        reading_identity(words, files.options.prompt_syntax)};
    require_fitting_parts(model, files.path.string(), files.masked);
    if (model.unet.takes_guidance_scale()) {
        model.unet.guidance_scale = 1; // inverted and tuned without guidance
    }
    return model;
}

} // namespace detail

/// Loads a model that open_model() found. A 2D UNet is inflated with parameters fresh from `seed`. Throws Error for
/// anything missing, broken or unsupported. `Parts` are what the UNet is made of: load_stable_diffusion<float,
/// MyParts>.
template <Scalar T, class Parts = DefaultParts, Backend B>
[[nodiscard]] StableDiffusion<T, B, Parts> load_stable_diffusion(B& backend, const ModelFiles& files,
                                                                 std::uint64_t seed,
                                                                 TextCleaning cleaning = TextCleaning::ftfy) {
    return detail::load_files<T, Parts>(backend, files, seed, cleaning);
}

/// The same of open_model(model). `unet_folder`, when given, is where the UNet is read instead (one that was tuned).
template <Scalar T, class Parts = DefaultParts, Backend B>
[[nodiscard]] StableDiffusion<T, B, Parts>
load_stable_diffusion(B& backend, const std::filesystem::path& model, std::uint64_t seed,
                      const std::filesystem::path& unet_folder = {}, TextCleaning cleaning = TextCleaning::ftfy) {
    return detail::load_files<T, Parts>(backend, open_model_with(model, unet_folder), seed, cleaning);
}

} // namespace reel
