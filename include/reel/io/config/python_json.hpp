#pragma once
// JSON as Python writes it. Needs nlohmann-json (target reel::io).

#include <filesystem>
#include <string>
#include <string_view>

#include <reel/io/config/json.hpp>

namespace reel {

/// parse_json() of a text in which -Infinity, which Python writes and JSON does not have, is read as null, "not given":
/// diffusers' lambda_min_clipped of a run that leaves nothing out. `where` starts messages. Throws Error for anything
/// else that is not JSON, NaN and Infinity included.
[[nodiscard]] inline nlohmann::json parse_python_json(std::string text, const std::string& where) {
    constexpr std::string_view infinity = "-Infinity";
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (in_string && text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && std::string_view(text).substr(i).starts_with(infinity)) {
            text.replace(i, infinity.size(), "null     "); // as long, so that positions in messages stay right
        }
    }
    return parse_json(text, where);
}

/// The same from a file. Throws Error naming the file and what is wrong.
[[nodiscard]] inline nlohmann::json read_python_json(const std::filesystem::path& path) {
    const MappedFile file(path);
    require(file.size() != 0, path.string(), ": the file is empty");
    require(file.size() <= std::size_t{1} << 20, path.string(), ": too large for a configuration (", file.size(),
            " bytes)");
    return parse_python_json({reinterpret_cast<const char*>(file.bytes().data()), file.size()}, path.string());
}

} // namespace reel
