#pragma once
// The tokens that stand in a prompt literally, and how a prompt is cut at them: part of clip_tokenizer.hpp. Needs
// nlohmann-json and utf8proc.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/utf8.hpp>
#include <reel/text/clip_config.hpp>
#include <reel/text/clip_words.hpp>
#include <reel/text/tokenizer_json.hpp>
#include <reel/text/unicode.hpp>

namespace reel::text {

/// A token that is looked for as it is written.
struct LiteralToken {
    std::u32string content;
    bool strip_left = false;
    bool strip_right = false;
    bool is_plain = false; ///< a string in the folder's files, with nothing said of it
    std::int32_t id = 0;
    bool normalized = false;  ///< found in the cleaned text
    bool has_role = false;    ///< start, end, unknown or padding
    std::int32_t vectors = 1; ///< ids that it becomes, from `id` on

    void append_to(std::vector<std::int32_t>& ids) const {
        for (std::int32_t i = 0; i < vectors; ++i) {
            ids.push_back(id + i);
        }
    }
};

/// A part of a prompt: text, or a token.
struct PromptPiece {
    std::u32string_view content;
    const LiteralToken* special; ///< null for text
};

/// A tokenizer's special tokens, its added ones and the words of textual inversion.
class SpecialTokens {
public:
    /// The start, end, unknown or padding token.
    void add_role(const SpecialToken& token, std::int32_t id) {
        LiteralToken entry{.content = decode_utf8(token.content, "special token"),
                           .strip_left = token.strip_left,
                           .strip_right = token.strip_right,
                           .is_plain = token.is_plain,
                           .id = id,
                           .has_role = true};
        const auto known = std::find_if(tokens_.begin(), tokens_.end(),
                                        [&](const LiteralToken& other) { return other.content == entry.content; });
        if (known == tokens_.end()) {
            tokens_.push_back(std::move(entry));
        } else if (known->is_plain) {
            // One text in several roles: the first that says what to strip decides.
            *known = std::move(entry);
        }
    }

    /// A token of a tokenizer.json: a further one, or what is to be said of one with a role.
    void add(const AddedToken& added) {
        LiteralToken entry{.content = decode_utf8(added.token.content, "added token"),
                           .strip_left = added.token.strip_left,
                           .strip_right = added.token.strip_right,
                           .id = added.id,
                           .normalized = added.normalized};
        for (LiteralToken& token : tokens_) {
            if (token.has_role && token.content == entry.content) {
                entry.has_role = true;
                token = std::move(entry);
                return;
            }
        }
        if (entry.normalized) {
            entry.content = clean_prompt(entry.content, TextCleaning::transformers5);
        }
        tokens_.push_back(std::move(entry));
    }

    /// A word of textual inversion, looked for in the cleaned text.
    void add_word(std::string_view word, std::int32_t id, std::int32_t vectors) {
        const std::u32string content = decode_utf8(word, "the word of an embedding");
        tokens_.push_back({.content = clean_prompt(content, TextCleaning::transformers5),
                           .id = id,
                           .normalized = true,
                           .vectors = vectors});
    }

    /// Whether a token is written as it is, not in the byte alphabet.
    [[nodiscard]] bool is_added(std::int32_t id) const {
        return std::any_of(tokens_.begin(), tokens_.end(),
                           [id](const LiteralToken& token) { return token.id == id && !token.has_role; });
    }

    /// Cuts a prompt, or a cleaned one (`clean`), at the tokens that stand in it. The pieces are views into `all`.
    [[nodiscard]] std::vector<PromptPiece> split(std::u32string_view all, bool clean, TextCleaning cleaning) const {
        std::vector<PromptPiece> pieces;
        std::size_t begin = 0;
        for (std::size_t at = 0; at < all.size();) {
            const LiteralToken* token = token_at(all, at, clean, cleaning);
            if (token == nullptr) {
                ++at;
                continue;
            }
            if (at > begin) {
                pieces.push_back({all.substr(begin, at - begin), nullptr});
            }
            pieces.push_back({all.substr(at, token->content.size()), token});
            at += token->content.size();
            begin = at;
        }
        if (begin < all.size()) {
            pieces.push_back({all.substr(begin), nullptr});
        }
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            const LiteralToken* token = pieces[i].special;
            // That a token given as a string takes the space around it with it is transformers 4's own.
            if (token != nullptr && !(token->is_plain && cleaning == TextCleaning::transformers5)) {
                if (token->strip_right && i + 1 < pieces.size()) {
                    pieces[i + 1].content = strip(pieces[i + 1].content, true, false);
                }
                if (token->strip_left && i > 0) {
                    pieces[i - 1].content = strip(pieces[i - 1].content, false, true);
                }
            }
        }
        return pieces;
    }

private:
    /// Whether a token is looked for in the cleaned text and not in the prompt itself. With ftfy's cleaning those with
    /// a role are looked for in the prompt, whatever a file says, as transformers 4 does.
    [[nodiscard]] static bool is_in_clean_text(const LiteralToken& token, TextCleaning cleaning) {
        return token.normalized && !(token.has_role && cleaning == TextCleaning::ftfy);
    }

    [[nodiscard]] const LiteralToken* token_at(std::u32string_view prompt, std::size_t at, bool clean,
                                               TextCleaning cleaning) const {
        const LiteralToken* longest = nullptr;
        for (const LiteralToken& token : tokens_) {
            const bool here =
                is_in_clean_text(token, cleaning) == clean && prompt.substr(at, token.content.size()) == token.content;
            if (here && (longest == nullptr || token.content.size() > longest->content.size())) {
                longest = &token;
            }
        }
        return longest;
    }

    std::vector<LiteralToken> tokens_;
};

} // namespace reel::text
