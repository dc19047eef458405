#pragma once
// TAESD's files: a tiny autoencoder under the names of diffusers' AutoencoderTiny, or under those of its own code, in
// one file or in one for each half. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/weights/ldm_config.hpp>
#include <reel/io/weights/model_part.hpp>
#include <reel/io/weights/weights_file.hpp>
#include <reel/io/weights/weights_kind.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// The number that a name begins with, before a point: 3 of "3.conv.0.weight".
[[nodiscard]] inline std::optional<int> leading_number(std::string_view name) {
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool point = error == std::errc() && end != name.data() + name.size() && *end == '.';
    return point && number >= 0 && number < 10000 ? std::optional(number) : std::nullopt;
}

/// "encoder.layers.3.x" of a layer's name in TAESD's own code, "3.x". Its decoder counts the clamp, which diffusers has
/// before the layers.
[[nodiscard]] inline std::string taesd_name(bool encoder, std::string_view name, const std::string& where) {
    const std::optional<int> number = leading_number(name);
    require(number && (encoder || *number > 0), where, ": tensor \"", (encoder ? "encoder." : "decoder."), name,
            "\" is of no layer of a TAESD");
    const std::string_view rest = name.substr(name.find('.'));
    return concat_text(encoder ? "encoder.layers." : "decoder.layers.", *number - (encoder ? 0 : 1), rest);
}

/// Tensors under the names of AutoencoderTiny, whichever they have. ComfyUI's vae_scale and vae_shift, by which it
/// comes from a whole autoencoder's latents to those of a TAESD, are left out: reel's have no such detour.
[[nodiscard]] inline StateDict usual_taesd_names(const StateDict& tensors, const std::string& where) {
    const std::optional<TaesdHalf> half = taesd_half(tensors);
    StateDict result;
    const auto add = [&](std::string name, const HostTensor& tensor) {
        require(result.emplace(name, tensor).second, where, ": two tensors give the weight \"", name, "\"");
    };
    for (const auto& [name, tensor] : tensors) {
        if (name == "vae_scale" || name == "vae_shift") {
            continue;
        }
        if (half) {
            add(taesd_name(*half == TaesdHalf::encoder, name, where), tensor);
            continue;
        }
        constexpr std::array<std::pair<std::string_view, bool>, 4> prefixes{
            {{"taesd_encoder.", true}, {"taesd_decoder.", false}, {"encoder.", true}, {"decoder.", false}}};
        const auto prefix =
            ranges::find_if(prefixes, [&name = name](const auto& p) { return name.starts_with(p.first); });
        const bool own =
            prefix != prefixes.end() && leading_number(std::string_view(name).substr(prefix->first.size()));
        add(own ? taesd_name(prefix->second, std::string_view(name).substr(prefix->first.size()), where) : name,
            tensor);
    }
    return result;
}

/// How many blocks a half has at each size: a convolution without a bias begins the next.
[[nodiscard]] inline std::vector<int> taesd_blocks(const StateDict& tensors, const std::string& layers) {
    std::set<int> numbers;
    for (const auto& [name, tensor] : tensors) {
        if (name.starts_with(layers)) {
            if (const auto number = leading_number(std::string_view(name).substr(layers.size()))) {
                numbers.insert(*number);
            }
        }
    }
    std::vector<int> blocks{0};
    for (const int number : numbers) {
        const std::string layer = layers + std::to_string(number);
        if (tensors.contains(layer + ".conv.0.weight")) {
            ++blocks.back();
        } else if (number > 0 && tensors.contains(layer + ".weight") && !tensors.contains(layer + ".bias")) {
            blocks.push_back(0);
        }
    }
    return blocks;
}

