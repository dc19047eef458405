#pragma once
// Weights of a model's folder, whatever the file format. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/files/hub_cache.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

/// Names, without ending, under which a folder keeps its weights as safetensors and as a PyTorch checkpoint.
struct WeightNames {
    std::string safetensors;
    std::string torch;
};

/// unet/ and vae/ of a diffusers folder.
inline const WeightNames diffusers_weight_names{"diffusion_pytorch_model", "diffusion_pytorch_model"};

/// text_encoder/ of a diffusers folder, and any other folder of transformers.
inline const WeightNames transformers_weight_names{"model", "pytorch_model"};

/// Reads a weights file of either format, told apart by its content. Throws Error for anything else.
template <class = void>
[[nodiscard]] StateDict read_weights_file(const std::filesystem::path& path) {
    const FileKind kind = [&] {
        const MappedFile file(path);
        refuse_placeholder(file.bytes(), file.path());
        return file_kind(file.bytes());
    }();
    switch (kind) {
    case FileKind::safetensors:
        return read_safetensors(path);
    case FileKind::torch_zip:
    case FileKind::torch_legacy: {
        TorchCheckpoint checkpoint = read_torch_checkpoint(path);
        require(!checkpoint.tensors.empty(), path.string(), ": the checkpoint holds no tensors");
        require(!checkpoint.tensors.contains(""), path.string(), ": holds one bare tensor, expected a state dict");
        return std::move(checkpoint.tensors);
    }
    case FileKind::json:
        fail(path.string(), ": this is JSON text, not weights");
    default:
        fail(path.string(), ": neither a safetensors file nor a PyTorch checkpoint");
    }
}

/// Reads weights split over several files: `index_path` is a JSON file whose "weight_map" gives each tensor's file, in
/// the same folder. Throws Error on a missing file, a tensor that its file lacks, a tensor that no map entry names,
/// and a file name that leaves the folder.
template <class = void>
[[nodiscard]] StateDict read_sharded_weights(const std::filesystem::path& index_path) {
    const nlohmann::json index = read_json(index_path);
    const std::string where = index_path.string();
    require(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(), where,
            ": expected an object with a \"weight_map\"");
    std::map<std::string, std::vector<std::string>> names_by_file;
    for (const auto& [name, file] : index["weight_map"].items()) {
        require(file.is_string(), where, ": weight_map \"", name, "\" is not a file name");
        const auto& text = file.template get_ref<const std::string&>();
        // One plain name: no other folder, and nothing that a file system reads differently.
        require(!text.empty() && text != "." && text != ".." && text.find('/') == std::string::npos &&
                    text.find('\\') == std::string::npos && text.find('\0') == std::string::npos,
                where, ": weight_map \"", name, "\": \"", text, "\" is not the name of a file in the same folder");
        names_by_file[text].push_back(name);
    }
    require(!names_by_file.empty(), where, ": the weight_map is empty");
    StateDict all;
    for (const auto& [file, names] : names_by_file) {
        const std::filesystem::path path = index_path.parent_path() / file;
        std::error_code ignored;
        require(std::filesystem::exists(path, ignored), where, ": the file ", path.string(), ", which should hold \"",
                names.front(), "\", does not exist");
        StateDict shard = read_weights_file(path);
        for (const std::string& name : names) {
            auto tensor = shard.extract(name);
            require(!tensor.empty(), path.string(), ": tensor \"", name, "\" is missing, though ", where,
                    " says that it is here");
            all.insert(std::move(tensor));
        }
        require(shard.empty(), path.string(), ": tensor \"", shard.empty() ? "" : shard.begin()->first,
                "\" is here, but ", where, " does not list it");
    }
    return all;
}

/// Files that load_weights() looks for, in order of preference.
[[nodiscard]] inline std::vector<std::filesystem::path>
weight_candidates(const std::filesystem::path& folder, const WeightNames& names, const std::string& variant = "") {
    const std::string dot = variant.empty() ? "" : "." + variant;
    return {folder / (names.safetensors + dot + ".safetensors"),
            folder / (names.safetensors + ".safetensors.index" + dot + ".json"), folder / (names.torch + dot + ".bin"),
            folder / (names.torch + ".bin.index" + dot + ".json")};
}

