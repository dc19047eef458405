#pragma once
// Scalars as YAML text that every YAML reader takes alike. Needs no library.

#include <reel/core/error.hpp>
#include <reel/core/utf8.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

namespace reel {

/// Text in double quotes, so that no reader takes it for a number or a boolean. `what` names it in the Error thrown
/// when it is not UTF-8.
[[nodiscard]] inline std::string yaml_quoted(std::string_view text, std::string_view what) {
    std::string out = "\"";
    const auto escape = [&](char letter, int digits, char32_t c) {
        out += '\\';
        out += letter;
        for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
            out += "0123456789abcdef"[c >> shift & 15];
        }
    };
    for (const char32_t c : text::decode_utf8(text, what)) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c < 0x20 || (c >= 0x7f && c <= 0xa0)) {
            escape('x', 2, c);
        } else if (c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff) {
            escape('u', 4, c); // line breaks in YAML 1.1, a byte order mark, and what is no character
        } else {
            text::append_utf8(out, c);
        }
    }
    return out + "\"";
}

/// The shortest decimal form that reads back as the same number. It holds a point (`3.0e-05`): without one, PyYAML
/// takes it for text. `value` must be finite.
[[nodiscard]] inline std::string yaml_float(double value) {
    require(std::isfinite(value), "yaml_float: expected a finite number, found ", value);
    std::array<char, 32> buffer{};
    const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    std::string digits(buffer.data(), end);
    if (digits.find('.') == std::string::npos) {
        const std::size_t exponent = digits.find('e');
        digits.insert(exponent == std::string::npos ? digits.size() : exponent, ".0");
    }
    return digits;
}

} // namespace reel
