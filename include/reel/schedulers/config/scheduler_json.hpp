#pragma once
// Reading scheduler_config.json as Python writes it. Needs nlohmann-json (target reel::io).

#include <filesystem>
#include <string>
#include <utility>

#include <reel/io/config/python_json.hpp>

namespace reel {

/// Parses the text of a scheduler_config.json; see parse_python_json().
template <class = void>
[[nodiscard]] nlohmann::json parse_scheduler_json(std::string text, const std::string& where) {
    return parse_python_json(std::move(text), where);
}

/// The same from a file. Throws Error naming the file and what is wrong.
template <class = void>
[[nodiscard]] nlohmann::json read_scheduler_json(const std::filesystem::path& path) {
    return read_python_json(path);
}

} // namespace reel
