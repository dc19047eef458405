#pragma once
// Needs nlohmann-json and utf8proc.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/utf8.hpp>
#include <reel/text/clip_config.hpp>
#include <reel/text/clip_vocabulary.hpp>
#include <reel/text/clip_words.hpp>
#include <reel/text/special_tokens.hpp>
#include <reel/text/tokenizer_json.hpp>
#include <reel/text/unicode.hpp>

namespace reel {

/// A prompt as token ids, and what did not fit.
struct Encoding {
    /// Exactly `max_length` ids: start, the prompt's tokens, end, padding.
    std::vector<std::int32_t> ids;
    /// How many of the ids are not padding.
    std::size_t used = 0;
    /// Whether tokens were cut off; `dropped_text` is their text, to tell the user.
    bool truncated = false;
    std::string dropped_text;
};

/// CLIP's byte-level BPE tokenizer: the ids are those of transformers 4.26.1's CLIPTokenizer with ftfy 6.3.1, or with
/// TextCleaning::transformers5 those of transformers 5.24.0, loaded from a Stable Diffusion folder's `tokenizer`. Const
/// members may be called from several threads at once.
class CLIPTokenizer {
public:
    /// Reads the two files; `config` names the special tokens and the length. Throws Error for files that are
    /// missing or broken, or special tokens that vocab.json lacks.
    template <class = void>
    CLIPTokenizer(const std::filesystem::path& vocab, const std::filesystem::path& merges,
                  CLIPTokenizerConfig config = {})
        : vocabulary_(vocab, merges), config_(std::move(config)) {
        add_roles(vocab.string());
    }

    /// From what a tokenizer.json holds; `where` (the file) starts messages.
    template <class = void>
    CLIPTokenizer(const text::TokenizerJson& file, CLIPTokenizerConfig config, const std::string& where)
        : vocabulary_(file.vocab, file.merges, where), config_(std::move(config)) {
        for (const text::AddedToken& added : file.added) {
            vocabulary_.add(added.token.content, added.id, where);
        }
        add_roles(where);
        for (const text::AddedToken& added : file.added) {
            specials_.add(added);
        }
        for (const std::string& extra : config_.extra_special_tokens) {
            require(std::any_of(file.added.begin(), file.added.end(),
                                [&](const text::AddedToken& added) { return added.token.content == extra; }),
                    where, ": lacks the special token '", extra, "' that tokenizer_config.json names");
        }
    }

    /// Reads a folder with tokenizer_config.json and (optional) special_tokens_map.json, and either vocab.json and
    /// merges.txt or, as transformers 5 writes it, tokenizer.json alone. `max_length` above 0 replaces the folder's.
    /// Throws Error as the constructors, and for settings that are not supported.
    template <class = void>
    static CLIPTokenizer from_pretrained(const std::filesystem::path& folder, std::size_t max_length = 0,
                                         TextCleaning cleaning = TextCleaning::ftfy) {
        require(std::filesystem::is_directory(folder), folder.string(),
                ": no such folder; expected a tokenizer folder");
        CLIPTokenizerConfig config = text::read_clip_tokenizer_config(folder, max_length);
        config.cleaning = cleaning;
        const std::filesystem::path one = folder / "tokenizer.json";
        if (!std::filesystem::exists(folder / "vocab.json") && std::filesystem::exists(one)) {
            const text::TokenizerJson json = text::read_tokenizer_json(one, config);
            return {json, std::move(config), one.string()};
        }
        require(config.extra_special_tokens.empty(), (folder / "tokenizer_config.json").string(),
                ": \"extra_special_tokens\" is not supported without a tokenizer.json that has them");
        return {folder / "vocab.json", folder / "merges.txt", std::move(config)};
    }

    /// The ids of a prompt (UTF-8), exactly max_length() of them; what does not fit is cut off before the end token.
    /// Throws Error if the prompt is not UTF-8, with the byte's offset, or above 1 MiB.
    [[nodiscard]] std::vector<std::int32_t> encode(std::string_view prompt) const {
        return pack(token_ids(prompt)).ids;
    }

