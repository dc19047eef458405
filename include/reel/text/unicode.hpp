#pragma once
// Needs utf8proc.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ios>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <utf8proc.h>

#include <reel/core/error.hpp>
#include <reel/core/utf8.hpp>

/// Character properties and mappings, as Python 3.11's `str` and `re` and the `regex` module have them.
/// Properties come from utf8proc; its Unicode version (15.0 in 2.8) decides about newer characters.
namespace reel::text {

/// The general category (utf8proc's numbers); unassigned for what is no code point.
inline utf8proc_category_t category(char32_t c) {
    return c <= 0x10ffff ? utf8proc_category(static_cast<utf8proc_int32_t>(c)) : UTF8PROC_CATEGORY_CN;
}

/// A letter: `\p{L}`.
inline bool is_letter(char32_t c) {
    if (c < 0x80) {
        return (c | 0x20) >= U'a' && (c | 0x20) <= U'z';
    }
    const auto kind = category(c);
    return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

/// A number: `\p{N}`.
inline bool is_number(char32_t c) {
    const auto kind = category(c);
    return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

/// `\d`: a decimal digit of any script.
inline bool is_decimal_digit(char32_t c) {
    return category(c) == UTF8PROC_CATEGORY_ND;
}

/// White_Space, the `regex` module's `\s`.
inline bool is_white_space(char32_t c) {
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/// What `str.isspace`, `str.strip` and `re`'s `\s` call space: White_Space and four separators of ASCII.
inline bool is_python_space(char32_t c) {
    return is_white_space(c) || (c >= 0x1c && c <= 0x1f);
}

/// What `re`'s `\w` matches.
inline bool is_word_character(char32_t c) {
    return c == U'_' || is_letter(c) || is_number(c);
}

/// Without the spaces (is_python_space) at its start and end.
inline std::u32string_view strip(std::u32string_view text, bool left = true, bool right = true) {
    while (left && !text.empty() && is_python_space(text.front())) {
        text.remove_prefix(1);
    }
    while (right && !text.empty() && is_python_space(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

namespace detail {

inline bool in_ranges(char32_t c, std::initializer_list<std::pair<char32_t, char32_t>> ranges) {
    return std::any_of(ranges.begin(), ranges.end(), [c](auto r) { return c >= r.first && c <= r.second; });
}

/// Unicode's Case_Ignorable: marks, format characters, modifiers and the punctuation inside words.
inline bool is_case_ignorable(char32_t c) {
    switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        constexpr std::u32string_view inside_words = U"'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027"
                                                     U"\ufe13\ufe52\ufe55\uff07\uff0e\uff1a";
        return inside_words.find(c) != inside_words.npos;
    }
}

/// Unicode's Cased, for what is not Case_Ignorable: letters with case, and numerals and circled letters.
inline bool is_cased(char32_t c) {
    const auto kind = category(c);
    return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT ||
           in_ranges(c, {{0xaa, 0xaa},
                         {0xba, 0xba},
                         {0x2160, 0x217f},
                         {0x24b6, 0x24e9},
                         {0x1f130, 0x1f149},
                         {0x1f150, 0x1f169},
                         {0x1f170, 0x1f189}});
}

/// Whether the capital sigma at `at` ends a word (Unicode 15.0, table 3-17, Final_Sigma).
inline bool is_final_sigma(std::u32string_view text, std::size_t at) {
    std::size_t before = at;
    while (before > 0 && is_case_ignorable(text[before - 1])) {
        --before;
    }
    if (before == 0 || !is_cased(text[before - 1])) {
        return false;
    }
    std::size_t after = at + 1;
    while (after < text.size() && is_case_ignorable(text[after])) {
        ++after;
    }
    return after == text.size() || !is_cased(text[after]);
}

} // namespace detail

/// The full lower case of every character for itself, as Rust's `char::to_lowercase`.
inline std::u32string lower_each(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    for (const char32_t c : text) {
        if (c == 0x130) {
            out += U"i\u0307";
        } else {
            out.push_back(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
        }
    }
    return out;
}

/// `str.lower`: full lower case, with the final sigma and the dotted capital I.
inline std::u32string lower(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char32_t c = text[i];
        if (c < 0x80) {
            out.push_back(c >= U'A' && c <= U'Z' ? c + 32 : c);
        } else if (c == 0x3a3) {
            out.push_back(detail::is_final_sigma(text, i) ? 0x3c2 : 0x3c3);
        } else if (c == 0x130) {
            out += U"i\u0307";
        } else {
            out.push_back(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
        }
    }
    return out;
}

namespace detail {

/// Unicode's canonical ordering: marks between two characters of class 0 by their class. utf8proc's own is an insertion
/// sort, whose time grows with the square of a run's length.
inline void order_marks(std::vector<utf8proc_int32_t>& text) {
    const auto mark_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
    const auto is_mark = [&](utf8proc_int32_t c) { return mark_class(c) != 0; };
    for (auto begin = std::find_if(text.begin(), text.end(), is_mark); begin != text.end();) {
        const auto end = std::find_if_not(begin, text.end(), is_mark);
        std::stable_sort(begin, end, [&](auto a, auto b) { return mark_class(a) < mark_class(b); });
        begin = std::find_if(end, text.end(), is_mark);
    }
}

} // namespace detail

/// Unicode normalisation: NFC, or NFKC with `compatibility`. Throws Error for a surrogate or a value above U+10FFFF.
inline std::u32string normalize(std::u32string_view text, bool compatibility = false) {
    const bool plain = std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; });
    if (plain) {
        return std::u32string(text);
    }
    const auto options =
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | (compatibility ? UTF8PROC_COMPAT : 0));
    const auto check = [](utf8proc_ssize_t count) {
        require(count >= 0, "text: cannot normalise: ", utf8proc_errmsg(count));
        return static_cast<std::size_t>(count);
    };
    std::vector<utf8proc_int32_t> buffer;
    buffer.reserve(text.size() + 32);
    for (const char32_t c : text) {
        require(c <= 0x10ffff && (c < 0xd800 || c > 0xdfff), "text: cannot normalise U+", std::hex,
                static_cast<std::uint32_t>(c), ", which is no character");
        std::array<utf8proc_int32_t, 32> parts; // the longest decomposition has 18
        int boundary = 0;
        const std::size_t count =
            check(utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(),
                                          static_cast<utf8proc_ssize_t>(parts.size()), options, &boundary));
        require(count <= parts.size(), "text: cannot normalise: a character of ", count, " parts");
        buffer.insert(buffer.end(), parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count));
    }
    detail::order_marks(buffer);
    const std::size_t count =
        check(utf8proc_normalize_utf32(buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()), options));
    std::u32string out(count, U'\0');
    std::transform(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(count), out.begin(),
                   [](utf8proc_int32_t c) { return static_cast<char32_t>(c); });
    return out;
}

} // namespace reel::text