/// What config.json of an AutoencoderTiny with these tensors says.
[[nodiscard]] inline nlohmann::json taesd_config(const StateDict& tensors, const std::string& where) {
    const std::vector<int> down = taesd_blocks(tensors, "encoder.layers.");
    const std::vector<int> up = taesd_blocks(tensors, "decoder.layers.");
    const auto extent = [&](const std::string& name, std::size_t axis) {
        return ldm_extent(tensors, name + ".weight", axis, where);
    };
    int last = 1 + static_cast<int>(up.size() - 1) * 2; // the ReLU; a doubling and a convolution at each size
    for (const int blocks : up) {
        last += blocks;
    }
    const std::string out = concat_text("decoder.layers.", last + 1);
    return {{"_class_name", "AutoencoderTiny"},
            {"_diffusers_version", "0.42.1"},
            {"act_fn", "relu"},
            {"decoder_block_out_channels", std::vector<std::int64_t>(up.size(), extent("decoder.layers.0", 0))},
            {"encoder_block_out_channels", std::vector<std::int64_t>(down.size(), extent("encoder.layers.0", 0))},
            {"force_upcast", false},
            {"in_channels", extent("encoder.layers.0", 1)},
            {"latent_channels", extent("decoder.layers.0", 1)},
            {"latent_magnitude", 3},
            {"latent_shift", 0.5},
            {"num_decoder_blocks", up},
            {"num_encoder_blocks", down},
            {"out_channels", extent(out, 0)},
            {"scaling_factor", 1.0},
            {"upsample_fn", "nearest"},
            {"upsampling_scaling_factor", 2}};
}

} // namespace detail

/// The file with the other half beside a half of a TAESD: taesd_encoder.pth or .safetensors of taesd_decoder.pth.
/// Empty where there is none.
[[nodiscard]] inline std::filesystem::path other_taesd_half(const std::filesystem::path& path) {
    const std::string name = path.stem().string();
    std::error_code ignored;
    for (const auto& [one, other] : {std::pair{"decoder", "encoder"}, std::pair{"encoder", "decoder"}}) {
        const std::size_t at = name.rfind(one);
        if (at == std::string::npos) {
            continue;
        }
        const std::string stem = name.substr(0, at) + other + name.substr(at + std::string_view(one).size());
        for (const std::string& ending :
             {path.extension().string(), std::string(".safetensors"), std::string(".pth")}) {
            const std::filesystem::path file = path.parent_path() / (stem + ending);
            if (std::filesystem::is_regular_file(file, ignored)) {
                return file;
            }
        }
    }
    return {};
}

/// The decoder's half of a TAESD in a folder that has nothing else, or empty.
[[nodiscard]] inline std::filesystem::path taesd_in_folder(const std::filesystem::path& folder) {
    std::error_code ignored;
    for (const char* name : {"taesd_decoder.safetensors", "taesd_decoder.pth"}) {
        if (std::filesystem::is_regular_file(folder / name, ignored)) {
            return folder / name;
        }
    }
    return {};
}

/// An autoencoder of the tensors of a file that weights_kind() tells to be a TAESD's. Of one half the other is read
/// from the file beside it. Throws Error where that is missing, and for tensors that are of no such network.
[[nodiscard]] inline ModelPart taesd_part(StateDict tensors, const std::filesystem::path& path) {
    const std::string where = path.string();
    std::vector<std::filesystem::path> others;
    const std::optional<TaesdHalf> half = taesd_half(tensors);
    tensors = detail::usual_taesd_names(tensors, where);
    if (half) {
        const char* const lacks = *half == TaesdHalf::encoder ? "decoder" : "encoder";
        const std::filesystem::path beside = other_taesd_half(path);
        require(!beside.empty(), where, ": this is the ", *half == TaesdHalf::encoder ? "encoder" : "decoder",
                " of a tiny autoencoder (TAESD) alone; put the ", lacks, " beside it, under the same name with ", lacks,
                " in it, such as taesd_", lacks, ".pth");
        const StateDict other = read_any_weights_file(beside).tensors;
        const std::optional<TaesdHalf> is = taesd_half(other);
        require(is && *is != *half, beside.string(), ": expected the ", lacks, " of a tiny autoencoder (TAESD), which ",
                path.filename().string(), " lacks");
        tensors.merge(detail::usual_taesd_names(other, beside.string()));
        others.push_back(beside);
    }
    std::error_code ignored;
    const std::filesystem::path config = path.parent_path() / "config.json";
    if (!half && std::filesystem::exists(config, ignored)) {
        if (nlohmann::json said = read_json(config);
            said.is_object() && said.value("_class_name", nlohmann::json()) == "AutoencoderTiny") {
            return {path, std::move(said), std::move(tensors)};
        }
    }
    nlohmann::json follows = detail::taesd_config(tensors, where);
    return {path, std::move(follows), std::move(tensors), std::move(others)};
}

} // namespace reel
