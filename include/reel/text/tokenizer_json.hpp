#pragma once
// Needs nlohmann-json.

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>
#include <reel/io/config/config_reader.hpp>
#include <reel/text/clip_config.hpp>
#include <reel/text/clip_vocabulary.hpp>

namespace reel::text {

/// A token that is found in the text as it stands: of a tokenizer.json's "added_tokens".
struct AddedToken {
    SpecialToken token;
    std::int32_t id = 0;
    bool normalized = false; ///< found in the cleaned text instead
};

/// What a tokenizer.json holds: `vocab` (a JSON object, token to id), the merges in their order, the added tokens.
struct TokenizerJson {
    nlohmann::json vocab;
    std::vector<std::pair<std::string, std::string>> merges;
    std::vector<AddedToken> added;
};

namespace detail {

/// One part of a tokenizer.json as a reader, its "type" checked.
template <class = void>
ConfigReader tokenizer_part(const nlohmann::json& part, const std::string& where, std::string_view type) {
    require(part.is_object() && part.contains("type") && part["type"] == type, where, ": ",
            part.is_object() && part.contains("type") ? "the type " + part["type"].dump() : part.dump().substr(0, 80),
            " is not supported; only a CLIP tokenizer's ", type, " is");
    ConfigReader reader(part, where);
    reader.ignore({"type"});
    return reader;
}

/// The parts of a "Sequence", of which there must be `count`.
template <class = void>
nlohmann::json tokenizer_sequence(const nlohmann::json& part, const char* key, const std::string& where,
                                  std::size_t count) {
    ConfigReader reader = tokenizer_part(part, where, "Sequence");
    const nlohmann::json* list = reader.raw(key);
    require(list != nullptr && list->is_array() && list->size() == count, where, ": expected \"", key, "\", a list of ",
            count, " parts, as a CLIP tokenizer has");
    nlohmann::json parts = *list;
    reader.finish();
    return parts;
}

/// NFC, white space to one space, small letters.
template <class = void>
void check_normalizer(const nlohmann::json& part, const std::string& where) {
    const nlohmann::json parts = tokenizer_sequence(part, "normalizers", where, 3);
    tokenizer_part(parts[0], where + "[0]", "NFC").finish();
    ConfigReader spaces = tokenizer_part(parts[1], where + "[1]", "Replace");
    spaces.expect("pattern", {{"Regex", R"(\s+)"}});
    spaces.expect("content", " ");
    spaces.finish();
    tokenizer_part(parts[2], where + "[2]", "Lowercase").finish();
}

/// CLIP's words, then their bytes.
template <class = void>
void check_pre_tokenizer(const nlohmann::json& part, const std::string& where) {
    const nlohmann::json parts = tokenizer_sequence(part, "pretokenizers", where, 2);
    ConfigReader split = tokenizer_part(parts[0], where + "[0]", "Split");
    const std::string words = R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
    const nlohmann::json* pattern = split.raw("pattern"); // that of transformers 5 begins with the special tokens
    const std::string later = R"(<\|startoftext\|>|<\|endoftext\|>|)" + words;
    require(pattern != nullptr &&
                (*pattern == nlohmann::json{{"Regex", words}} || *pattern == nlohmann::json{{"Regex", later}}),
            where, "[0]: \"pattern\" is ", pattern == nullptr ? "missing" : pattern->dump().substr(0, 120),
            ", but only CLIP's words are supported");
    split.expect("behavior", "Removed");
    split.expect("invert", true);
    split.finish();
    ConfigReader bytes = tokenizer_part(parts[1], where + "[1]", "ByteLevel");
    bytes.expect("add_prefix_space", false);
    bytes.expect("use_regex", true); // cuts nothing that the words are not cut at
    bytes.ignore({"trim_offsets"});
    bytes.finish();
}

/// Start and end around the prompt.
template <class = void>
void check_post_processor(const nlohmann::json& part, const CLIPTokenizerConfig& config, const std::string& where) {
    ConfigReader reader = tokenizer_part(part, where, "RobertaProcessing");
    for (const auto& [key, token] : {std::pair("cls", &config.bos), std::pair("sep", &config.eos)}) {
        const nlohmann::json* value = reader.raw(key);
        require(value != nullptr && value->is_array() && !value->empty() && (*value)[0] == token->content, where,
                ": \"", key, "\" is ", value == nullptr ? "missing" : value->dump(),
                ", but tokenizer_config.json says ", nlohmann::json(token->content).dump());
    }
    reader.expect("add_prefix_space", false);
    reader.ignore({"trim_offsets"});
    reader.finish();
}

/// What a file says of cutting or padding holds for whoever gives no length; its direction alone matters.
inline void check_direction(ConfigReader& reader, const std::string& key, const std::string& where) {
    const nlohmann::json* value = reader.raw(key);
    require(value == nullptr || value->is_null() ||
                (value->is_object() && value->contains("direction") && (*value)["direction"] == "Right"),
            where, ": \"", key, "\" is ", value == nullptr ? "" : value->dump().substr(0, 120),
            ", but only the direction \"Right\" is supported");
}

template <class = void>
AddedToken read_added_token(const nlohmann::json& entry, const std::string& where) {
    ConfigReader reader(entry, where);
    AddedToken added;
    added.token.content = reader.require<std::string>("content");
    added.id = reader.require<std::int32_t>("id");
    added.token.strip_left = reader.get<bool>("lstrip", false);
    added.token.strip_right = reader.get<bool>("rstrip", false);
    added.normalized = reader.get<bool>("normalized", false);
    reader.expect("single_word", false);
    reader.ignore({"special"});
    reader.finish();
    require(!added.token.content.empty() && added.token.content.size() <= 256 && added.id >= 0, where,
            ": expected a \"content\" of at most 256 bytes and an \"id\" from 0 on");
    return added;
}

/// Merges as pairs, or as older releases write them, as texts with a space between.
template <class = void>
std::vector<std::pair<std::string, std::string>> read_merge_list(const nlohmann::json* merges,
                                                                 const std::string& where) {
    require(merges != nullptr && merges->is_array(), where, ": expected \"merges\", a list");
    std::vector<std::pair<std::string, std::string>> pairs;
    pairs.reserve(merges->size());
    for (const nlohmann::json& merge : *merges) {
        if (merge.is_string()) {
            const auto& text = merge.get_ref<const std::string&>();
            const std::size_t space = text.find(' ');
            require(space != text.npos && text.find(' ', space + 1) == text.npos, where, ": the merge ", merge.dump(),
                    " is not two tokens with one space between them");
            pairs.emplace_back(text.substr(0, space), text.substr(space + 1));
        } else {
            require(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(), where,
                    ": the merge ", merge.dump().substr(0, 80), " is not two tokens");
            pairs.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        }
    }
    return pairs;
}

} // namespace detail

/// Reads a tokenizer.json, the one file in which transformers 5 writes a CLIP tokenizer (and the tokenizers package any
/// other). `config` is what tokenizer_config.json says. Throws Error, naming the part, for everything that is not
/// CLIP's: another model than BPE, other normalizers, words, post-processors, dropout, tokens that are whole words
/// only.
template <class = void>
TokenizerJson read_tokenizer_json(const std::filesystem::path& path, const CLIPTokenizerConfig& config) {
    const std::string where = path.string();
    TokenizerJson result;
    nlohmann::json file = read_json_object(path);
    if (file.contains("model") && file["model"].is_object() && file["model"].contains("vocab")) {
        result.vocab = std::exchange(file["model"]["vocab"], nlohmann::json()); // large: not to be copied
    }
    require(result.vocab.is_object(), where, ": model: expected \"vocab\", an object");
    ConfigReader reader(std::move(file), where);
    reader.expect("version", "1.0");
    detail::check_direction(reader, "truncation", where);
    detail::check_direction(reader, "padding", where);
    reader.ignore({"decoder"}); // decode() has CLIP's
    const auto part = [&](const char* key) {
        const nlohmann::json* value = reader.raw(key);
        require(value != nullptr, where, ": \"", key, "\" is missing");
        return *value;
    };
    detail::check_normalizer(part("normalizer"), where + ": normalizer");
    detail::check_pre_tokenizer(part("pre_tokenizer"), where + ": pre_tokenizer");
    detail::check_post_processor(part("post_processor"), config, where + ": post_processor");
    const nlohmann::json added = part("added_tokens");
    require(added.is_array() && added.size() <= 1024, where, ": \"added_tokens\" is no list of at most 1024 tokens");
    for (const nlohmann::json& entry : added) {
        result.added.push_back(
            detail::read_added_token(entry, concat_text(where, ": added_tokens[", result.added.size(), "]")));
    }
    ConfigReader model = detail::tokenizer_part(part("model"), where + ": model", "BPE");
    model.ignore({"vocab", "unk_token"}); // every byte is in the vocabulary
    model.expect("end_of_word_suffix", word_end);
    for (const char* key : {"fuse_unk", "byte_fallback", "ignore_merges"}) {
        model.expect(key, false);
    }
    const auto nothing = [&](const char* key, const nlohmann::json& same) {
        const nlohmann::json* value = model.raw(key);
        require(value == nullptr || value->is_null() || *value == same, where, ": model: \"", key, "\" is ",
                value == nullptr ? "" : value->dump().substr(0, 80), ", which is not supported");
    };
    nothing("dropout", 0.0);
    nothing("continuing_subword_prefix", "");
    result.merges = detail::read_merge_list(model.raw("merges"), where + ": model");
    model.finish();
    reader.finish();
    return result;
}

} // namespace reel::text