    /// The same, and whether and what was cut off.
    [[nodiscard]] Encoding encode_with_details(std::string_view prompt) const { return encode_ids(token_ids(prompt)); }

    /// The same of ids that token_ids() gave.
    [[nodiscard]] Encoding encode_ids(std::span<const std::int32_t> tokens) const {
        Encoding result = pack(tokens);
        if (result.truncated) {
            result.dropped_text = decode(tokens.subspan(config_.max_length - 2));
        }
        return result;
    }

    /// All ids of a prompt, without start, end, padding or a limit. Throws Error if it is not UTF-8 or above 1 MiB.
    [[nodiscard]] std::vector<std::int32_t> token_ids(std::string_view prompt) const {
        constexpr std::size_t limit = std::size_t{1} << 20;
        require(prompt.size() <= limit, "prompt: ", prompt.size(), " bytes, at most ", limit, " are read");
        std::vector<std::int32_t> out;
        const std::u32string decoded = text::decode_utf8(prompt, "prompt");
        for (const text::PromptPiece& piece : specials_.split(decoded, false, config_.cleaning)) {
            if (piece.special != nullptr) {
                piece.special->append_to(out);
            } else {
                encode_plain(piece.content, out);
            }
        }
        return out;
    }

    /// The tokens of a prompt as vocab.json writes them ("cat</w>"), without start, end, padding or a limit.
    [[nodiscard]] std::vector<std::string> tokenize(std::string_view prompt) const {
        std::vector<std::string> out;
        for (const std::int32_t id : token_ids(prompt)) {
            out.push_back(vocabulary_.token(id));
        }
        return out;
    }

