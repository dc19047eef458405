#pragma once
// Parts of a model's folder as the Python Tune-A-Video reads them. Needs reel::io and reel::text.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <reel/io/files/atomic_folder.hpp>
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

/// Copies a part; its weights under `names` in one PyTorch file, unless they are in one file and have their old names
/// already.
inline void copy_weights_part(const std::filesystem::path& from, const std::filesystem::path& to,
                              const WeightNames& names, StateDict (*load)(const std::filesystem::path&)) {
    const StateDict given = load_weights(from, names);
    StateDict old = load(from);
    bool same = first_weights(from, names, "").extension() != ".json" && taken_variant(from, names).empty();
    for (const auto& [name, tensor] : given) {
        same = same && old.contains(name);
    }
    copy_part_files(from, to, same);
    if (!same) {
        write_torch_checkpoint(to / (names.torch + ".bin"), tensor_sources(std::move(old)));
    }
}

} // namespace detail

/// Copies "tokenizer", "text_encoder" or "vae" of a model's folder so that diffusers 0.11.1 and transformers 4.26, on
/// which Tune-A-Video runs, load it, whatever release wrote it: weights under the names of that time in one file, also
/// where they were sharded, a variant or had an adapter attached; vocab.json and merges.txt beside a tokenizer.json.
/// What is of that time already is copied byte by byte. `to` is an existing folder. Throws Error for what cannot be
/// read.
inline void copy_part_for_reference(std::string_view part, const std::filesystem::path& from,
                                    const std::filesystem::path& to) {
    if (part == "tokenizer") {
        detail::copy_part_files(from, to, true);
        const std::filesystem::path one = from / "tokenizer.json";
        if (!std::filesystem::exists(from / "vocab.json") && std::filesystem::exists(one)) {
            (void)write_vocabulary_files(to, text::read_tokenizer_json(one, text::read_clip_tokenizer_config(from)),
                                         one.string());
        }
    } else if (part == "text_encoder") {
        detail::copy_weights_part(from, to, transformers_weight_names, [](const std::filesystem::path& folder) {
            return load_text_encoder_weights(folder);
        });
    } else {
        detail::copy_weights_part(from, to, diffusers_weight_names, [](const std::filesystem::path& folder) {
            StateDict old;
            for (auto& [name, tensor] : load_model_weights(folder, diffusers_weight_names)) {
                old.emplace(autoencoder_parameter_name(name), std::move(tensor));
            }
            return old;
        });
    }
}

} // namespace reel
