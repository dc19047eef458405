#pragma once // Needs utf8proc (target reel::text).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <reel/text/mojibake_tables.hpp>
#include <reel/text/unicode.hpp>

/// Tells mojibake from text by pairs and triples of characters that text does not have: ftfy 6.3.1's "badness".
namespace reel::text {

/// The classes (CharacterClass) of a character; 0 for one that mojibake does not have.
inline std::uint32_t classes_of(char32_t c) {
    static constexpr std::size_t direct = 0x3000;
    static const auto table = [] {
        std::array<std::uint32_t, direct> all{};
        for (const auto& range : character_class_ranges) {
            for (std::uint32_t i = range.first; i <= range.last && i < direct; ++i) {
                all[i] = range.classes;
            }
        }
        return all;
    }();
    if (c < direct) {
        return table[c];
    }
    const std::uint32_t code = c; // clang 22 warns of comparisons between char32_t and char16_t
    for (auto range = character_class_ranges.rbegin(); range->last >= direct; ++range) {
        if (code >= range->first && code <= range->last) {
            return range->classes;
        }
    }
    return 0;
}

namespace detail {

/// One position of a pattern: a character of these classes, one of these characters, or one that `test` accepts.
struct PatternItem {
    std::uint32_t classes = 0;
    std::u32string_view characters = {};
    bool (*test)(char32_t) = nullptr;

    constexpr bool empty() const { return classes == 0 && characters.empty() && test == nullptr; }

