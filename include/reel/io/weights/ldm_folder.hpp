#pragma once
// A Stable Diffusion single file as a diffusers folder, and back. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/config/python_json.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/weights/convert_options.hpp>
#include <reel/io/weights/ldm_checkpoint.hpp>
#include <reel/io/weights/ldm_config.hpp>
#include <reel/io/weights/model_weights.hpp>
#include <reel/io/weights/single_file.hpp>
#include <reel/io/weights/weights.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// A part of a model, its folder, and the names of the weights there.
struct LdmPartFolder {
    LdmPart part;
    const char* name;
    const WeightNames* weights;
};

inline const std::array<LdmPartFolder, 3> ldm_part_folders{
    {{LdmPart::unet, "unet", &diffusers_weight_names},
     {LdmPart::vae, "vae", &diffusers_weight_names},
     {LdmPart::text_encoder, "text_encoder", &transformers_weight_names}}};

/// The tokenizer that the folder gets.
[[nodiscard]] inline std::filesystem::path ldm_tokenizer(const std::filesystem::path& input,
                                                         const ConvertOptions& options) {
    const std::filesystem::path folder = !options.tokenizer.empty() ? options.tokenizer
                                         : !options.config.empty()  ? options.config / "tokenizer"
                                                                    : std::filesystem::path();
    require(!folder.empty(), input.string(),
            ": a single file holds no tokenizer; name one with --tokenizer DIR (the tokenizer/ of a diffusers "
            "folder of the same Stable Diffusion: vocab.json, merges.txt, or tokenizer.json), or a whole folder with "
            "--config DIR");
    const auto has = [&](const char* file) { return std::filesystem::is_regular_file(folder / file); };
    for (const char* file : {"vocab.json", "merges.txt"}) {
        require(
            has(file) || (!has("vocab.json") && has("tokenizer.json")), folder.string(), ": ", file,
            " is missing, and so is tokenizer.json; expected the tokenizer/ of a diffusers folder of the same Stable "
            "Diffusion");
    }
    return folder;
}

/// The configurations that follow from the weights.
inline void write_ldm_configs(const std::filesystem::path& folder, const LdmConfigs& configs) {
    const auto write = [&](const char* part, const char* name, const nlohmann::json& json) {
        make_output_folder(folder / part);
        write_json(folder / part / name, json);
    };
    write("unet", "config.json", configs.unet);
    write("vae", "config.json", configs.vae);
    write("text_encoder", "config.json", configs.text_encoder);
    write("scheduler", "scheduler_config.json", configs.scheduler);
    write_json(folder / "model_index.json", configs.model_index);
}

/// The same with the class of the autoencoder, which is not the single file's.
inline void name_vae_class(const std::filesystem::path& folder, const nlohmann::json& vae) {
    nlohmann::json index = read_json(folder / "model_index.json");
    index["vae"] = {"diffusers", vae.value("_class_name", nlohmann::json("AutoencoderKL"))};
    write_json(folder / "model_index.json", index);
}

/// The configurations of another folder.
inline void copy_configs(const std::filesystem::path& like, const std::filesystem::path& folder) {
    for (const LdmPartFolder& part : ldm_part_folders) {
        make_output_folder(folder / part.name);
        copy_file_atomically(like / part.name / "config.json", folder / part.name / "config.json");
    }
    copy_files(like / "scheduler", folder / "scheduler");
    copy_file_atomically(like / "model_index.json", folder / "model_index.json");
}

} // namespace detail

namespace detail {

/// The projections around a UNet's attention as its configuration has them: linear, or convolutions of one pixel.
inline void fit_projections(StateDict& unet, const std::filesystem::path& config) {
    const nlohmann::json said = read_json(config).value("use_linear_projection", nlohmann::json());
    const std::size_t axes = said == true ? 2 : 4;
    for (auto& [name, tensor] : unet) {
        const bool projection = name.ends_with(".proj_in.weight") || name.ends_with(".proj_out.weight");
        if (projection && (tensor.shape.size() == 2 || tensor.shape.size() == 4)) {
            const bool pointwise = tensor.shape.size() == 2 || (tensor.shape[2] == 1 && tensor.shape[3] == 1);
            if (pointwise) {
                tensor.shape.resize(axes, 1);
            }
        }
    }
}

/// The parts that the folder gets: the single file's, but the autoencoder where another is named, and those that the
/// file lacks from the folder of configurations.
[[nodiscard]] inline std::map<LdmPart, ModelPart> parts_for_folder(const WeightsFile& file,
                                                                   const std::filesystem::path& input,
                                                                   const ConvertOptions& options, int image_size,
                                                                   const ConvertEvents& events) {
    std::map<LdmPart, ModelPart> parts;
    LdmPartSet own;
    for (const LdmPartFolder& part : ldm_part_folders) {
        const std::filesystem::path elsewhere = options.config / part.name;
        if (part.part == LdmPart::vae && !options.vae.empty()) {
            parts.emplace(part.part, read_part(options.vae, part.part));
        } else if (part.part != LdmPart::unet && !in_ldm_names(file.tensors, part.part) && !options.config.empty() &&
                   std::filesystem::exists(elsewhere / "config.json")) {
            events.note(concat_text(input.filename().string(), ": it has no ", part.name, "; that of ",
                                    options.config.string(), " is taken"));
            parts.emplace(part.part, ModelPart(elsewhere));
        } else {
            own.insert(part.part);
        }
    }
    static_cast<void>(
        ldm_layout(file.tensors, input.string(), own)); // what is missing is said before what does not fit
    for (const LdmPart part : own) {
        parts.emplace(part, part_of_single_file(file, input, part, image_size, options.ema && part == LdmPart::unet,
                                                !options.config.empty()));
    }
    return parts;
}

/// Looks at the folder before it appears; a fault is one of the input.
inline void check_converted(const std::filesystem::path& folder, const std::filesystem::path& input,
                            const ConvertEvents& events) {
    if (!events.check) {
        return;
    }
    try {
        events.check(folder);
    } catch (const Error& error) {
        std::string text = error.what();
        const std::string temporary = folder.string() + "/";
        if (const std::size_t at = text.find(temporary); at != std::string::npos) {
            text.erase(at, temporary.size());
        }
        fail(input.string(), ": it does not fit the configurations: ", text);
    }
}

} // namespace detail

