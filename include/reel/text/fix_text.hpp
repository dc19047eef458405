#pragma once
// Needs utf8proc.

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <reel/text/fix_encoding.hpp>
#include <reel/text/html.hpp>
#include <reel/text/unicode.hpp>

/// Text repair as ftfy 6.3.1's `fix_text` with its default configuration.
namespace reel::text {

/// Latin ligatures and digraphs become their letters: "ﬁ" to "fi", "Ǆ" to "DŽ".
inline std::u32string fix_latin_ligatures(std::u32string_view text) {
    constexpr std::pair<char32_t, std::u32string_view> ligatures[] = {
        {U'Ĳ', U"IJ"},  {U'ĳ', U"ij"},  {U'ŉ', U"ʼn"}, {U'Ǳ', U"DZ"}, {U'ǲ', U"Dz"}, {U'ǳ', U"dz"},
        {U'Ǆ', U"DŽ"},  {U'ǅ', U"Dž"},  {U'ǆ', U"dž"}, {U'Ǉ', U"LJ"}, {U'ǈ', U"Lj"}, {U'ǉ', U"lj"},
        {U'Ǌ', U"NJ"},  {U'ǋ', U"Nj"},  {U'ǌ', U"nj"}, {U'ﬀ', U"ff"}, {U'ﬁ', U"fi"}, {U'ﬂ', U"fl"},
        {U'ﬃ', U"ffi"}, {U'ﬄ', U"ffl"}, {U'ﬅ', U"ſt"}, {U'ﬆ', U"st"},
    };
    std::u32string out;
    out.reserve(text.size());
    for (const char32_t c : text) {
        const auto* found = c < 0x80 ? std::end(ligatures)
                                     : std::find_if(std::begin(ligatures), std::end(ligatures),
                                                    [c](const auto& entry) { return entry.first == c; });
        if (found != std::end(ligatures)) {
            out += found->second;
        } else {
            out.push_back(c);
        }
    }
    return out;
}

/// Full-width Latin, half-width Katakana and Hangul, and the ideographic space get their usual width.
inline std::u32string fix_character_width(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    for (const char32_t c : text) {
        if (c == 0x3000) {
            out.push_back(U' ');
        } else if (c >= 0xff01 && c <= 0xffef) {
            out += normalize(std::u32string_view(&c, 1), true);
        } else {
            out.push_back(c);
        }
    }
    return out;
}

/// Curly quotation marks become straight ones.
inline std::u32string uncurl_quotes(std::u32string_view text) {
    std::u32string out(text);
    for (char32_t& c : out) {
        if (c == 0x02bc || (c >= 0x2018 && c <= 0x201b)) {
            c = U'\'';
        } else if (c >= 0x201c && c <= 0x201f) {
            c = U'"';
        }
    }
    return out;
}

/// CR LF, CR, NEL, and Unicode's line and paragraph separators become LF.
inline std::u32string fix_line_breaks(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char32_t c = text[i];
        if (c == U'\r' && i + 1 < text.size() && text[i + 1] == U'\n') {
            continue;
        }
        out.push_back(c == U'\r' || c == 0x85 || c == 0x2028 || c == 0x2029 ? U'\n' : c);
    }
    return out;
}

/// UTF-16 surrogates become the character a pair stands for, or U+FFFD where they are no pair. Text that was
/// valid UTF-8 has none.
inline std::u32string fix_surrogates(std::u32string_view text) {
    const auto is_high = [](char32_t c) { return c >= 0xd800 && c <= 0xdbff; };
    const auto is_low = [](char32_t c) { return c >= 0xdc00 && c <= 0xdfff; };
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char32_t c = text[i];
        if (is_high(c) && i + 1 < text.size() && is_low(text[i + 1])) {
            out.push_back(0x10000 + (c - 0xd800) * 0x400 + (text[++i] - 0xdc00));
        } else {
            out.push_back(is_high(c) || is_low(c) ? 0xfffd : c);
        }
    }
    return out;
}

/// Removes terminal escapes such as the one that starts red text, "ESC [ 3 1 m".
inline std::u32string remove_terminal_escapes(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == 0x1b && i + 1 < text.size() && text[i + 1] == U'[') {
            std::size_t end = i + 2;
            while (end < text.size() && (text[end] == U';' || is_decimal_digit(text[end]))) {
                ++end;
            }
            if (end < text.size() && text[end] < 0x80 && is_letter(text[end])) {
                i = end;
                continue;
            }
        }
        out.push_back(text[i]);
    }
    return out;
}

/// Removes control characters without a meaning in text: ASCII's but white space, deprecated Arabic ones,
/// interlinear annotation, the object replacement character and the byte order mark.
inline std::u32string remove_control_characters(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    std::copy_if(text.begin(), text.end(), std::back_inserter(out), [](char32_t c) {
        const bool control = c <= 0x08 || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f ||
                             (c >= 0x206a && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffc);
        return !control;
    });
    return out;
}

namespace detail {

/// Every repair, once.
inline std::u32string repair_once(std::u32string text, bool with_html, RepairBudget& budget) {
    if (with_html) {
        text = unescape_html(text);
    }
    text = fix_encoding(text, budget);
    text = fix_c1_controls(text);
    text = fix_latin_ligatures(text);
    text = fix_character_width(text);
    text = uncurl_quotes(text);
    text = fix_line_breaks(text);
    text = fix_surrogates(text);
    text = remove_terminal_escapes(text);
    text = remove_control_characters(text);
    return normalize(text);
}

/// Applies every repair until none changes the text. References inside references that outlast the budget are replaced
/// all at once.
inline std::u32string fix_segment(std::u32string text, bool with_html) {
    RepairBudget budget(text.size());
    while (budget.spend(text.size())) {
        std::u32string fixed = repair_once(text, with_html, budget);
        if (fixed == text) {
            return text;
        }
        text = std::move(fixed);
    }
    if (with_html) {
        text = unescape_html_fully(text);
    }
    RepairBudget rest(text.size());
    return repair_once(text, with_html, rest);
}

} // namespace detail

/// Repairs a text, line by line: HTML's character references (until a line has a '<': from there on it is taken
/// for HTML, which keeps them), mojibake, ligatures, widths, quotation marks, line breaks, surrogates, terminal
/// escapes and control characters, then NFC. In time linear in the text's length, whatever it holds (see
/// detail::RepairBudget). Code points above U+10FFFF throw Error.
inline std::u32string fix_text(std::u32string_view text) {
    constexpr std::size_t longest_segment = 1000000;
    std::u32string out;
    out.reserve(text.size());
    bool with_html = true;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t line_feed = text.find(U'\n', at);
        const std::size_t end = line_feed == text.npos ? text.size() : line_feed + 1;
        const std::u32string_view segment = text.substr(at, std::min(end - at, longest_segment));
        with_html = with_html && segment.find(U'<') == segment.npos;
        out += detail::fix_segment(std::u32string(segment), with_html);
        at += segment.size();
    }
    return out;
}

/// The same for UTF-8. Throws Error, with the byte's offset, if `text` is not UTF-8.
inline std::string fix_text(std::string_view text) {
    return encode_utf8(fix_text(decode_utf8(text)));
}

} // namespace reel::text
