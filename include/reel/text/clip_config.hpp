#pragma once
// Needs nlohmann-json.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>
#include <reel/text/clip_vocabulary.hpp>
#include <reel/text/clip_words.hpp>

namespace reel {

/// A token that is not made of text: where a prompt has it literally, it is kept whole and becomes its id.
/// `strip_left` and `strip_right` say whether white space before and after it goes; `is_plain`, that this is only
/// the default of a token given as a string, which the same token in another role may overrule.
struct SpecialToken {
    std::string content;
    bool strip_left = false;
    bool strip_right = false;
    bool is_plain = false;

    /// A token given as a string.
    static SpecialToken plain(std::string content) { return {std::move(content), true, true, true}; }
};

/// What a tokenizer folder says besides its tokens. The defaults are Stable Diffusion 1's.
struct CLIPTokenizerConfig {
    SpecialToken bos{"<|startoftext|>"};
    SpecialToken eos{"<|endoftext|>"};
    SpecialToken unknown{"<|endoftext|>"};
    SpecialToken pad = SpecialToken::plain("<|endoftext|>");
    /// How many ids a prompt becomes, the first and last special ones included.
    std::size_t max_length = 77;
    /// What a prompt goes through first.
    TextCleaning cleaning = TextCleaning::ftfy;
    /// Whether transformers 5 wrote the folder, which cleans otherwise.
    bool by_transformers5 = false;
    /// Further special tokens, which a tokenizer.json must have among its added ones.
    std::vector<std::string> extra_special_tokens{};
};

namespace text {

namespace detail {

/// A special token in JSON: a string or an object with "content", "lstrip", "rstrip".
template <class = void>
SpecialToken parse_special_token(const nlohmann::json& json, bool strips_as_string, const std::string& where) {
    if (json.is_string()) {
        return strips_as_string ? SpecialToken::plain(json.get<std::string>()) : SpecialToken{json.get<std::string>()};
    }
    require(json.is_object() && json.contains("content") && json["content"].is_string(), where,
            ": expected a string or an object with a string \"content\", found ", json.dump());
    const auto flag = [&](const char* key) {
        if (!json.contains(key)) {
            return false;
        }
        require(json[key].is_boolean(), where, ": \"", key, "\" must be true or false, found ", json[key].dump());
        return json[key].get<bool>();
    };
    return {json["content"].get<std::string>(), flag("lstrip"), flag("rstrip")};
}

/// Sets what `key` names, if it names one of the four special tokens.
template <class = void>
bool read_special_token(CLIPTokenizerConfig& config, const std::string& key, const nlohmann::json& value, bool is_map,
                        const std::string& where) {
    // In special_tokens_map.json a plain string strips white space around the token. In tokenizer_config.json
    // only the padding token's does: the reference wraps the others.
    if (key == "pad_token") {
        config.pad = parse_special_token(value, true, where);
    } else if (key == "bos_token") {
        config.bos = parse_special_token(value, is_map, where);
    } else if (key == "eos_token") {
        config.eos = parse_special_token(value, is_map, where);
    } else if (key == "unk_token") {
        config.unknown = parse_special_token(value, is_map, where);
    } else {
        return false;
    }
    return true;
}

inline bool is_nothing(const nlohmann::json& value) {
    return value.is_null() || value == false || value == "" ||
           ((value.is_object() || value.is_array()) && value.empty());
}

/// Applies one key of tokenizer_config.json that is no special token.
template <class = void>
void read_setting(CLIPTokenizerConfig& config, const std::string& key, const nlohmann::json& value, bool with_length,
                  const std::string& where) {
    // These do not change what CLIP's tokenizer makes of a text.
    constexpr std::array ignored = {"add_prefix_space",
                                    "added_tokens_decoder",
                                    "auto_map",
                                    "clean_up_tokenization_spaces",
                                    "do_lower_case",
                                    "init_inputs",
                                    "is_local",
                                    "local_files_only",
                                    "max_length",
                                    "name_or_path",
                                    "pad_to_multiple_of",
                                    "pad_token_type_id",
                                    "processor_class",
                                    "special_tokens_map_file",
                                    "stride",
                                    "tokenizer_file",
                                    "truncation_strategy",
                                    "trust_remote_code",
                                    "use_fast"};
    struct Only {
        std::string_view key;
        std::array<std::string_view, 2> values;
    };
    constexpr std::array only = {Only{"tokenizer_class", {"CLIPTokenizer", "CLIPTokenizerFast"}},
                                 Only{"errors", {"replace", "replace"}}, Only{"padding_side", {"right", "right"}},
                                 Only{"truncation_side", {"right", "right"}}};
    for (const Only& rule : only) {
        if (key == rule.key) {
            const std::string text = value.is_string() ? value.get<std::string>() : std::string();
            require(text == rule.values[0] || text == rule.values[1], where, " is ", value.dump(),
                    "; supported is only \"", rule.values[0], "\"");
            return;
        }
    }
    if (key == "extra_special_tokens" && value.is_array()) {
        for (const nlohmann::json& token : value) {
            require(token.is_string(), where, " has ", token.dump(), "; expected strings");
            config.extra_special_tokens.push_back(token.get<std::string>());
        }
        return;
    }
    if (key == "backend") { // of transformers 5
        require(value == "tokenizers", where, " is ", value.dump(), "; supported is only \"tokenizers\"");
        config.by_transformers5 = true;
        return;
    }
    if (key == "model_max_length") {
        if (with_length) {
            require(value.is_number_integer() && value.get<std::int64_t>() >= 3 && value.get<std::int64_t>() <= 65536,
                    where, " is ", value.dump(), "; expected a whole number from 3 to 65536 (77 for Stable Diffusion)");
            config.max_length = value.get<std::size_t>();
        }
        return;
    }
    bool known = is_nothing(value);
    for (const std::string_view name : ignored) {
        known = known || key == name;
    }
    require(known, where, " is not supported (value ", value.dump(), ")");
}

} // namespace detail

/// Reads tokenizer_config.json and, where it exists, special_tokens_map.json, which has the last word on
/// special tokens. `max_length` above 0 replaces "model_max_length". Throws Error for a missing
/// tokenizer_config.json, a missing length, and keys or values that are not supported.
template <class = void>
CLIPTokenizerConfig read_clip_tokenizer_config(const std::filesystem::path& folder, std::size_t max_length = 0) {
    CLIPTokenizerConfig config;
    const auto path = folder / "tokenizer_config.json";
    const nlohmann::json settings = read_json_object(path);
    require(
        max_length > 0 || settings.contains("model_max_length"), path.string(),
        ": no \"model_max_length\"; expected the number of positions of the text encoder (77 for Stable Diffusion)");
    for (const auto& [key, value] : settings.items()) {
        const std::string where = path.string() + ": \"" + key + "\"";
        if (!detail::read_special_token(config, key, value, false, where)) {
            detail::read_setting(config, key, value, max_length == 0, where);
        }
    }
    const auto map_path = folder / "special_tokens_map.json";
    if (std::filesystem::exists(map_path)) {
        const nlohmann::json map = read_json_object(map_path);
        for (const auto& [key, value] : map.items()) {
            const std::string where = map_path.string() + ": \"" + key + "\"";
            const bool read = detail::read_special_token(config, key, value, true, where);
            require(read || detail::is_nothing(value), where, " is not supported (value ", value.dump(), ")");
        }
    }
    if (max_length > 0) {
        config.max_length = max_length;
    }
    const auto added = folder / "added_tokens.json";
    if (std::filesystem::exists(added)) {
        require(read_json_object(added).empty(), added.string(), ": added tokens are not supported");
    }
    return config;
}

} // namespace text
} // namespace reel