namespace detail {

/// The first of the candidates that is there, or an empty path.
[[nodiscard]] inline std::filesystem::path first_weights(const std::filesystem::path& folder, const WeightNames& names,
                                                         const std::string& variant) {
    std::error_code ignored;
    for (const auto& path : weight_candidates(folder, names, variant)) {
        if (std::filesystem::exists(path, ignored)) {
            return path;
        }
    }
    return {};
}

} // namespace detail

/// The variants of a folder's weights that have all it takes to be loaded ("fp16" of model.fp16.safetensors), in order.
[[nodiscard]] inline std::set<std::string> weight_variants(const std::filesystem::path& folder,
                                                           const WeightNames& names) {
    std::set<std::string> found;
    const auto between = [&](const std::string& name, const std::string& start, const std::string& end) {
        if (name.size() > start.size() + end.size() && name.starts_with(start) && name.ends_with(end)) {
            const std::string variant = name.substr(start.size(), name.size() - start.size() - end.size());
            const bool shard = variant.find("-of-") != std::string::npos; // one of several files of a variant
            if (variant.find('.') == std::string::npos && !shard &&
                !detail::first_weights(folder, names, variant).empty()) {
                found.insert(variant);
            }
        }
    };
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        between(name, names.safetensors + ".", ".safetensors");
        between(name, names.safetensors + ".safetensors.index.", ".json");
        between(name, names.torch + ".", ".bin");
        between(name, names.torch + ".bin.index.", ".json");
    }
    return found;
}

/// The variant that find_weights() takes where none is asked for: none, or the only one of a folder that has no others,
/// as `save_pretrained(..., variant="fp16")` makes it. A program tells its user.
[[nodiscard]] inline std::string taken_variant(const std::filesystem::path& folder, const WeightNames& names) {
    const std::set<std::string> variants =
        detail::first_weights(folder, names, "").empty() ? weight_variants(folder, names) : std::set<std::string>{};
    return variants.size() == 1 ? *variants.begin() : "";
}

/// The file, or the index of files, that holds a folder's weights: without a `variant` the plain ones, or the only
/// variant that is there (taken_variant()). Throws Error listing what was looked for, and the variants that are there.
[[nodiscard]] inline std::filesystem::path find_weights(const std::filesystem::path& folder, const WeightNames& names,
                                                        const std::string& variant = "") {
    std::error_code ignored;
    require(std::filesystem::is_directory(folder, ignored), folder.string(),
            ": no such folder (expected weights in it)");
    const std::string taken = variant.empty() ? taken_variant(folder, names) : variant;
    const std::filesystem::path path = detail::first_weights(folder, names, taken);
    if (!path.empty()) {
        return path;
    }
    for (const auto& candidate : weight_candidates(folder, names, variant)) {
        refuse_dangling_link(candidate);
    }
    std::string looked_for;
    for (const auto& candidate : weight_candidates(folder, names, variant)) {
        looked_for += concat_text(looked_for.empty() ? "" : ", ", candidate.filename().string());
    }
    std::string variants;
    for (const std::string& each : weight_variants(folder, names)) {
        variants += concat_text(variants.empty() ? "; there are the variants " : ", ", each);
    }
    fail(folder.string(), ": no weights found; looked for ", looked_for, variants);
}

/// Reads the weights of a folder of diffusers or transformers, in one file or several, which find_weights() finds.
/// `variant` ("fp16") asks for files of that variant only. Tensors stay in the files' memory maps until they are used.
///
///     StateDict unet = load_weights(model / "unet", diffusers_weight_names);
///     StateDict text = load_weights(model / "text_encoder", transformers_weight_names);
template <class = void>
[[nodiscard]] StateDict load_weights(const std::filesystem::path& folder, const WeightNames& names,
                                     const std::string& variant = "") {
    const std::filesystem::path path = find_weights(folder, names, variant);
    return path.extension() == ".json" ? read_sharded_weights(path) : read_weights_file(path);
}

} // namespace reel
