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
#include <reel/io/weights/weights.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
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

/// What is asked for, or what the file says, or what there is no doubt about.
[[nodiscard]] inline std::string ldm_prediction_type(const std::filesystem::path& input, const ConvertOptions& options,
                                                     const WeightsFile& file, bool open_clip) {
    if (!options.prediction_type.empty()) {
        return options.prediction_type;
    }
    const auto said = file.metadata.find("modelspec.prediction_type");
    if (said != file.metadata.end()) {
        return said->second == "v" ? "v_prediction" : said->second;
    }
    require(!open_clip, input.string(),
            ": a Stable Diffusion 2 file does not say what its UNet predicts; say --prediction_type epsilon "
            "(2-base, 2-1-base) or --prediction_type v_prediction (2 and 2-1, of 768 pixels)");
    return "epsilon";
}

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

/// A Stable Diffusion 1.x or 2.x single file to a new diffusers folder, which appears whole or not at all. Throws Error
/// on a file of another model, on a Stable Diffusion 2 file that leaves open what it predicts, without a tokenizer, and
/// where `output` is there already.
inline void single_file_to_folder(const std::filesystem::path& input, const std::filesystem::path& output,
                                  const ConvertOptions& options = {}, const ConvertEvents& events = {}) {
    const std::filesystem::path target = detail::without_slash(output);
    detail::require_new_folder(target);
    const WeightsFile file = detail::read_noted(input, events); // first: a broken file is the larger trouble
    const std::filesystem::path tokenizer = detail::ldm_tokenizer(input, options);
    const LdmLayout layout = ldm_layout(file.tensors, input.string());
    const LdmParts parts = ldm_to_diffusers(file.tensors, layout, input.string(), options.ema);

    AtomicFolder folder(target);
    if (options.config.empty()) {
        LdmFacts facts;
        facts.prediction_type = detail::ldm_prediction_type(input, options, file, layout.open_clip);
        facts.image_size = options.image_size > 0                    ? options.image_size
                           : facts.prediction_type == "v_prediction" ? 768
                                                                     : 512;
        std::optional<std::vector<float>> betas;
        if (const auto found = file.tensors.find("betas"); found != file.tensors.end()) {
            betas = found->second.to_vector<float>();
        }
        detail::write_ldm_configs(folder.path(), ldm_configs(parts, layout, facts, betas, input.string()));
    } else {
        detail::copy_configs(options.config, folder.path());
    }
    detail::copy_files(tokenizer, folder.path() / "tokenizer");
    for (const detail::LdmPartFolder& part : detail::ldm_part_folders) {
        detail::write_converted(detail::converted_weights_path(folder.path() / part.name, *part.weights, options),
                                tensor_sources(parts.at(part.part)), options, events);
    }
    folder.commit();
    events.note(concat_text(target.string(), ": Stable Diffusion ", layout.open_clip ? 2 : 1, " folder"));
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
