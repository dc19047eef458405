#pragma once
// Where the parts of a model are: in a diffusers folder, in a snapshot of the hub's cache, in one file, or apart from
// each other. Needs reel::io and reel::text.

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/files/hub_cache.hpp>
#include <reel/io/weights/single_file.hpp>
#include <reel/io/weights/textual_inversion.hpp>
#include <reel/pipelines/model_options.hpp>
#include <reel/pipelines/wrong_model.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>

namespace reel {

/// A model that was found. Weights are read when it is loaded.
struct ModelFiles {
    std::filesystem::path path; ///< the folder or the file; of the hub's cache the snapshot
    ModelPart text_encoder;
    ModelPart vae;
    ModelPart unet;
    std::filesystem::path tokenizer;
    ModelSchedulerConfig scheduler;
    nlohmann::json index; ///< model_index.json
    ModelOptions options;
    std::vector<std::string> notes{}; ///< lines for the user
    bool masked = false;              ///< an inpainting UNet is not refused: it will be given inpainting_channels()

    /// Whether the text encoder is Stable Diffusion 2's.
    [[nodiscard]] bool is_second() const {
        const nlohmann::json config = text_encoder.config_json();
        return config.is_object() && config.value("hidden_act", nlohmann::json()) == "gelu";
    }
};

namespace detail {

/// Checks that model_index.json describes parts that reel has, but for those that `options` bring from elsewhere.
template <class = void>
[[nodiscard]] nlohmann::json read_model_index(const std::filesystem::path& folder, const ModelOptions& options) {
    const std::filesystem::path path = folder / "model_index.json";
    nlohmann::json index = read_json(path);
    require(index.is_object(), path.string(), ": expected a JSON object");
    refuse_other_pipelines(index, path.string());
    struct Part {
        const char* name;
        std::vector<std::string> classes;
        bool replaced;
    };
    const std::vector<Part> parts{{"text_encoder", {"CLIPTextModel"}, !options.text_encoder.empty()},
                                  {"tokenizer", {"CLIPTokenizer", "CLIPTokenizerFast"}, !options.tokenizer.empty()},
                                  {"unet", {"UNet2DConditionModel", "UNet3DConditionModel"}, !options.unet.empty()},
                                  {"vae", {"AutoencoderKL", "AutoencoderTiny"}, !options.vae.empty()}};
    for (const Part& part : parts) {
        if (part.replaced) {
            continue;
        }
        const auto entry = index.find(part.name);
        require(entry != index.end(), path.string(), ": the part \"", part.name, "\" is missing");
        require(entry->is_array() && entry->size() == 2 && (*entry)[1].is_string(), path.string(), ": \"", part.name,
                "\" should be a list of a library and a class name");
        const auto name = (*entry)[1].template get<std::string>();
        require(ranges::find(part.classes, name) != part.classes.end(), path.string(), ": \"", part.name, "\" is a ",
                name, ", but only ", part.classes.front(), " is supported");
    }
    return index;
}

template <class = void>
[[nodiscard]] ModelFiles open_model_folder(const std::filesystem::path& folder, const ModelOptions& options) {
    const auto own = [&](const char* name, LdmPart part, const std::string& elsewhere) -> ModelPart {
        if (!elsewhere.empty()) {
            return read_part(resolve_hub_cache(elsewhere), part, options.variant);
        }
        refuse_dangling_link(folder / name / "config.json");
        return {folder / name, options.variant};
    };
    refuse_dangling_link(folder / "model_index.json");
    refuse_folder_of_something_else(folder);
    nlohmann::json index = read_model_index(folder, options);
    refuse_dangling_link(folder / "scheduler" / "scheduler_config.json");
    for (const char* file : {"vocab.json", "merges.txt", "tokenizer.json"}) {
        if (options.tokenizer.empty()) {
            refuse_dangling_link(folder / "tokenizer" / file);
        }
    }
    return {folder,
            own("text_encoder", LdmPart::text_encoder, options.text_encoder),
            own("vae", LdmPart::vae, options.vae),
            own("unet", LdmPart::unet, options.unet),
            options.tokenizer.empty() ? folder / "tokenizer" : resolve_hub_cache(options.tokenizer),
            read_model_scheduler(folder / "scheduler"),
            std::move(index),
            options};
}

/// The tokenizer/ beside a single file.
[[nodiscard]] inline std::filesystem::path tokenizer_beside(const std::filesystem::path& file) {
    std::error_code ignored;
    const std::filesystem::path folder = file.parent_path() / "tokenizer";
    return std::filesystem::is_directory(folder, ignored) ? folder : std::filesystem::path();
}

template <class = void>
[[nodiscard]] ModelFiles open_model_file(const std::filesystem::path& path, const ModelOptions& options) {
    const std::string where = path.string();
    const WeightsFile file = read_single_file(path); // first: a wrong file is the larger trouble
    const std::filesystem::path beside = options.tokenizer.empty() ? tokenizer_beside(path) : std::filesystem::path();
    require(!options.tokenizer.empty() || !beside.empty(), where,
            ": a model in one file has no tokenizer; give one with --tokenizer DIR or FILE: the tokenizer/ of a folder "
            "of the same Stable Diffusion, its tokenizer.json, or CLIP's bpe_simple_vocab_16e6.txt.gz; or put such a "
            "tokenizer/ beside the "
            "file");
    const bool second = has_prefix(file.tensors, "cond_stage_model.model.");
    const std::string predicts = prediction_type_of(file, options.prediction_type, second, where);
    const int size = usual_image_size(predicts);
    const auto part = [&](LdmPart which, const std::string& elsewhere) -> ModelPart {
        return elsewhere.empty() ? part_of_single_file(file, path, which, size)
                                 : read_part(resolve_hub_cache(elsewhere), which, options.variant);
    };
    ModelPart unet = part(LdmPart::unet, options.unet); // first: without it the file is something else
    return {path,
            part(LdmPart::text_encoder, options.text_encoder),
            part(LdmPart::vae, options.vae),
            std::move(unet),
            beside.empty() ? resolve_hub_cache(options.tokenizer) : beside,
            {ldm_scheduler_config(predicts, betas_of(file)), where, ""},
            ldm_model_index(),
            options,
            beside.empty() ? std::vector<std::string>{}
                           : std::vector{concat_text(where, ": the tokenizer beside it is taken, ", beside.string())}};
}

} // namespace detail

/// Finds a model's parts: `path` is a diffusers folder, a repository or snapshot of the hub's cache, or one file of
/// Stable Diffusion 1 or 2 (.safetensors, .ckpt), which is read in place; `options` bring parts from elsewhere. Throws
/// Error for anything else, saying what it is.
template <class = void>
[[nodiscard]] ModelFiles open_model(const std::filesystem::path& path, const ModelOptions& options = {}) {
    const std::filesystem::path resolved = resolve_hub_cache(path);
    std::error_code ignored;
    refuse_dangling_link(resolved);
    require(std::filesystem::exists(resolved, ignored), path.string(),
            ": no such file or folder; expected a diffusers folder with model_index.json, or a single .safetensors or "
            ".ckpt file (nothing is downloaded)");
    return std::filesystem::is_directory(resolved, ignored) ? detail::open_model_folder(resolved, options)
                                                            : detail::open_model_file(resolved, options);
}

/// The same with the UNet of another folder, one that was tuned; "" for the model's own.
template <class = void>
[[nodiscard]] ModelFiles open_model_with(const std::filesystem::path& path, const std::filesystem::path& unet_folder,
                                         const ModelOptions& options = {}) {
    require(unet_folder.empty() || options.unet.empty(), "--unet ", options.unet, ": there is another UNet already, ",
            unet_folder.string(), "; give one of them");
    ModelFiles files = open_model(path, options);
    if (!unet_folder.empty()) {
        files.unet = unet_folder;
    }
    return files;
}

/// The files that a run reads of a model, under names such as "unet/config.json". Throws Error where the weights of a
/// part are missing.
template <class = void>
[[nodiscard]] std::map<std::string, std::filesystem::path> files_of_model(const ModelFiles& model) {
    std::map<std::string, std::filesystem::path> files;
    const auto add = [&](const std::string& part, const std::filesystem::path& path) {
        std::error_code ignored;
        if (std::filesystem::is_regular_file(path, ignored)) {
            files.emplace(part + "/" + path.filename().string(), path);
        }
    };
    const auto add_part = [&](const std::string& part, const ModelPart& from, const WeightNames& names) {
        if (!from.in_folder()) {
            add(part, from.path());
            for (const std::filesystem::path& other : from.others()) {
                add(part, other);
            }
            return;
        }
        add(part, from.path() / "config.json");
        add(part, from.path() / "adapter_config.json");
        const std::filesystem::path weights = find_weights(from.path(), names, from.variant());
        add(part, weights);
        if (weights.extension() == ".json") {
            const nlohmann::json index = read_json(weights);
            const nlohmann::json map = index.value("weight_map", nlohmann::json::object());
            for (const auto& [name, file] : map.items()) {
                if (file.is_string()) {
                    add(part, from.path() / file.template get<std::string>());
                }
            }
        }
    };
    add("tokenizer", model.tokenizer);
    for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"}) {
        add("tokenizer", model.tokenizer / name);
    }
    if (!files.contains("tokenizer/vocab.json")) {
        add("tokenizer", model.tokenizer / "tokenizer.json");
    }
    add("scheduler", model.scheduler.file);
    add_part("text_encoder", model.text_encoder, transformers_weight_names);
    add_part("vae", model.vae, diffusers_weight_names);
    add_part("unet", model.unet, diffusers_weight_names);
    for (const std::string& embedding : model.options.embedding) {
        add("embedding", embedding_request(embedding).file);
    }
    return files;
}

