#pragma once
// Needs utf8proc and nlohmann-json.

#include <cstddef>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/text/bpe_learning.hpp>
#include <reel/text/tokenizer_json.hpp>

namespace reel {

/// Writes special_tokens_map.json and tokenizer_config.json of a CLIP tokenizer: "<|startoftext|>", "<|endoftext|>" and
/// the token that pads prompts.
inline void write_tokenizer_settings(const std::filesystem::path& folder, std::size_t model_max_length,
                                     const std::string& pad) {
    const std::string start = "<|startoftext|>";
    const std::string end = "<|endoftext|>";
    const auto token = [](const std::string& content) {
        return nlohmann::json{
            {"content", content}, {"lstrip", false}, {"normalized", true}, {"rstrip", false}, {"single_word", false}};
    };
    nlohmann::json special = {
        {"bos_token", token(start)}, {"eos_token", token(end)}, {"unk_token", token(end)}, {"pad_token", pad}};
    write_json(folder / "special_tokens_map.json", special);
    for (const char* role : {"bos_token", "eos_token", "unk_token"}) {
        special[role]["__type"] = "AddedToken"; // transformers 4 tells objects from dictionaries by it
    }
    special.update({{"add_prefix_space", false},
                    {"do_lower_case", true},
                    {"errors", "replace"},
                    {"model_max_length", model_max_length},
                    {"tokenizer_class", "CLIPTokenizer"}});
    write_json(folder / "tokenizer_config.json", special);
}

/// Writes a tokenizer folder as Stable Diffusion has it: vocab.json, merges.txt, tokenizer_config.json and
/// special_tokens_map.json. CLIPTokenizer::from_pretrained and transformers' CLIPTokenizer read it; a prompt becomes
/// `model_max_length` ids, padded with "<|endoftext|>".
///
/// `vocab_size` above 0 is that of a text encoder with more ids than the vocabulary has: start and end of text get its
/// last two, as in CLIP, and the ids before them stay unused. Throws Error for a length outside 3 to 65536, a
/// `vocab_size` that is too small, and files that cannot be written.
inline void write_tokenizer(const std::filesystem::path& folder, const LearnedVocabulary& vocabulary,
                            std::size_t model_max_length, std::size_t vocab_size = 0) {
    require(model_max_length >= 3 && model_max_length <= 65536, "write_tokenizer: model_max_length is ",
            model_max_length, "; expected 3 (start, a token, end) to 65536");
    const std::size_t ids = vocab_size > 0 ? vocab_size : vocabulary.size();
    require(ids >= vocabulary.size(), "write_tokenizer: vocab_size is ", vocab_size, ", but the vocabulary has ",
            vocabulary.size(), " tokens; expected 0 or at least as many");
    const std::string start = "<|startoftext|>";
    const std::string end = "<|endoftext|>";
    make_output_folder(folder);

    nlohmann::ordered_json vocab = nlohmann::ordered_json::object();
    auto& entries = vocab.get_ref<nlohmann::ordered_json::object_t&>();
    for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
        // The object's operator[] looks through all keys, which takes long for many.
        entries.push_back({vocabulary.tokens[i], i});
    }
    entries.push_back({start, ids - 2});
    entries.push_back({end, ids - 1});
    write_file(folder / "vocab.json", json_text(vocab, "vocab.json"));
    std::string merges = "#version: 0.2\n";
    for (const auto& [left, right] : vocabulary.merges) {
        merges.append(left).append(" ").append(right).append("\n");
    }
    write_file(folder / "merges.txt", merges);

    write_tokenizer_settings(folder, model_max_length, end);
}

/// Writes vocab.json and merges.txt, which transformers 4's CLIPTokenizer reads, of what a tokenizer.json holds, and
/// returns true; writes nothing and returns false where it has added tokens outside its vocabulary, which the two files
/// cannot say. `where` (that file) starts messages.
inline bool write_vocabulary_files(const std::filesystem::path& folder, const text::TokenizerJson& json,
                                   const std::string& where) {
    for (const text::AddedToken& added : json.added) {
        if (!json.vocab.contains(added.token.content)) {
            return false;
        }
    }
    write_file(folder / "vocab.json", json_text(json.vocab, where));
    std::string merges = "#version: 0.2\n";
    for (const auto& [left, right] : json.merges) {
        merges.append(left).append(" ").append(right).append("\n");
    }
    write_file(folder / "merges.txt", merges);
    return true;
}

} // namespace reel
