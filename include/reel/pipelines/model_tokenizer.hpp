#pragma once
// A model's tokenizer, from whatever holds one. Needs reel::io and reel::text.

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <reel/io/files/hub_cache.hpp>
#include <reel/pipelines/reference_folder.hpp>
#include <reel/text/clip_tokenizer.hpp>
#include <reel/text/open_clip_vocabulary.hpp>
#include <reel/text/tokenizer_writer.hpp>

namespace reel {

namespace detail {

/// What a tokenizer's folder would say beside its tokens: Stable Diffusion 2 (`second`) pads with "!".
[[nodiscard]] inline CLIPTokenizerConfig usual_tokenizer_config(bool second) {
    CLIPTokenizerConfig config;
    config.pad = second ? SpecialToken::plain("!") : config.pad;
    return config;
}

[[nodiscard]] inline bool exists_quietly(const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

/// The folder that a path means: itself, the tokenizer/ in it, or the one around its vocab.json.
[[nodiscard]] inline std::filesystem::path tokenizer_place(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) {
        require(exists_quietly(path), path.string(), ": no such file or folder; expected a tokenizer");
        return path.filename() == "vocab.json" || path.filename() == "merges.txt" ? path.parent_path() : path;
    }
    const auto has = [&](const char* file) { return exists_quietly(path / file); };
    const bool itself = has("vocab.json") || has("tokenizer.json") || has("merges.txt");
    return !itself && std::filesystem::is_directory(path / "tokenizer", ignored) ? path / "tokenizer" : path;
}

} // namespace detail

/// Reads a tokenizer: a folder with vocab.json and merges.txt or a tokenizer.json (or a model with such a tokenizer/),
/// one of those files, or CLIP's bpe_simple_vocab_16e6.txt(.gz). Where no tokenizer_config.json is beside it, prompts
/// are 77 ids, padded as in Stable Diffusion 1 or 2 (`second`). Throws Error as CLIPTokenizer.
template <class = void>
[[nodiscard]] CLIPTokenizer read_model_tokenizer(const std::filesystem::path& path, bool second,
                                                 TextCleaning cleaning) {
    const std::filesystem::path place = detail::tokenizer_place(path);
    std::error_code ignored;
    const bool folder = std::filesystem::is_directory(place, ignored);
    const std::filesystem::path settings = folder ? place : place.parent_path();
    const bool one = !folder && place.extension() == ".json";
    CLIPTokenizerConfig config = detail::usual_tokenizer_config(second);
    if (detail::exists_quietly(settings / "tokenizer_config.json") && (folder || one)) {
        if (folder) {
            return CLIPTokenizer::from_pretrained(place, 0, cleaning);
        }
        config = text::read_clip_tokenizer_config(settings);
    }
    config.cleaning = cleaning;
    if (one || (folder && !detail::exists_quietly(place / "vocab.json"))) {
        const std::filesystem::path file = folder ? place / "tokenizer.json" : place;
        require(detail::exists_quietly(file), place.string(),
                ": no tokenizer is in it; expected vocab.json and merges.txt, or tokenizer.json");
        const text::TokenizerJson json = text::read_tokenizer_json(file, config);
        return {json, std::move(config), file.string()};
    }
    if (folder) {
        return {place / "vocab.json", place / "merges.txt", std::move(config)};
    }
    return {as_tokenizer_json(read_open_clip_vocabulary(place)), std::move(config), place.string()};
}

/// Writes such a tokenizer as tokenizer/ of a model's folder, which exists. Throws Error.
inline void write_model_tokenizer(const std::filesystem::path& path, bool second, const std::filesystem::path& folder) {
    const std::filesystem::path place = detail::tokenizer_place(path);
    std::error_code ignored;
    if (std::filesystem::is_directory(place, ignored) && detail::exists_quietly(place / "tokenizer_config.json")) {
        copy_part_for_reference("tokenizer", place, folder);
        return;
    }
    const CLIPTokenizerConfig config = detail::usual_tokenizer_config(second);
    if (std::filesystem::is_directory(place, ignored)) {
        detail::copy_part_files(place, folder, true);
    } else if (place.extension() == ".json") {
        require(write_vocabulary_files(folder, text::read_tokenizer_json(place, config), place.string()),
                place.string(), ": its added tokens cannot be saved in vocab.json");
    } else {
        write_tokenizer(folder, read_open_clip_vocabulary(place), config.max_length);
    }
    write_tokenizer_settings(folder, config.max_length, config.pad.content);
}

} // namespace reel