namespace detail {

/// The file beside --vae that it is from, too: of a TAESD in two. Empty where there is none.
[[nodiscard]] inline std::filesystem::path second_half_of(const std::string& vae) {
    const std::filesystem::path path = vae.empty() ? std::filesystem::path() : resolve_hub_cache(vae);
    const std::filesystem::path other = other_taesd_half(path);
    std::error_code ignored;
    const bool looks_so = !other.empty() && std::filesystem::is_regular_file(path, ignored);
    return looks_so && taesd_half(read_any_weights_file(path).tensors) ? other : std::filesystem::path();
}

} // namespace detail

/// The files and folders that a model is read from, for a manifest.
[[nodiscard]] inline std::vector<std::filesystem::path> model_inputs(const std::filesystem::path& model,
                                                                     const ModelOptions& options) {
    const std::filesystem::path path = resolve_hub_cache(model);
    std::error_code ignored;
    const bool folder = std::filesystem::is_directory(path, ignored);
    std::vector<std::filesystem::path> inputs{folder ? path / "model_index.json" : path};
    const auto add = [&](const char* name, const std::string& elsewhere) {
        if (!elsewhere.empty()) {
            inputs.push_back(resolve_hub_cache(elsewhere));
        } else if (folder) {
            inputs.push_back(path / name);
        }
    };
    if (!folder && options.tokenizer.empty()) {
        inputs.push_back(detail::tokenizer_beside(path));
    } else {
        add("tokenizer", options.tokenizer);
    }
    add("text_encoder", options.text_encoder);
    add("vae", options.vae);
    if (const std::filesystem::path half = detail::second_half_of(options.vae); !half.empty()) {
        inputs.push_back(half);
    }
    add("scheduler", "");
    add("unet", options.unet);
    for (const std::string& embedding : options.embedding) {
        inputs.push_back(embedding_request(embedding).file);
    }
    return inputs;
}

} // namespace reel
