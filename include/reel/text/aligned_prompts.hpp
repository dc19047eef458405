#pragma once
// Which tokens of an edited prompt stand for which of a clip's own. Needs nlohmann-json and utf8proc.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/shape.hpp>
#include <reel/text/clip_tokenizer.hpp>
#include <reel/text/token_alignment.hpp>

namespace reel {

namespace detail {

/// Token numbers of a prompt as the text encoder sees it: the start is 0, the end comes behind the last.
[[nodiscard]] inline std::vector<std::int32_t> seen_tokens(const CLIPTokenizer& tokenizer, std::string_view prompt) {
    std::vector<std::int32_t> ids = tokenizer.token_ids(prompt);
    ids.resize(std::min(ids.size(), tokenizer.max_length() - 2));
    return ids;
}

/// End for end, and padding for padding as far as there is any.
inline void take_end(TokenAlignment& alignment, std::size_t source, std::size_t edited) {
    while (source < alignment.tokens && edited < alignment.tokens) {
        alignment.take(source++, edited++);
    }
}

/// Where words begin among a prompt's tokens, and at the end how many tokens there are.
[[nodiscard]] inline std::vector<std::size_t> word_begins(const CLIPTokenizer& tokenizer,
                                                          const std::vector<std::int32_t>& ids) {
    std::vector<std::size_t> begins{0};
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (tokenizer.vocabulary().token(ids[i]).ends_with("</w>") || i + 1 == ids.size()) {
            begins.push_back(i + 1);
        }
    }
    return begins;
}

} // namespace detail

/// Tokens that both prompts have, in the same order, get their attention from the clip; new ones keep their own. As
/// many as possible are paired: a longest common subsequence. Hertz et al. 2022 (arXiv:2208.01626), "adding a new
/// phrase".
[[nodiscard]] inline TokenAlignment refined_tokens(const CLIPTokenizer& tokenizer, std::string_view source,
                                                   std::string_view edited) {
    const auto a = detail::seen_tokens(tokenizer, source);
    const auto b = detail::seen_tokens(tokenizer, edited);
    // common[i][j]: of what a has from i on and b from j on.
    std::vector<std::vector<std::size_t>> common(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = a.size(); i-- > 0;) {
        for (std::size_t j = b.size(); j-- > 0;) {
            common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
        }
    }
    TokenAlignment alignment(tokenizer.max_length());
    alignment.take(0, 0);
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        if (a[i] == b[j]) {
            alignment.take(++i, ++j);
        } else if (common[i + 1][j] >= common[i][j + 1]) {
            ++i;
        } else {
            ++j;
        }
    }
    detail::take_end(alignment, a.size() + 1, b.size() + 1);
    return alignment;
}

/// The n-th word of the edited prompt gets the attention of the clip's n-th; a word of more tokens than the other's
/// shares it out evenly. Hertz et al. 2022, "word swap". Throws Error unless both have equally many words.
[[nodiscard]] inline TokenAlignment replaced_words(const CLIPTokenizer& tokenizer, std::string_view source,
                                                   std::string_view edited) {
    const auto a = detail::seen_tokens(tokenizer, source);
    const auto b = detail::seen_tokens(tokenizer, edited);
    const auto words = detail::word_begins(tokenizer, a);
    const auto others = detail::word_begins(tokenizer, b);
    require(words.size() == others.size(), "replaced_words: \"", source, "\" has ", words.size() - 1, " words, \"",
            edited, "\" ", others.size() - 1, "; expected as many, one for one (or use refined_tokens)");
    TokenAlignment alignment(tokenizer.max_length());
    alignment.take(0, 0);
    for (std::size_t w = 0; w + 1 < words.size(); ++w) {
        const std::size_t from = words[w + 1] - words[w];
        const std::size_t to = others[w + 1] - others[w];
        for (std::size_t i = 0; i < from; ++i) {
            for (std::size_t j = 0; j < to; ++j) {
                if (from != to || i == j) {
                    alignment.take(1 + words[w] + i, 1 + others[w] + j, from == to ? 1 : 1 / static_cast<float>(to));
                }
            }
        }
    }
    detail::take_end(alignment, a.size() + 1, b.size() + 1);
    return alignment;
}

/// Which tokens of a prompt, the start being 0, are a word or phrase, wherever it stands. Throws Error where it does
/// not.
[[nodiscard]] inline std::vector<index_t> tokens_of_word(const CLIPTokenizer& tokenizer, std::string_view prompt,
                                                         std::string_view word) {
    const auto ids = detail::seen_tokens(tokenizer, prompt);
    const auto wanted = tokenizer.token_ids(word);
    std::vector<index_t> found;
    for (std::size_t i = 0; !wanted.empty() && i + wanted.size() <= ids.size(); ++i) {
        if (std::equal(wanted.begin(), wanted.end(), ids.begin() + static_cast<std::ptrdiff_t>(i))) {
            for (std::size_t k = 0; k < wanted.size(); ++k) {
                found.push_back(static_cast<index_t>(1 + i + k));
            }
        }
    }
    require(!found.empty(), "the word \"", word, "\" is not in \"", prompt, "\"");
    return found;
}

} // namespace reel
