#pragma once
// A CLIP tokenizer folder with every byte and the words of one sentence: enough to try a program, not a language.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/io/atomic_file.hpp>
#include <reel/io/json.hpp>
#include <reel/text/clip_vocabulary.hpp>

namespace demo {

/// The tokens of a vocabulary in the order of their ids, and the merges that lead from bytes to words.
struct SmallVocabulary {
    std::vector<std::string> tokens;
    std::vector<std::string> merges;
};

/// Every byte alone and at a word's end, then what merging the words' letters from left to right gives.
inline SmallVocabulary small_vocabulary(const std::vector<std::string>& words) {
    SmallVocabulary made;
    for (const bool at_end : {false, true}) {
        for (const char32_t character : reel::text::byte_alphabet()) {
            std::string token;
            reel::text::append_utf8(token, character);
            made.tokens.push_back(at_end ? token.append(reel::text::word_end) : token);
        }
    }
    for (const std::string& word : words) {
        std::string left = word.substr(0, 1);
        for (std::size_t i = 1; i < word.size(); ++i) {
            std::string right = word.substr(i, 1);
            if (i + 1 == word.size()) {
                right += reel::text::word_end;
            }
            const std::string merge = left + " " + right;
            left += right;
            if (std::find(made.merges.begin(), made.merges.end(), merge) == made.merges.end()) {
                made.merges.push_back(merge);
                made.tokens.push_back(left);
            }
        }
    }
    return made;
}

/// How many ids a text encoder needs for small_vocabulary() with its two special tokens.
inline std::int64_t vocabulary_size(const SmallVocabulary& vocabulary) {
    return static_cast<std::int64_t>(vocabulary.tokens.size()) + 2;
}

/// Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json. Start and end of text get the
/// last two of `ids` ids, as in CLIP, so that the folder also fits a text encoder with more ids than tokens.
inline void write_tokenizer(const std::filesystem::path& folder, const SmallVocabulary& vocabulary, std::int64_t ids) {
    const std::string start = "<|startoftext|>";
    const std::string end = "<|endoftext|>";
    reel::make_output_folder(folder);
    nlohmann::ordered_json vocab;
    for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
        vocab[vocabulary.tokens[i]] = i;
    }
    vocab[start] = ids - 2;
    vocab[end] = ids - 1;
    reel::write_file(folder / "vocab.json", reel::json_text(vocab, "vocab.json"));
    std::string merges = "#version: 0.2\n";
    for (const std::string& merge : vocabulary.merges) {
        merges += merge + "\n";
    }
    reel::write_file(folder / "merges.txt", merges);

    const auto token = [](const std::string& content) {
        return nlohmann::json{
            {"content", content}, {"lstrip", false}, {"normalized", true}, {"rstrip", false}, {"single_word", false}};
    };
    nlohmann::json special = {
        {"bos_token", token(start)}, {"eos_token", token(end)}, {"unk_token", token(end)}, {"pad_token", end}};
    reel::write_json(folder / "special_tokens_map.json", special);
    for (const char* role : {"bos_token", "eos_token", "unk_token"}) {
        special[role]["__type"] = "AddedToken";
    }
    special.update({{"add_prefix_space", false},
                    {"do_lower_case", true},
                    {"errors", "replace"},
                    {"model_max_length", 77},
                    {"tokenizer_class", "CLIPTokenizer"}});
    reel::write_json(folder / "tokenizer_config.json", special);
}

} // namespace demo
