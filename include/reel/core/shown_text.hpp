#pragma once
// Text from outside (names of files and tensors, prompts, messages), fit for where it is shown.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <reel/core/number_text.hpp>

namespace reel {

namespace detail {

/// The length of the UTF-8 sequence at the text's start, or 0 where none is (as Unicode 15.0, table 3-7). `c` gets the
/// code point.
[[nodiscard]] constexpr std::size_t utf8_length(std::string_view text, char32_t& c) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t first = byte(0);
    const std::size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4 || text.size() < length) {
        return 0;
    }
    c = length == 1 ? first : first & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0U) != 0x80) {
            return 0;
        }
        c = c << 6 | (byte(i) & 0x3fU);
    }
    const bool shortest = length < 3 || c >= (length == 3 ? 0x800U : 0x10000U);
    return shortest && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? length : 0;
}

/// What a terminal would act on, or what would hide or turn the text around it: control characters, line separators,
/// and the marks of writing direction.
[[nodiscard]] constexpr bool acts_on_terminal(char32_t c) {
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
           (c >= 0xe0000 && c <= 0xe007f);
}

inline void append_hexadecimal(std::string& out, char letter, std::uint32_t value, int digits) {
    out += '\\';
    out += letter;
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
        out += "0123456789abcdef"[value >> shift & 15U];
    }
}

} // namespace detail

/// One line for a terminal or a log: control characters, escape sequences, line breaks and marks of writing direction
/// become visible (`\x1b`, `\n`, `\u202e`), and so do bytes that are no UTF-8. All else stays, so that doing it twice
/// changes nothing. Every Error's text is made so.
[[nodiscard]] inline std::string terminal_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        char32_t c = 0;
        const std::size_t length = detail::utf8_length(text, c);
        if (length == 0) {
            detail::append_hexadecimal(out, 'x', static_cast<std::uint8_t>(text[0]), 2);
        } else if (!detail::acts_on_terminal(c)) {
            out += text.substr(0, length);
        } else if (c == U'\n' || c == U'\r' || c == U'\t') {
            out += c == U'\n' ? "\\n" : c == U'\r' ? "\\r" : "\\t";
        } else if (c < 0x100) {
            detail::append_hexadecimal(out, 'x', c, 2);
        } else {
            detail::append_hexadecimal(out, c < 0x10000 ? 'u' : 'U', c, c < 0x10000 ? 4 : 8);
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return out;
}

/// One cell of a CSV file (RFC 4180), in quotes where it must be. A text that a spreadsheet would take for a formula
/// (`=cmd`, `@sum`, `+1+x`) gets a ' before it, which spreadsheets show as text; numbers stay as they are.
[[nodiscard]] inline std::string csv_cell(std::string_view text) {
    const bool may_act = !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos;
    double number = 0;
    const std::string_view digits = text.substr(may_act && text[0] == '+' ? 1 : 0);
    std::string cell = may_act && !is_number(digits, number) ? "'" : "";
    cell += text;
    if (cell.find_first_of(",\"\r\n") == std::string::npos) {
        return cell;
    }
    std::string quoted = "\"";
    for (const char c : cell) {
        quoted += c;
        if (c == '"') {
            quoted += c;
        }
    }
    return quoted + "\"";
}

/// Text for HTML, between tags and in quoted attributes.
[[nodiscard]] inline std::string html_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '\'':
            out += "&#39;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

} // namespace reel
