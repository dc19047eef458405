#pragma once
// Sizes that cannot fit, before a job begins. Needs nlohmann-json (target reel::io).

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

#include <reel/core/available_memory.hpp>
#include <reel/core/error.hpp>
#include <reel/core/format_text.hpp>
#include <reel/models/autoencoder_tiny_config.hpp>
#include <reel/models/configs.hpp>

namespace reel {

/// The pictures of a job.
struct PictureSizes {
    int frames = 1; ///< that are in memory together
    int height = 0;
    int width = 0;
    std::size_t element_bytes = 4; ///< of activations
};

/// The folder of a model's autoencoder, `elsewhere` or its own, if it can be known before the model is loaded: a file
/// says less.
[[nodiscard]] inline std::optional<std::filesystem::path> known_vae(const std::filesystem::path& model,
                                                                    const std::string& elsewhere) {
    const std::filesystem::path vae = elsewhere.empty() ? model / "vae" : std::filesystem::path(elsewhere);
    std::error_code ignored;
    return std::filesystem::exists(vae / "config.json", ignored) ? std::optional(vae) : std::nullopt;
}

/// What such pictures take at the very least: as bytes and as the autoencoder's floats, and one of them as input and
/// output of a convolution of its first level. `vae`: a folder.
[[nodiscard]] inline std::size_t least_bytes(const PictureSizes& sizes, const std::filesystem::path& vae) {
    const ConfigReader file = ConfigReader::from_file(vae / "config.json");
    const bool tiny = is_autoencoder_tiny(read_json(vae / "config.json"));
    const std::size_t pixels = static_cast<std::size_t>(sizes.height) * static_cast<std::size_t>(sizes.width);
    const auto channels = static_cast<std::size_t>(tiny ? read_autoencoder_tiny_config(file).decoder_channels
                                                        : read_autoencoder_kl_config(file).block_out_channels.front());
    return pixels *
           (static_cast<std::size_t>(sizes.frames) * 3 * (1 + sizeof(float)) + 2 * channels * sizes.element_bytes);
}

/// What is to be said where pictures of this size do not fit into what is available, or "". Says on stderr where they
/// hardly do.
[[nodiscard]] inline std::string too_large(const PictureSizes& sizes, const std::filesystem::path& vae,
                                           std::optional<std::size_t> available = available_memory()) {
    const std::size_t least = least_bytes(sizes, vae);
    if (!available || least < *available / 2) {
        return "";
    }
    const auto gigabytes = [](std::size_t bytes) { return static_cast<double>(bytes) / 1e9; };
    const std::string text =
        format_text("%d x %d pixels, %d of them: they take %.1f GB at the least, of the %.1f GB that are available",
                    sizes.width, sizes.height, sizes.frames, gigabytes(least), gigabytes(*available));
    if (least <= *available) {
        std::cerr << "note: " << text << '\n';
        return "";
    }
    return text + "; take a smaller width and height, or fewer frames";
}

} // namespace reel
