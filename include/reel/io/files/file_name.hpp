#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include <reel/core/ranges.hpp>

namespace reel {

/// A text as a file name: letters, digits and dashes kept, the rest as underscores; at most `limit` bytes, and never
/// empty.
[[nodiscard]] inline std::string file_name_of(std::string_view text, std::size_t limit = 80) {
    std::string name(text.substr(0, limit));
    ranges::replace_if(
        name,
        [](char c) {
            const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            return !letter && !(c >= '0' && c <= '9') && c != '-';
        },
        '_');
    return name.empty() ? "_" : name;
}

} // namespace reel
