#pragma once
// Options of a training from nothing.

#include <cstdint>
#include <string>
#include <vector>

#include <reel/pipelines/train.hpp>

/// Training from nothing: train_text_to_image.
namespace training {

using reel::index_t;

struct Options {
    std::string data;
    std::vector<std::string> acts{};
    int resolution = 64;
    std::string output;
    std::uint64_t seed = 0;
    int threads = 0;
    std::string backend = "cpu";
    std::string mixed_precision = "no";

    std::vector<index_t> vae_channels{16, 32, 64};
    index_t latent_channels = 4;
    index_t vae_groups = 8;
    index_t vae_batch_size = 32;
    double kl_weight = 5e-5;
    reel::TrainOptions vae{.learning_rate = 2e-3, .max_train_steps = 3000, .lr_decay_steps = 1500, .ema_decay = 0.998};

    std::size_t vocab_size = 1024;
    int model_max_length = 16;
    index_t text_width = 96;
    index_t text_layers = 2;
    index_t text_heads = 3;
    std::vector<index_t> unet_channels{64, 128, 128};
    std::vector<int> unet_attention{0, 1, 1};
    index_t unet_layers = 1;
    index_t unet_heads = 4;
    index_t unet_groups = 16;
    std::string prediction_type = "epsilon";
    index_t train_batch_size = 64;
    double snr_gamma = 5;
    double proportion_empty_prompts = 0.1;
    reel::TrainOptions unet{.learning_rate = 1e-3, .max_train_steps = 10000, .lr_decay_steps = 3000};

    index_t checkpointing_steps = 500;
    index_t validation_steps = 250;
    index_t sample_steps = 1000;
    index_t sample_count = 32; ///< pictures on a sheet of text encoder and UNet, a multiple of 8
    bool resume = false;
    bool extend = false;
};

/// Throws Error, naming the options, where sizes do not fit each other: the UNet's turn comes hours later.
inline void check_sizes(const Options& o) {
    const auto multiples = [](const char* option, const std::vector<index_t>& values, const char* of, index_t divisor) {
        for (const index_t value : values) {
            reel::require(value % divisor == 0, option, " ", value, ": expected a multiple of ", of, ", which is ",
                          divisor);
        }
    };
    multiples("--vae_channels", o.vae_channels, "--vae_groups", o.vae_groups);
    multiples("--unet_channels", o.unet_channels, "--unet_groups", o.unet_groups);
    multiples("--unet_channels", o.unet_channels, "--unet_heads", o.unet_heads);
    multiples("--unet_channels", {o.unet_channels.front()}, "two", 2);
    multiples("--text_width", {o.text_width}, "--text_heads", o.text_heads);
    multiples("--resolution", {o.resolution}, "the autoencoder's pixels per latent",
              index_t{1} << (o.vae_channels.size() - 1));
    reel::require(o.unet_attention.size() == o.unet_channels.size(), "--unet_attention: ", o.unet_attention.size(),
                  " values for the ", o.unet_channels.size(), " levels of --unet_channels; expected one for each");
}

} // namespace training
