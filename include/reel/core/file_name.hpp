#pragma once
// Texts and numbers as names of files.

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace reel {

/// A prompt as a file name: ASCII letters, digits and dashes kept, any other byte an underscore; at most `most` bytes.
/// "_" for an empty one.
[[nodiscard]] inline std::string file_name_of(std::string_view text, std::size_t most = 80) {
    std::string name;
    for (const char c : text.substr(0, most)) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        name += plain ? c : '_';
    }
    return name.empty() ? "_" : name;
}

/// A number with leading zeros, so that names sort: 12 with 4 digits is "0012".
[[nodiscard]] inline std::string padded_number(std::size_t number, std::size_t digits = 4) {
    const std::string text = std::to_string(number);
    return std::string(digits - std::min(digits, text.size()), '0') + text;
}

} // namespace reel
