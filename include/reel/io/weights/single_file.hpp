#pragma once
// A Stable Diffusion in one file, and parts of one in files of their own, read in place: tensors stay in the file's
// memory map, and configurations follow from shapes. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/weights/ldm_checkpoint.hpp>
#include <reel/io/weights/ldm_config.hpp>
#include <reel/io/weights/ldm_layout.hpp>
#include <reel/io/weights/ldm_spellings.hpp>
#include <reel/io/weights/model_part.hpp>
#include <reel/io/weights/taesd_files.hpp>
#include <reel/io/weights/weights_file.hpp>
#include <reel/io/weights/weights_kind.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

/// A file that was read, its tensors under the names of the original code (usual_ldm_names()). Throws Error for one
/// that holds something else, saying what.
template <class = void>
[[nodiscard]] WeightsFile as_single_file(WeightsFile file, const std::filesystem::path& path) {
    file.tensors = usual_ldm_names(std::move(file.tensors), path.parent_path(), path.string());
    const WeightsKind kind = weights_kind(file.tensors);
    if (kind != WeightsKind::stable_diffusion && kind != WeightsKind::vae && kind != WeightsKind::text_encoder) {
        refuse_weights(file.tensors, "a single file of Stable Diffusion 1 or 2", path.string());
    }
    return file;
}

/// Reads a single file; see as_single_file().
template <class = void>
[[nodiscard]] WeightsFile read_single_file(const std::filesystem::path& path) {
    return as_single_file(read_any_weights_file(path), path);
}

/// What a single file says that its UNet predicts, "epsilon" or "v_prediction", or nothing.
[[nodiscard]] inline std::optional<std::string> said_prediction_type(const WeightsFile& file) {
    if (const auto said = file.metadata.find("modelspec.prediction_type"); said != file.metadata.end()) {
        return said->second == "v" ? "v_prediction" : said->second;
    }
    return file.tensors.contains("v_pred") ? std::optional<std::string>("v_prediction") : std::nullopt; // of merges
}

/// The same, or what is `asked` for, or what there is no doubt about. Throws Error for a Stable Diffusion 2 (`second`)
/// that leaves it open.
[[nodiscard]] inline std::string prediction_type_of(const WeightsFile& file, const std::string& asked, bool second,
                                                    const std::string& where) {
    if (!asked.empty()) {
        return asked;
    }
    const auto said = said_prediction_type(file);
    require(said || !second, where,
            ": a Stable Diffusion 2 file does not say what its UNet predicts; say --prediction_type epsilon "
            "(2-base, 2-1-base) or --prediction_type v_prediction (2 and 2-1, of 768 pixels)");
    return said.value_or("epsilon");
}

/// Pixels a side that a single file's model was made for.
[[nodiscard]] inline int usual_image_size(const std::string& prediction_type) {
    return prediction_type == "v_prediction" ? 768 : 512;
}

/// The noise schedule that a single file carries, or nothing.
[[nodiscard]] inline std::optional<std::vector<float>> betas_of(const WeightsFile& file) {
    const auto found = file.tensors.find("betas");
    return found == file.tensors.end() ? std::nullopt : std::optional(found->second.to_vector<float>());
}

namespace detail {

/// Whether a UNet under diffusers' names is Stable Diffusion 2's, where no text encoder says it.
[[nodiscard]] inline bool is_second_unet(const StateDict& unet) {
    constexpr std::int64_t width_of_open_clip = 1024;
    for (const auto& [name, tensor] : unet) {
        if (name.ends_with(".attn2.to_k.weight") && tensor.shape.size() == 2) {
            return tensor.shape[1] == width_of_open_clip;
        }
    }
    return false;
}

/// Whether a part of Stable Diffusion may be among them.
[[nodiscard]] inline bool may_be_stable_diffusion(WeightsKind kind) {
    return kind == WeightsKind::stable_diffusion || kind == WeightsKind::unet || kind == WeightsKind::vae ||
           kind == WeightsKind::text_encoder || kind == WeightsKind::unknown;
}

/// Whether tensors have a part's names in diffusers or transformers.
[[nodiscard]] inline bool in_diffusers_names(const StateDict& tensors, LdmPart part) {
    switch (part) {
    case LdmPart::unet:
        return has_prefix(tensors, "down_blocks.0.");
    case LdmPart::vae:
        return has_prefix(tensors, "encoder.down_blocks.");
    case LdmPart::text_encoder:
        break;
    }
    return has_any_prefix(tensors, {"text_model.", "embeddings.token_embedding.", "encoder.layers.0.self_attn."}) &&
           !has_prefix(tensors, "vision_model.");
}

/// Whether tensors have a part's names in a single file.
[[nodiscard]] inline bool in_ldm_names(const StateDict& tensors, LdmPart part) {
    return has_prefix(tensors, part == LdmPart::unet  ? "model.diffusion_model.input_blocks."
                               : part == LdmPart::vae ? "first_stage_model."
                                                      : "cond_stage_model.");
}

/// The configuration of a part under diffusers' names, from its shapes.
[[nodiscard]] inline nlohmann::json config_of_part(LdmPart part, const StateDict& tensors, const std::string& where) {
    constexpr int size = 512;
    LdmLayout layout;
    if (part == LdmPart::unet) {
        layout = diffusers_unet_layout(tensors, where);
        nlohmann::json config = ldm_unet_config(tensors, layout, is_second_unet(tensors), size / 8, where);
        const bool inflated = ranges::any_of(
            tensors, [](const auto& entry) { return entry.first.find(".attn_temp.") != std::string::npos; });
        if (inflated) {
            config["_class_name"] = "UNet3DConditionModel";
        }
        return config;
    }
    if (part == LdmPart::vae) {
        layout.vae_levels = count_numbered(tensors, "encoder.down_blocks.");
        layout.vae_layers = count_numbered(tensors, "encoder.down_blocks.0.resnets.");
        return ldm_vae_config(tensors, layout, size, where);
    }
    const int layers = count_numbered(tensors, "text_model.encoder.layers.");
    return ldm_text_config(tensors, layers, ldm_extent(tensors, "text_model.final_layer_norm.weight", 0, where) == 1024,
                           where);
}

inline constexpr std::array<const char*, 3> expected_parts{"a UNet", "an autoencoder", "a text encoder"};

} // namespace detail

