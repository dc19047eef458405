#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include <reel/text/html_entities.hpp>
#include <reel/text/mojibake_tables.hpp>

/// HTML's character references, as ftfy 6.3.1's `unescape_html` (which leans on Python's `html.unescape`) reads them.
namespace reel::text {

namespace detail {

inline bool is_ascii_digit(char32_t c) {
    return c >= U'0' && c <= U'9';
}

inline bool is_ascii_letter(char32_t c) {
    return (c | 0x20) >= U'a' && (c | 0x20) <= U'z';
}

/// The value of a hexadecimal digit, or 16 for anything else.
inline std::uint32_t hexadecimal_digit(char32_t c) {
    if (is_ascii_digit(c)) {
        return c - U'0';
    }
    const char32_t small = c | 0x20;
    return small >= U'a' && small <= U'f' ? small - U'a' + 10 : 16;
}

/// The named references, "amp" to "&" and so on. Parsed once, from the compact list.
inline const std::unordered_map<std::string_view, std::u32string>& html_entities() {
    static const auto table = [] {
        std::unordered_map<std::string_view, std::u32string> map;
        map.reserve(2400);
        for (std::string_view rest = html_entity_list; !rest.empty();) {
            const std::string_view item = rest.substr(0, rest.find(' '));
            rest.remove_prefix(std::min(item.size() + 1, rest.size()));
            const std::size_t equals = item.find('=');
            std::u32string value(1, U'\0');
            for (const char c : item.substr(equals + 1)) {
                if (c == '+') {
                    value.push_back(U'\0');
                } else {
                    value.back() = value.back() * 16 + hexadecimal_digit(static_cast<unsigned char>(c));
                }
            }
            map.emplace(item.substr(0, equals), value);
        }
        return map;
    }();
    return table;
}

/// What HTML makes of character number `value`: windows-1252 for the C1 controls, U+FFFD for what is no
/// character, nothing for most control characters and noncharacters.
inline std::u32string numbered_character(std::uint32_t value) {
    if (value == 0 || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff) {
        return U"\ufffd";
    }
    if (value == 0x0d) {
        return U"\r";
    }
    if (value >= 0x80 && value <= 0x9f) {
        const char16_t c = page_windows_1252[value - 0x80];
        return std::u32string(1, c != 0 ? char32_t{c} : char32_t{value});
    }
    const bool dropped = value < 0x09 || value == 0x0b || (value >= 0x0e && value < 0x20) || value == 0x7f ||
                         (value >= 0xfdd0 && value <= 0xfdef) || (value & 0xfffe) == 0xfffe;
    return dropped ? std::u32string() : std::u32string(1, value);
}

/// Reads "&#...;" (`body` is what stands between '#' and ';'). False, if it is no number or the character is
/// ';' itself, which ftfy leaves alone.
inline bool numeric_reference(std::u32string_view body, std::u32string& out) {
    const bool hexadecimal = !body.empty() && (body[0] | 0x20) == U'x';
    if (hexadecimal) {
        body.remove_prefix(1);
    }
    const std::uint32_t base = hexadecimal ? 16 : 10;
    std::uint32_t value = 0;
    for (const char32_t c : body) {
        const std::uint32_t digit = hexadecimal_digit(c);
        if (digit >= base) {
            return false;
        }
        value = std::min<std::uint32_t>(value * base + digit, 0x110000); // saturates above the last code point
    }
    if (body.empty() || value == U';') {
        return false;
    }
    out = numbered_character(value);
    return true;
}

/// What "&body;" stands for ("#233" is a number); false if it is no reference.
inline bool html_reference(std::u32string_view body, std::u32string& value) {
    if (body.starts_with(U'#')) {
        return body.size() > 1 && numeric_reference(body.substr(1), value);
    }
    std::string name;
    for (const char32_t c : body) {
        name.push_back(static_cast<char>(c));
    }
    const auto entity = html_entities().find(name);
    if (entity == html_entities().end()) {
        return false;
    }
    value = entity->second;
    return true;
}

inline constexpr std::size_t longest_html_name = 24;

inline bool is_html_name_character(char32_t c) {
    return is_ascii_digit(c) || is_ascii_letter(c);
}

/// The reference that ends the text with its ';', '&' to ';'; empty if there is none.
inline std::u32string_view last_html_reference(std::u32string_view text) {
    std::size_t begin = text.size() - 1;
    while (begin > 0 && text.size() - 1 - begin < longest_html_name && is_html_name_character(text[begin - 1])) {
        --begin;
    }
    const bool has_name = begin + 1 < text.size();
    begin -= begin > 0 && text[begin - 1] == U'#' ? 1 : 0;
    return has_name && begin > 0 && text[begin - 1] == U'&' ? text.substr(begin - 1) : std::u32string_view();
}

/// Replaces references as unescape_html() does, and those that come of it, until none is left: in one pass.
inline std::u32string unescape_html_fully(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    std::u32string value;
    std::u32string coming; // last first
    for (const char32_t next : text) {
        coming.push_back(next);
        while (!coming.empty()) {
            out.push_back(coming.back());
            coming.pop_back();
            const std::u32string_view last = out.back() == U';' ? last_html_reference(out) : std::u32string_view();
            if (!last.empty() && html_reference(last.substr(1, last.size() - 2), value)) {
                out.resize(out.size() - last.size());
                coming.append(value.rbegin(), value.rend());
            }
        }
    }
    return out;
}

} // namespace detail

/// Replaces "&name;", "&#233;" and "&#xe9;" by the characters they stand for; what is no reference stays.
inline std::u32string unescape_html(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    std::u32string value;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != U'&') {
            out.push_back(text[i]);
            continue;
        }
        const bool numeric = i + 1 < text.size() && text[i + 1] == U'#';
        const std::size_t begin = i + 1 + (numeric ? 1 : 0);
        std::size_t end = begin;
        while (end < text.size() && end - begin < detail::longest_html_name &&
               detail::is_html_name_character(text[end])) {
            ++end;
        }
        const bool found = end > begin && end < text.size() && text[end] == U';' &&
                           detail::html_reference(text.substr(i + 1, end - i - 1), value);
        if (found) {
            out += value;
            i = end;
        } else {
            out.push_back(U'&');
        }
    }
    return out;
}

} // namespace reel::text
