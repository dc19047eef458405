#pragma once
// The configuration of an AutoencoderTiny from diffusers' JSON. Needs nlohmann-json (target reel::io).

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/models/autoencoder_tiny.hpp>
#include <reel/models/configs.hpp>

namespace reel {

/// Whether a vae/ is an AutoencoderTiny, by its config.json.
[[nodiscard]] inline bool is_autoencoder_tiny(const nlohmann::json& config) {
    return config.is_object() && config.value("_class_name", nlohmann::json()) == "AutoencoderTiny";
}

/// Reads config.json of an AutoencoderTiny. Throws Error for what would change the network and is not supported.
/// latent_magnitude and latent_shift say how latents are kept in bytes, which reel does not do.
template <class = void>
[[nodiscard]] AutoencoderTinyConfig read_autoencoder_tiny_config(ConfigReader reader) {
    AutoencoderTinyConfig c;
    reader.expect("_class_name", "AutoencoderTiny");
    c.in_channels = reader.get<index_t>("in_channels", c.in_channels);
    c.out_channels = reader.get<index_t>("out_channels", c.out_channels);
    c.latent_channels = reader.get<index_t>("latent_channels", c.latent_channels);
    c.num_encoder_blocks = reader.get<std::vector<index_t>>("num_encoder_blocks", c.num_encoder_blocks);
    c.num_decoder_blocks = reader.get<std::vector<index_t>>("num_decoder_blocks", c.num_decoder_blocks);
    c.scaling_factor = reader.get<double>("scaling_factor", c.scaling_factor);
    const auto bounded = [&](const char* key, index_t value, index_t least, index_t most) {
        require(value >= least && value <= most, reader.where(), ": \"", key, "\" is ", value, ", expected ", least,
                " to ", most);
    };
    const std::size_t levels = c.num_decoder_blocks.size();
    require(levels > 0 && levels <= 16 && c.num_encoder_blocks.size() == levels, reader.where(),
            ": \"num_encoder_blocks\" has ", c.num_encoder_blocks.size(), " entries and \"num_decoder_blocks\" has ",
            levels, ", expected as many in both, 1 to 16");
    const auto width = [&](const char* key, index_t otherwise) {
        const auto widths =
            reader.get<std::vector<index_t>>(key, std::vector<index_t>(levels, otherwise)); // diffusers wants one, too
        require(widths.size() == levels && ranges::count(widths, widths.front()) == std::ssize(widths), reader.where(),
                ": \"", key, "\": expected ", levels, " equal entries");
        bounded(key, widths.front(), 1, UNetConfig::limit);
        return widths.front();
    };
    c.encoder_channels = width("encoder_block_out_channels", c.encoder_channels);
    c.decoder_channels = width("decoder_block_out_channels", c.decoder_channels);
    for (const auto& [key, blocks] : {std::pair{"num_encoder_blocks", &c.num_encoder_blocks},
                                      std::pair{"num_decoder_blocks", &c.num_decoder_blocks}}) {
        for (const index_t count : *blocks) {
            bounded(key, count, 0, 64);
        }
    }
    bounded("in_channels", c.in_channels, 1, UNetConfig::limit);
    bounded("out_channels", c.out_channels, 1, UNetConfig::limit);
    bounded("latent_channels", c.latent_channels, 1, UNetConfig::limit);
    require(c.scaling_factor > 0, reader.where(), ": \"scaling_factor\" is ", c.scaling_factor,
            ", expected more than 0");
    reader.expect("act_fn", "relu");
    reader.expect("upsample_fn", "nearest");
    reader.expect("upsampling_scaling_factor", 2);
    detail::expect_null_or(reader, "shift_factor", 0.0);
    // block_out_channels is the decoder's again; force_upcast concerns 16-bit arithmetic only.
    reader.ignore({"latent_magnitude", "latent_shift", "block_out_channels", "force_upcast", "_diffusers_version",
                   "_name_or_path"});
    detail::ignore_ema_keys(reader);
    reader.finish();
    return c;
}

} // namespace reel
