#pragma once
// Weights of a model's part under the names that reel has for them. Needs nlohmann-json and zlib (target reel::io).

#include <reel/io/weights/peft_adapter.hpp>
#include <reel/io/weights/weights.hpp>

#include <filesystem>
#include <string>
#include <utility>

namespace reel {

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

/// load_weights() with attached adapters merged (merge_peft_adapters()): unet/ and vae/.
[[nodiscard]] inline StateDict load_model_weights(const std::filesystem::path& folder, const WeightNames& names,
                                                  const std::string& variant = "") {
    return merge_peft_adapters(load_weights(folder, names, variant), folder);
}

/// The same of a text_encoder/.
[[nodiscard]] inline StateDict load_text_encoder_weights(const std::filesystem::path& folder,
                                                         const std::string& variant = "") {
    return with_text_model_names(load_model_weights(folder, transformers_weight_names, variant), folder.string());
}

} // namespace reel
