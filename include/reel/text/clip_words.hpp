#pragma once
// Needs utf8proc.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <reel/core/utf8.hpp>
#include <reel/text/clip_vocabulary.hpp>
#include <reel/text/fix_text.hpp>
#include <reel/text/text_cleaning.hpp>
#include <reel/text/unicode.hpp>

/// From a prompt to the words that BPE takes apart, and back.
namespace reel::text {

/// A prompt as CLIP reads it: repaired (fix_text), or with TextCleaning::transformers5 in NFC alone; white space one
/// space, small letters.
inline std::u32string clean_prompt(std::u32string_view prompt, TextCleaning cleaning = TextCleaning::ftfy) {
    const std::u32string fixed = cleaning == TextCleaning::ftfy ? fix_text(prompt) : normalize(prompt);
    std::u32string out;
    out.reserve(fixed.size());
    for (const char32_t c : fixed) {
        if (!is_white_space(c)) {
            out.push_back(c);
        } else if (out.empty() || out.back() != U' ') {
            out.push_back(U' ');
        }
    }
    return cleaning == TextCleaning::ftfy ? lower(strip(out)) : lower_each(out);
}

namespace detail {

/// Whether `word` stands in a cleaned text at `at`, case ignored. After `lower` the only letter left whose case
/// folds to one of ASCII is the long s.
inline bool word_stands_at(std::u32string_view text, std::size_t at, std::u32string_view word) {
    if (at + word.size() > text.size()) {
        return false;
    }
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (text[at + i] != word[i] && !(text[at + i] == 0x17f && word[i] == U's')) {
            return false;
        }
    }
    return true;
}

inline void replace_all(std::string& in, std::string_view from, std::string_view to) {
    std::string out;
    std::size_t at = 0;
    for (std::size_t found = in.find(from); found != in.npos; found = in.find(from, at)) {
        out.append(in, at, found - at).append(to);
        at = found + from.size();
    }
    in = out.append(in, at);
}

} // namespace detail

/// The length of the word that starts at `at` in a cleaned prompt: a special token, the end of a contraction,
/// letters, one digit, or a run of anything else but white space; 0 where none starts.
inline std::size_t word_length(std::u32string_view text, std::size_t at, TextCleaning cleaning = TextCleaning::ftfy) {
    const bool old = cleaning == TextCleaning::ftfy; // whose pattern ignores case
    constexpr std::u32string_view wholes[] = {
        U"<|startoftext|>", U"<|endoftext|>", U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};
    if (text[at] == U'<' || text[at] == U'\'') {
        for (const std::u32string_view whole : wholes) {
            if (old ? detail::word_stands_at(text, at, whole) : text.substr(at).starts_with(whole)) {
                return whole.size();
            }
        }
    }
    if (is_number(text[at])) {
        return 1;
    }
    // U+0345 is a mark that folds to a letter: under the old pattern it is neither.
    const auto is_other = [old](char32_t c) {
        return !is_white_space(c) && !is_letter(c) && !is_number(c) && !(old && c == 0x345);
    };
    const bool letters = is_letter(text[at]);
    std::size_t end = at;
    while (end < text.size() && (letters ? is_letter(text[end]) : is_other(text[end]))) {
        ++end;
    }
    return end - at;
}

/// The text of tokens' joined bytes: word ends become spaces, but for the ones before punctuation and the ends of
/// contractions. Bytes that are no UTF-8 become U+FFFD.
inline std::string join_words(std::string_view bytes) {
    std::string out = encode_utf8(decode_utf8_lossy(bytes));
    detail::replace_all(out, word_end, " ");
    out = encode_utf8(strip(decode_utf8(out)));
    constexpr std::pair<std::string_view, std::string_view> joints[] = {
        {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
        {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : joints) {
        detail::replace_all(out, from, to);
    }
    return out;
}

} // namespace reel::text
