#pragma once
// What the options of a training from nothing say: the parts' configurations, and what a run that continues must share.

#include <reel/io/config/json.hpp>
#include <reel/models/configs.hpp>
#include <reel/schedulers/ddim.hpp>

#include "training_options.hpp"

namespace training {

/// The one part of an identity that --extend may change.
inline constexpr const char* changing_key = "acts";

[[nodiscard]] inline reel::AutoencoderKLConfig vae_config(const Options& o) {
    reel::AutoencoderKLConfig config;
    config.block_out_channels = o.vae_channels;
    config.layers_per_block = 1;
    config.latent_channels = o.latent_channels;
    config.norm_num_groups = o.vae_groups;
    config.sample_size = o.resolution;
    return config;
}

/// Stable Diffusion's.
[[nodiscard]] inline reel::DDIMConfig schedule(const Options& o) {
    reel::DDIMConfig ddim;
    ddim.schedule.beta_start = 0.00085;
    ddim.schedule.beta_end = 0.012;
    ddim.schedule.beta_schedule = reel::BetaSchedule::scaled_linear;
    ddim.prediction_type = reel::value_in(reel::prediction_type_names, o.prediction_type, "prediction_type");
    ddim.clip_sample = false;
    ddim.set_alpha_to_one = false;
    ddim.steps_offset = 1;
    return ddim;
}

[[nodiscard]] inline reel::CLIPTextConfig text_config(const Options& o) {
    reel::CLIPTextConfig config;
    config.vocab_size = static_cast<index_t>(o.vocab_size);
    config.hidden_size = o.text_width;
    config.intermediate_size = 4 * o.text_width;
    config.num_hidden_layers = o.text_layers;
    config.num_attention_heads = o.text_heads;
    config.max_position_embeddings = o.model_max_length;
    return config;
}

[[nodiscard]] inline reel::UNetConfig unet_config(const Options& o, index_t pixels_per_latent) {
    reel::UNetConfig config;
    const std::size_t levels = o.unet_channels.size();
    config.temporal = false;
    config.sample_size = o.resolution / pixels_per_latent;
    config.in_channels = o.latent_channels;
    config.out_channels = o.latent_channels;
    config.block_out_channels = o.unet_channels;
    config.down_block_attention.assign(o.unet_attention.begin(), o.unet_attention.end());
    config.up_block_attention.assign(o.unet_attention.rbegin(), o.unet_attention.rend());
    config.layers_per_block = o.unet_layers;
    config.norm_num_groups = o.unet_groups;
    config.cross_attention_dim = o.text_width;
    config.heads.assign(levels, o.unet_heads);
    return config;
}

namespace detail {

[[nodiscard]] inline nlohmann::json describe(const reel::TrainOptions& o) {
    return {{"learning_rate", o.learning_rate},     {"lr_scheduler", static_cast<int>(o.lr_scheduler)},
            {"lr_warmup_steps", o.lr_warmup_steps}, {"adam_beta1", o.adam_beta1},
            {"adam_beta2", o.adam_beta2},           {"adam_weight_decay", o.adam_weight_decay},
            {"max_grad_norm", o.max_grad_norm},     {"ema_decay", o.ema_decay}};
}

/// Adds an option unless it has its default.
template <class V>
void add_changed(nlohmann::json& identity, const Options& o, const char* key, V Options::*option) {
    if (o.*option != Options{}.*option) {
        identity[key] = o.*option;
    }
}

[[nodiscard]] inline nlohmann::json identity(const Options& o, const std::string& data) {
    nlohmann::json same{{"data", data},
                        {"resolution", o.resolution},
                        {"seed", o.seed},
                        {"mixed_precision", o.mixed_precision},
                        {"vae_channels", o.vae_channels},
                        {"latent_channels", o.latent_channels}};
    add_changed(same, o, "vae_groups", &Options::vae_groups);
    return same;
}

} // namespace detail

/// What a training of the autoencoder that continues must share; `data` is the pictures' identity.
[[nodiscard]] inline nlohmann::json autoencoder_identity(const Options& o, const std::string& data) {
    nlohmann::json same = detail::identity(o, data);
    same.update(detail::describe(o.vae));
    same.update(nlohmann::json{{"batch", o.vae_batch_size}, {"kl_weight", o.kl_weight}});
    return same;
}

/// The same of text encoder and UNet.
[[nodiscard]] inline nlohmann::json unet_identity(const Options& o, const std::string& data) {
    nlohmann::json same = detail::identity(o, data);
    same.update(detail::describe(o.unet));
    same.update(nlohmann::json{{"batch", o.train_batch_size},
                               {"snr_gamma", o.snr_gamma},
                               {"proportion_empty_prompts", o.proportion_empty_prompts},
                               {"prediction_type", o.prediction_type},
                               {"unet_channels", o.unet_channels},
                               {"unet_attention", o.unet_attention},
                               {"unet_layers", o.unet_layers},
                               {"text_width", o.text_width}});
    detail::add_changed(same, o, "unet_heads", &Options::unet_heads);
    detail::add_changed(same, o, "unet_groups", &Options::unet_groups);
    detail::add_changed(same, o, "text_layers", &Options::text_layers);
    detail::add_changed(same, o, "text_heads", &Options::text_heads);
    detail::add_changed(same, o, "vocab_size", &Options::vocab_size);
    detail::add_changed(same, o, "model_max_length", &Options::model_max_length);
    detail::add_changed(same, o, changing_key, &Options::acts);
    return same;
}

} // namespace training
