#pragma once
// Pieces of a web page that needs nothing but itself.

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <reel/core/shown_text.hpp>
#include <reel/io/files/mapped_file.hpp>

namespace study {

/// Any text as HTML, also inside quotes; what is no UTF-8, and characters that act, can be seen.
[[nodiscard]] inline std::string escaped(std::string_view text) {
    return reel::html_text(reel::terminal_text(text));
}

/// RFC 4648, section 4.
[[nodiscard]] inline std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            group = group << 8U | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            text += i + j > bytes.size() ? '=' : digits[group >> (18U - 6U * j) & 63U];
        }
    }
    return text;
}

/// A picture file (gif or png) as an element that holds its bytes.
[[nodiscard]] inline std::string inline_picture(const std::filesystem::path& path, std::string_view words) {
    const reel::MappedFile file(path);
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.size());
    return "<img src=\"data:image/" + path.extension().string().substr(1) + ";base64," + base64(bytes) + "\" alt=\"" +
           escaped(words) + "\">";
}

/// Text for a cell of a Markdown table.
[[nodiscard]] inline std::string markdown_field(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        if (c == '\n' || c == '\r') {
            safe += ' ';
        } else {
            safe += std::string_view("|\\`*_<>[]").find(c) == std::string_view::npos ? std::string(1, c)
                                                                                     : std::string("\\") + c;
        }
    }
    return safe;
}

inline constexpr std::string_view page_style =
    "body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:1200px;padding:1em 1.5em;color:#1b1b1b;"
    "background:#fff}"
    "h1{margin:.3em 0}h2{margin-top:2em;border-bottom:2px solid #888}h3{margin-top:1.6em}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;margin:.6em 0}"
    "th,td{border:1px solid #bbb;padding:.25em .55em;text-align:left;vertical-align:top}"
    "th{background:#eee}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "img{max-width:100%;height:auto;image-rendering:auto}figure{margin:.4em 0}figcaption{font-size:90%;color:#444}"
    ".cells{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:1em}"
    ".cell{border:1px solid #bbb;border-radius:6px;padding:.6em;min-width:0}.cell p{margin:.25em 0}"
    ".failed{border-color:#b00;background:#fdeeee}.error{color:#900;overflow-wrap:anywhere}"
    ".curve{max-width:640px;width:100%;font:12px sans-serif}.curve text{fill:#444}"
    ".grid{stroke:#ddd}.faint{fill:none;stroke:#bbb}.line{fill:none;stroke:#1f6fb4;stroke-width:2}"
    ".cell:has(.sheet[open]){grid-column:1/-1}" // a sheet needs the whole width to be seen
    "summary{cursor:pointer;color:#1f6fb4}code{overflow-wrap:anywhere}";

} // namespace study