/// One part of a file under the original names, with the configuration that follows from its shapes. `averaged` takes
/// the UNet's averaged weights, `described` leaves the configuration empty: the caller has it. Throws Error as
/// ldm_to_diffusers() and the functions of ldm_config.hpp.
template <class = void>
[[nodiscard]] ModelPart part_of_single_file(const WeightsFile& file, const std::filesystem::path& path, LdmPart part,
                                            int image_size = 512, bool averaged = false, bool described = false) {
    const std::string where = path.string();
    const LdmLayout layout = ldm_layout(file.tensors, where, {part});
    StateDict tensors = ldm_to_diffusers(file.tensors, layout, where, averaged, {part}).at(part);
    nlohmann::json config;
    if (described) {
        return {path, std::move(config), std::move(tensors)};
    }
    if (part == LdmPart::unet) {
        const bool second =
            detail::has_prefix(file.tensors, "cond_stage_model.model.") || detail::is_second_unet(tensors);
        const int vae_levels = detail::count_numbered(file.tensors, "first_stage_model.encoder.down.");
        const int factor = vae_levels > 0 ? 1 << (vae_levels - 1) : 8; // pixels per latent
        require(image_size > 0 && image_size % factor == 0, where, ": an image size of ", image_size,
                ", expected a multiple of ", factor);
        config = ldm_unet_config(tensors, layout, second, image_size / factor, where);
    } else if (part == LdmPart::vae) {
        config = ldm_vae_config(tensors, layout, image_size, where);
    } else {
        config = ldm_text_config(tensors, layout.text_layers, layout.open_clip, where);
    }
    return {path, std::move(config), std::move(tensors)};
}

/// One part from a file: a part alone, under diffusers' names or the original ones, or a whole single file. Its
/// configuration is config.json beside it where it lies in such a folder, else it follows from shapes. Throws Error for
/// a file without that part, saying what it is.
template <class = void>
[[nodiscard]] ModelPart read_part_file(const std::filesystem::path& path, LdmPart part) {
    const std::string where = path.string();
    WeightsFile file = read_any_weights_file(path);
    StateDict tensors = detail::renamed(file.tensors, without_wrappers, where);
    const WeightsKind kind = weights_kind(tensors);
    if (part == LdmPart::vae && kind == WeightsKind::tiny_vae) {
        return taesd_part(std::move(tensors), path);
    }
    if (!detail::may_be_stable_diffusion(kind)) {
        refuse_weights(tensors, detail::expected_parts[static_cast<std::size_t>(part)], where);
    }
    if (detail::in_diffusers_names(tensors, part)) {
        tensors = merge_peft_adapters(std::move(tensors), path.parent_path());
        tensors = part == LdmPart::text_encoder ? with_text_model_names(std::move(tensors), where) : tensors;
        std::error_code ignored;
        const std::filesystem::path beside = path.parent_path() / "config.json";
        nlohmann::json config =
            std::filesystem::exists(beside, ignored) ? read_json(beside) : detail::config_of_part(part, tensors, where);
        return {path, std::move(config), std::move(tensors)};
    }
    file.tensors = usual_ldm_names(std::move(file.tensors), path.parent_path(), where);
    if (!detail::in_ldm_names(file.tensors, part)) {
        refuse_weights(file.tensors, detail::expected_parts[static_cast<std::size_t>(part)], where);
    }
    return part_of_single_file(file, path, part);
}

/// One part from where somebody says it is: its folder, the folder of a whole model, or a file (read_part_file()).
/// Throws Error where there is none.
template <class = void>
[[nodiscard]] ModelPart read_part(const std::filesystem::path& path, LdmPart part, const std::string& variant = "") {
    constexpr std::array folders{"unet", "vae", "text_encoder"};
    const char* const name = folders[static_cast<std::size_t>(part)];
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) {
        require(std::filesystem::exists(path, ignored), path.string(), ": no such file or folder (--", name, ")");
        return read_part_file(path, part);
    }
    for (const std::filesystem::path& folder : {path, path / name}) {
        if (std::filesystem::exists(folder / "config.json", ignored)) {
            return {folder, variant};
        }
    }
    if (const std::filesystem::path file = taesd_in_folder(path); part == LdmPart::vae && !file.empty()) {
        return read_part_file(file, part);
    }
    fail(path.string(), ": neither a ", name, "/ of a model (it has no config.json) nor a whole model (it has no ",
         name, "/config.json); for --", name, " name such a folder, or a file of weights");
}

} // namespace reel
