#pragma once

#include <reel/core/error.hpp>

#include <cstddef>
#include <cstdio>
#include <string>

namespace reel {

/// A text as std::printf() writes it, of any length: format_text("%.2f dB", psnr). The compiler does not check the
/// pattern against the values. Throws Error for one that printf refuses.
template <class... Values>
[[nodiscard]] std::string format_text(const char* pattern, const Values&... values) {
    const int length = std::snprintf(nullptr, 0, pattern, values...);
    require(length >= 0, "format_text: \"", pattern, "\" cannot be written");
    std::string text(static_cast<std::size_t>(length) + 1, '\0');
    std::snprintf(text.data(), text.size(), pattern, values...);
    text.pop_back();
    return text;
}

} // namespace reel
