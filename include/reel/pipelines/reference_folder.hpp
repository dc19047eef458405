#pragma once
// Parts of a model's folder as the Python Tune-A-Video reads them. Needs reel::io and reel::text.

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <reel/core/ranges.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/weights/model_part.hpp>
#include <reel/io/weights/model_weights.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/text/tokenizer_writer.hpp>

namespace reel {

namespace detail {

/// Whether a file holds weights, or says which files do.
[[nodiscard]] inline bool is_weights_file(const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    return name.ends_with(".safetensors") || name.ends_with(".bin") || name.find(".index.") != std::string::npos;
}

/// Copies a folder's own files, without those of weights when `weights` is false.
inline void copy_part_files(const std::filesystem::path& from, const std::filesystem::path& to, bool weights) {
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        if (entry.is_regular_file() && (weights || !is_weights_file(entry.path()))) {
            copy_file_atomically(entry.path(), to / entry.path().filename());
        }
    }
}

/// A part's weights under the names of diffusers 0.11.1 and transformers 4.26.
[[nodiscard]] inline StateDict weights_for_reference(const ModelPart& part, bool text) {
    StateDict given = part.weights(text ? transformers_weight_names : diffusers_weight_names).tensors;
    StateDict old;
    for (auto& [name, tensor] : given) {
        old.emplace(text ? name : autoencoder_parameter_name(name), std::move(tensor));
    }
    return old;
}

/// Whether a part's files can be copied: its weights are in one file, and have their old names already.
[[nodiscard]] inline bool is_for_reference(const ModelPart& part, const WeightNames& names, const StateDict& old) {
    if (!part.in_folder() || !part.variant().empty() || !taken_variant(part.path(), names).empty() ||
        first_weights(part.path(), names, "").extension() == ".json") {
        return false;
    }
    const StateDict given = load_weights(part.path(), names);
    return ranges::all_of(given, [&](const auto& entry) { return old.contains(entry.first); });
}

} // namespace detail

/// Writes "text_encoder" or "vae" of a model so that diffusers 0.11.1 and transformers 4.26, on which Tune-A-Video
/// runs, load it, whatever release wrote it and wherever it is: config.json, and weights under the names of that time
/// in one file. A folder of that time is copied byte by byte. `to` is an existing folder. Throws Error for what cannot
/// be read.
inline void write_part_for_reference(std::string_view name, const ModelPart& part, const std::filesystem::path& to) {
    const bool text = name == "text_encoder";
    const WeightNames& names = text ? transformers_weight_names : diffusers_weight_names;
    StateDict old = detail::weights_for_reference(part, text);
    const bool same = detail::is_for_reference(part, names, old);
    if (part.in_folder()) {
        detail::copy_part_files(part.path(), to, same);
    } else {
        write_json(to / "config.json", part.config_json());
    }
    if (!same) {
        write_torch_checkpoint(to / (names.torch + ".bin"), tensor_sources(std::move(old)));
    }
}

/// The same of a part's folder, or of a "tokenizer", which gets vocab.json and merges.txt beside a tokenizer.json.
inline void copy_part_for_reference(std::string_view part, const std::filesystem::path& from,
                                    const std::filesystem::path& to) {
    if (part != "tokenizer") {
        write_part_for_reference(part, from, to);
        return;
    }
    detail::copy_part_files(from, to, true);
    const std::filesystem::path one = from / "tokenizer.json";
    if (!std::filesystem::exists(from / "vocab.json") && std::filesystem::exists(one)) {
        (void)write_vocabulary_files(to, text::read_tokenizer_json(one, text::read_clip_tokenizer_config(from)),
                                     one.string());
    }
}

} // namespace reel