    /// The text of ids, special tokens included, with the spaces before punctuation that CLIP's words end in taken
    /// away. Bytes that are no UTF-8 become U+FFFD. Throws Error for an id that is none.
    [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const {
        std::string bytes;
        for (const std::int32_t id : ids) {
            const std::string& token = vocabulary_.token(id);
            if (specials_.is_added(id)) {
                bytes.append(token).append(text::word_end);
            } else {
                append_bytes(token, bytes);
            }
        }
        return text::join_words(bytes);
    }

    /// What a prompt goes through first.
    [[nodiscard]] TextCleaning cleaning() const { return config_.cleaning; }

    /// Whether transformers 5 wrote the folder and would read this prompt otherwise, because it repairs no text: a
    /// program tells its user.
    [[nodiscard]] bool differs_in_transformers5(std::string_view prompt) const {
        if (!config_.by_transformers5 || config_.cleaning == TextCleaning::transformers5) {
            return false;
        }
        CLIPTokenizer other = *this;
        other.config_.cleaning = TextCleaning::transformers5;
        return other.token_ids(prompt) != token_ids(prompt);
    }

    /// Adds a word of textual inversion, which becomes so many ids wherever it stands in a prompt, and returns the
    /// first of them, the next one free. Like `add_tokens` of transformers it is looked for in the cleaned text; its
    /// further ids have the names WORD_1, WORD_2, ..., as in diffusers. Throws Error for a word that is a token
    /// already.
    std::int32_t add_word(const std::string& word, std::int32_t vectors) {
        require(!word.empty() && word.size() <= 256 && vectors >= 1, "the word \"", word.substr(0, 80),
                "\" of an embedding has ", word.size(), " bytes and ", vectors,
                " vectors; expected 1 to 256 bytes and at least one vector");
        const std::int32_t first = vocabulary_.largest_id() + 1;
        for (std::int32_t i = 0; i < vectors; ++i) {
            const std::string name = i == 0 ? word : concat_text(word, "_", i);
            require(!vocabulary_.find(name), "the word \"", name,
                    "\" of an embedding is a token of the model already; give it another, as FILE:WORD");
            vocabulary_.add(name, first + i, "tokenizer");
            specials_.add_word(name, first + i, i == 0 ? vectors : 1);
        }
        return first;
    }

    /// How many ids `encode` gives.
    [[nodiscard]] std::size_t max_length() const { return config_.max_length; }
    [[nodiscard]] std::int32_t bos_id() const { return bos_; }
    [[nodiscard]] std::int32_t eos_id() const { return eos_; }
    [[nodiscard]] std::int32_t pad_id() const { return pad_; }
    [[nodiscard]] const text::CLIPVocabulary& vocabulary() const { return vocabulary_; }

private:
    void add_roles(const std::string& vocab) {
        require(config_.max_length >= 3, "tokenizer: max_length is ", config_.max_length,
                "; expected at least 3 (start, a token, end)");
        bos_ = add_special(config_.bos, vocab);
        eos_ = add_special(config_.eos, vocab);
        unknown_ = add_special(config_.unknown, vocab);
        pad_ = add_special(config_.pad, vocab);
    }

    std::int32_t add_special(const SpecialToken& token, const std::string& vocab) {
        const auto id = vocabulary_.find(token.content);
        require(id.has_value(), vocab, ": lacks the special token '", token.content, "'");
        require(!token.content.empty(), "tokenizer: a special token is empty");
        require(token.content.size() <= 256, vocab, ": a special token of ", token.content.size(),
                " bytes, at most 256 are supported");
        specials_.add_role(token, *id);
        return *id;
    }

    /// Appends the ids of a text without special tokens.
    void encode_plain(std::u32string_view raw, std::vector<std::int32_t>& out) const {
        const std::u32string clean = text::clean_prompt(raw, config_.cleaning);
        for (const text::PromptPiece& piece : specials_.split(clean, true, config_.cleaning)) {
            if (piece.special != nullptr) {
                piece.special->append_to(out);
            } else {
                encode_words(piece.content, out);
            }
        }
    }

    void encode_words(std::u32string_view all, std::vector<std::int32_t>& out) const {
        for (std::size_t at = 0; at < all.size();) {
            const std::size_t length = text::word_length(all, at, config_.cleaning);
            if (length == 0) {
                ++at;
                continue;
            }
            const std::string word = text::encode_utf8(all.substr(at, length));
            if (word != "<|startoftext|>" && word != "<|endoftext|>") {
                vocabulary_.encode_word(word, out);
            } else if (config_.cleaning == TextCleaning::ftfy) {
                out.push_back(vocabulary_.find(word).value_or(unknown_));
            } else { // a word, but no token: only what stands there before small letters are made is one
                vocabulary_.encode_word("<|", out);
                vocabulary_.encode_word(std::string_view(word).substr(2, word.size() - 4), out);
                vocabulary_.encode_word("|>", out);
            }
            at += length;
        }
    }

    Encoding pack(std::span<const std::int32_t> tokens) const {
        Encoding result;
        const std::size_t kept = std::min(tokens.size(), config_.max_length - 2);
        result.ids.reserve(config_.max_length);
        result.ids.push_back(bos_);
        result.ids.insert(result.ids.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(kept));
        result.ids.push_back(eos_);
        result.used = result.ids.size();
        result.ids.resize(config_.max_length, pad_);
        result.truncated = kept < tokens.size();
        return result;
    }

    static void append_bytes(const std::string& token, std::string& bytes) {
        for (const char32_t c : text::decode_utf8(token, "token")) {
            const auto& alphabet = text::byte_alphabet();
            const auto byte = std::find(alphabet.begin(), alphabet.end(), c);
            require(byte != alphabet.end(), "tokenizer: token '", token, "' has a character that stands for no byte");
            bytes.push_back(static_cast<char>(static_cast<unsigned char>(byte - alphabet.begin())));
        }
    }

    text::CLIPVocabulary vocabulary_;
    CLIPTokenizerConfig config_;
    text::SpecialTokens specials_;
    std::int32_t bos_ = 0;
    std::int32_t eos_ = 0;
    std::int32_t unknown_ = 0;
    std::int32_t pad_ = 0;
};

} // namespace reel
