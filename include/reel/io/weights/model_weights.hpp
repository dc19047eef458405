#pragma once
// Weights of a model's part under the names that reel has for them. Needs nlohmann-json and zlib (target reel::io).

#include <reel/io/weights/peft_adapter.hpp>
#include <reel/io/weights/weights.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace reel {

/// A name without what torch.compile ("_orig_mod.") and data-parallel training ("module.") put before parts of it.
[[nodiscard]] inline std::string without_wrappers(std::string name) {
    for (const std::string_view wrapper : {"_orig_mod.", "module."}) {
        for (std::size_t at = name.find(wrapper); at != std::string::npos; at = name.find(wrapper, at)) {
            if (at == 0 || name[at - 1] == '.') {
                name.erase(at, wrapper.size());
            } else {
                at += wrapper.size();
            }
        }
    }
    return name;
}

namespace detail {

/// Tensors under other names. Throws Error where two get the same.
template <class Rename>
[[nodiscard]] StateDict renamed(StateDict tensors, const Rename& rename, const std::string& where) {
    StateDict result;
    for (auto& [name, tensor] : tensors) {
        std::string other = rename(name);
        require(!result.contains(other), where, ": two tensors give the weight \"", other, "\"");
        result.emplace(std::move(other), std::move(tensor));
    }
    return result;
}

} // namespace detail

/// A text encoder's weights with "text_model." before every name: transformers from 5.6 on writes none, and neither do
/// some older single files.
[[nodiscard]] inline StateDict with_text_model_names(StateDict tensors, const std::string& where) {
    StateDict named;
    for (auto& [name, tensor] : tensors) {
        const bool bare =
            name.starts_with("embeddings.") || name.starts_with("encoder.") || name.starts_with("final_layer_norm.");
        const std::string full = bare ? "text_model." + name : name;
        require(named.emplace(full, std::move(tensor)).second, where, ": two tensors give the weight \"", full, "\"");
    }
    return named;
}

/// load_weights() without wrappers in the names, and with attached adapters merged (merge_peft_adapters()): unet/ and
/// vae/.
[[nodiscard]] inline StateDict load_model_weights(const std::filesystem::path& folder, const WeightNames& names,
                                                  const std::string& variant = "") {
    StateDict tensors = detail::renamed(load_weights(folder, names, variant), without_wrappers, folder.string());
    return merge_peft_adapters(std::move(tensors), folder);
}

/// The same of a text_encoder/.
[[nodiscard]] inline StateDict load_text_encoder_weights(const std::filesystem::path& folder,
                                                         const std::string& variant = "") {
    return with_text_model_names(load_model_weights(folder, transformers_weight_names, variant), folder.string());
}

} // namespace reel