    bool matches(char32_t c, std::uint32_t classes_of_c) const {
        return (classes & classes_of_c) != 0 || characters.find(c) != characters.npos || (test != nullptr && test(c));
    }
};

/// A sequence of positions; the first empty one ends it.
using Pattern = std::array<PatternItem, 7>;

inline constexpr bool is_plain_letter(char32_t c) {
    return (c | 0x20) >= U'a' && (c | 0x20) <= U'z';
}

inline constexpr bool is_no_plain_letter(char32_t c) {
    return !is_plain_letter(c);
}

inline constexpr bool is_small_plain_letter(char32_t c) {
    return c >= U'a' && c <= U'z';
}

inline constexpr bool is_no_line_break(char32_t c) {
    return c != U'\n';
}

constexpr PatternItem of(std::uint32_t classes, std::u32string_view characters = {}) {
    return {classes, characters, nullptr};
}

constexpr PatternItem one(std::u32string_view characters) {
    return {0, characters, nullptr};
}

constexpr PatternItem where(bool (*test)(char32_t)) {
    return {0, {}, test};
}

inline constexpr std::uint32_t accented = class_lower_accented | class_upper_accented;
inline constexpr std::uint32_t quotes = class_start_punctuation | class_end_punctuation;
inline constexpr std::uint32_t amounts = class_currency | class_numeric;
inline constexpr std::uint32_t unlettered = class_box | quotes | amounts | class_law;
inline constexpr std::uint32_t cyrillic_tail = class_c1 | class_bad | quotes | class_currency;
inline constexpr std::uint32_t arabic_tail = class_common | amounts | class_bad | class_start_punctuation;

/// A text in which one of these matches somewhere is bad.
inline constexpr Pattern badness_patterns[] = {
    // By classes alone.
    {of(class_c1)},
    {of(accented | unlettered | class_bad), of(class_bad)},
    {where(is_plain_letter), of(class_lower_common | class_upper_common), of(class_bad)},
    {of(class_bad), of(accented | unlettered)},
    {of(class_lower_accented | class_lower_common | class_box | class_end_punctuation | amounts),
     of(class_upper_accented)},
    {of(class_box | class_end_punctuation | amounts), of(class_lower_accented)},
    {of(class_lower_accented | class_box | class_end_punctuation), of(class_currency)},
    {where(is_python_space), of(class_upper_accented), of(class_currency)},
    {of(class_upper_accented | class_box), of(class_numeric | class_law)},
    {of(accented | class_box | class_currency | class_end_punctuation), of(class_start_punctuation), of(class_numeric)},
    {of(accented | amounts | class_box | class_law), of(class_end_punctuation), of(class_start_punctuation)},
    {of(amounts | class_box), of(class_start_punctuation)},
    {where(is_small_plain_letter), of(class_upper_accented), of(class_start_punctuation | class_currency)},
    {of(class_box), of(class_kaomoji)},
    {of(accented | amounts | quotes | class_law), of(class_box)},
    {of(class_box), of(class_end_punctuation)},
    {of(accented), of(quotes), where(is_word_character)},
    // The ligature oe before anything but a plain letter; a degree sign after an accented capital.
    {one(U"Œœ"), where(is_no_plain_letter)},
    {of(class_upper_accented), one(U"°")},
    // Windows-1252: pairs, Arabic, South Asian scripts, the no-break space and a with an accent.
    {one(U"ÂÃÎÐ"), of(quotes, U"€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´")},
    {one(U"×"), one(U"²³")},
    {one(U"ØÙ"), of(arabic_tail, U"ŸŠ®°µ»"), one(U"ØÙ"), of(arabic_tail, U"ŸŠ®°µ»")},
    {one(U"à"), one(U"²µ¹¼½¾")},
    {one(U"Ã"), one(U"\u00a0¡")},
    {where(is_small_plain_letter), one(U"ÃÂ"), one(U" ")},
    {where(is_small_plain_letter), where(is_python_space), one(U"ÃÂ"), one(U" ")},
    {PatternItem{class_end_punctuation, U".,?!", is_small_plain_letter}, one(U"Â"), of(quotes, U" ")},
    // MacRoman.
    {one(U"√"), one(U"±∂†≠®™´≤≥¥µø")},
    {one(U"≈"), one(U"°¢")},
    {one(U"‚"), one(U"Ä"), one(U"ìîïòôúùû†°¢π")},
    {one(U"‚"), one(U"âó"), one(U"àä°ê")},
    // Windows-1251: punctuation from U+2000 on, Latin-1 and Cyrillic letters, and text mangled twice.
    {one(U"в"), one(U"Ђ")},
    {one(U"ВГРС"), of(cyrillic_tail, U"°µ"), one(U"ВГРС")},
    {one(U"Г"), one(U"ў"), one(U"В"), one(U"Ђ"), one(U"В"), where(is_no_line_break),
     PatternItem{0, U" ", is_plain_letter}},
    // Windows-1253: punctuation, Latin-1 and Greek letters. Windows-1257: punctuation.
    {one(U"β"), one(U"€"), one(U"™\u00a0Ά\u00ad®°")},
    {one(U"ΒΓΞΟ"), of(cyrillic_tail, U"°"), one(U"ΒΓΞΟ")},
    {one(U"ā"), one(U"€")},
};

inline bool matches_at(const Pattern& pattern, std::u32string_view text, std::size_t at) {
    for (const PatternItem& item : pattern) {
        if (item.empty()) {
            return true;
        }
        if (at >= text.size() || !item.matches(text[at], classes_of(text[at]))) {
            return false;
        }
        ++at;
    }
    return true;
}

} // namespace detail

/// Whether the text looks as if some of it were mojibake.
inline bool is_bad(std::u32string_view text) {
    const bool starts_bad = text.size() >= 2 && (text[0] == U'Ã' || text[0] == U'Â') && text[1] == U' ';
    if (starts_bad) {
        return true;
    }
    // Every pattern has a character beyond ASCII among its first three, so plain text is passed over fast.
    for (std::size_t at = 0; at < text.size(); ++at) {
        const std::u32string_view head = text.substr(at, 3);
        if (std::all_of(head.begin(), head.end(), [](char32_t c) { return c < 0x80; })) {
            continue;
        }
        for (const auto& pattern : detail::badness_patterns) {
            if (detail::matches_at(pattern, text, at)) {
                return true;
            }
        }
    }
    return false;
}

} // namespace reel::text
