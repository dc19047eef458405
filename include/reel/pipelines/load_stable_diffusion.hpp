#pragma once
// Loads a Stable Diffusion folder of any Parts, on any backend. Needs reel::io and reel::text.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/stable_diffusion_parts.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/text/clip_tokenizer.hpp>

namespace reel {

namespace detail {

/// Checks that model_index.json describes parts that reel has.
template <class = void>
void check_model_index(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "model_index.json";
    const nlohmann::json index = read_json(path);
    require(index.is_object(), path.string(), ": expected a JSON object");
    const std::map<std::string, std::vector<std::string>> classes{
        {"tokenizer", {"CLIPTokenizer", "CLIPTokenizerFast"}},
        {"text_encoder", {"CLIPTextModel"}},
        {"vae", {"AutoencoderKL"}},
        {"unet", {"UNet2DConditionModel", "UNet3DConditionModel"}}};
    for (const auto& [part, supported] : classes) {
        const auto entry = index.find(part);
        require(entry != index.end(), path.string(), ": the part \"", part, "\" is missing");
        require(entry->is_array() && entry->size() == 2 && (*entry)[1].is_string(), path.string(), ": \"", part,
                "\" should be a list of a library and a class name");
        const auto name = (*entry)[1].template get<std::string>();
        require(std::find(supported.begin(), supported.end(), name) != supported.end(), path.string(), ": \"", part,
                "\" is a ", name, ", but only ", supported.front(), " is supported");
    }
}

/// load_stable_diffusion(), under a name that reel::compiled has nothing of.
template <Scalar T, class Parts, Backend B>
[[nodiscard]] StableDiffusion<T, B, Parts> load_folder(B& backend, const std::filesystem::path& folder,
                                                       std::uint64_t seed, const std::filesystem::path& unet_folder,
                                                       TextCleaning cleaning) {
    std::error_code ignored;
    require(std::filesystem::is_directory(folder, ignored), folder.string(),
            ": no such folder; expected a diffusers folder with model_index.json");
    check_model_index(folder);
    const ModelSchedulerConfig scheduler = read_model_scheduler(folder / "scheduler");
    StableDiffusion<T, B, Parts> model{
        folder,
        std::make_shared<CLIPTokenizer>(CLIPTokenizer::from_pretrained(folder / "tokenizer", 0, cleaning)),
        load_clip_text_model<T>(backend, folder / "text_encoder"),
        load_autoencoder_kl<T>(backend, folder / "vae"),
        load_unet<T, Parts>(backend, unet_folder.empty() ? folder / "unet" : unet_folder, seed),
        scheduler_from_config<DDPMScheduler>(scheduler.config, scheduler.file),
        stable_diffusion_fixes(scheduler_from_config<DDIMScheduler>(scheduler.config, scheduler.file).config())};
    const auto fits = [&](bool condition, const auto&... text) { require(condition, folder.string(), ": ", text...); };
    fits(model.text_encoder.config.hidden_size == model.unet.config.cross_attention_dim, "the text encoder gives ",
         model.text_encoder.config.hidden_size, " channels, the unet expects ", model.unet.config.cross_attention_dim);
    fits(model.vae.config.latent_channels == model.unet.config.in_channels &&
             model.unet.config.in_channels == model.unet.config.out_channels,
         "the vae has ", model.vae.config.latent_channels, " latent channels, the unet takes ",
         model.unet.config.in_channels, " and gives ", model.unet.config.out_channels,
         "; expected equal numbers (an inpainting or depth model is not supported)");
    fits(static_cast<index_t>(model.tokenizer->max_length()) <= model.text_encoder.config.max_position_embeddings,
         "the tokenizer gives ", model.tokenizer->max_length(), " ids, the text encoder takes ",
         model.text_encoder.config.max_position_embeddings);
    fits(model.unet.config.class_embedding == ClassEmbedding::none,
         "the unet wants a class embedding, which text-to-video tuning has none to give");
    fits(model.unet.config.time_cond_proj_dim == 0,
         "the unet is distilled and must be told the guidance scale (time_cond_proj_dim), which pipelines do not do; "
         "load_unet() and its guidance_scale can");
    return model;
}

} // namespace detail

/// Loads a diffusers folder: model_index.json, tokenizer/, text_encoder/, vae/, unet/, scheduler/. `unet_folder`, when
/// given, is where the UNet is read instead (one that was tuned). A 2D UNet is inflated with parameters fresh from
/// `seed`. Throws Error for anything missing, broken or unsupported. `Parts` are what the UNet is made of:
/// load_stable_diffusion<float, MyParts>.
template <Scalar T, class Parts = DefaultParts, Backend B>
[[nodiscard]] StableDiffusion<T, B, Parts>
load_stable_diffusion(B& backend, const std::filesystem::path& folder, std::uint64_t seed,
                      const std::filesystem::path& unet_folder = {}, TextCleaning cleaning = TextCleaning::ftfy) {
    return detail::load_folder<T, Parts>(backend, folder, seed, unet_folder, cleaning);
}

} // namespace reel