/// A Stable Diffusion 1.x or 2.x single file to a new diffusers folder, which appears whole or not at all. What the
/// file lacks beside the UNet comes from the folder of configurations, or (the autoencoder) from where `vae` says.
/// Throws Error on a file of another model, on a Stable Diffusion 2 file that leaves open what it predicts, without a
/// tokenizer, and where `output` is there already.
inline void single_file_to_folder(const std::filesystem::path& input, const std::filesystem::path& output,
                                  const ConvertOptions& options = {}, const ConvertEvents& events = {}) {
    const std::filesystem::path target = detail::without_slash(output);
    detail::require_new_folder(target);
    // First: a broken file is the larger trouble.
    const WeightsFile file = as_single_file(detail::read_noted(input, events), input);
    const std::filesystem::path tokenizer = detail::ldm_tokenizer(input, options);
    const bool own = options.config.empty();
    const bool second = detail::has_prefix(file.tensors, "cond_stage_model.model.");
    const std::string predicts =
        own ? prediction_type_of(file, options.prediction_type, second, input.string()) : "epsilon";
    const int size = options.image_size > 0 ? options.image_size : usual_image_size(predicts);
    const auto parts = detail::parts_for_folder(file, input, options, size, events);

    AtomicFolder folder(target);
    if (own) {
        detail::write_ldm_configs(folder.path(),
                                  {parts.at(LdmPart::unet).config_json(), parts.at(LdmPart::vae).config_json(),
                                   parts.at(LdmPart::text_encoder).config_json(),
                                   ldm_scheduler_config(predicts, betas_of(file)), ldm_model_index()});
    } else {
        detail::copy_configs(options.config, folder.path());
        if (!options.vae.empty()) {
            write_json(folder.path() / "vae" / "config.json", parts.at(LdmPart::vae).config_json());
        }
    }
    if (!options.vae.empty()) {
        detail::name_vae_class(folder.path(), parts.at(LdmPart::vae).config_json());
    }
    detail::copy_files(tokenizer, folder.path() / "tokenizer");
    for (const detail::LdmPartFolder& part : detail::ldm_part_folders) {
        StateDict tensors = parts.at(part.part).weights(*part.weights).tensors;
        if (part.part == LdmPart::unet) {
            detail::fit_projections(tensors, folder.path() / "unet" / "config.json");
        }
        detail::write_converted(detail::converted_weights_path(folder.path() / part.name, *part.weights, options),
                                tensor_sources(tensors), options, events);
    }
    detail::check_converted(folder.path(), input, events);
    folder.commit();
    events.note(concat_text(target.string(), ": Stable Diffusion ", second ? 2 : 1, " folder"));
}

/// A diffusers folder of Stable Diffusion 1.x or 2.x to a single file. Throws Error on a folder of another model.
inline void folder_to_single_file(const std::filesystem::path& input, const std::filesystem::path& output,
                                  const ConvertOptions& options = {}, const ConvertEvents& events = {}) {
    LdmParts parts;
    for (const detail::LdmPartFolder& part : detail::ldm_part_folders) {
        const std::filesystem::path folder = input / part.name;
        parts.emplace(part.part, part.part == LdmPart::text_encoder
                                     ? load_text_encoder_weights(folder, options.variant)
                                     : load_model_weights(folder, *part.weights, options.variant));
    }
    require(weights_kind(parts.at(LdmPart::vae)) != WeightsKind::tiny_vae, (input / "vae").string(),
            ": a tiny autoencoder (TAESD), for which a single file has no place; put the whole one there");
    const nlohmann::json text = read_json(input / "text_encoder" / "config.json");
    // Stable Diffusion 2's text encoder is OpenCLIP's, which has the exact GELU, where CLIP has a fast one.
    const bool open_clip = text.is_object() && text.value("hidden_act", nlohmann::json()) == "gelu";
    const LdmLayout layout = diffusers_layout(parts.at(LdmPart::unet), parts.at(LdmPart::vae),
                                              parts.at(LdmPart::text_encoder), open_clip, input.string());
    std::vector<TensorSource> sources = diffusers_to_ldm(parts, layout, input.string());
    const std::filesystem::path scheduler_file = input / "scheduler" / "scheduler_config.json";
    const nlohmann::json scheduler = read_python_json(scheduler_file);
    if (const auto betas = ldm_betas_of(scheduler, scheduler_file.string())) {
        const HostTensor tensor = HostTensor::make<float>({static_cast<std::int64_t>(betas->size())}, *betas);
        sources.push_back({"betas", tensor.dtype, tensor.shape, [tensor] { return tensor; }});
    }
    const std::string predicts =
        scheduler.value("prediction_type", nlohmann::json("epsilon")) == "v_prediction" ? "v" : "epsilon";
    detail::write_converted(output, std::move(sources), options, events, {{"modelspec.prediction_type", predicts}});
    if (weights_format_of(output) == WeightsFormat::torch && predicts == "v") {
        events.note("this format cannot say that the UNet predicts v; who reads it must know");
    }
}

} // namespace reel
