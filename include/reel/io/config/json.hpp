#pragma once
// JSON files with plain errors. Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

namespace detail {

/// "line 3, column 14" of a byte offset.
[[nodiscard]] inline std::string text_position(std::string_view text, std::size_t offset) {
    const std::string_view before = text.substr(0, std::min(offset, text.size()));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    return concat_text("line ", line, ", column ", before.size() - line_start + 1);
}

/// The library's message, "[code] text", without its code and position.
[[nodiscard]] inline std::string plain_json_message(const std::exception& error) {
    std::string_view text = error.what();
    text.remove_prefix(std::min(text.find("] ") + 2, text.size()));
    if (text.starts_with("parse error")) { // "parse error at line 1, column 2: syntax error ..."
        text.remove_prefix(std::min(text.find(": ") + 2, text.size()));
    }
    return std::string(text.substr(0, 300));
}

} // namespace detail

/// Parses JSON strictly: a repeated key, nesting deeper than 64 and text after the value are errors. `where` (a file,
/// or a part of one) starts the message of the Error thrown.
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text, const std::string& where) {
    using json = nlohmann::json;
    std::vector<std::set<std::string, std::less<>>> open_objects;
    const auto check = [&](int depth, json::parse_event_t event, json& value) {
        require(depth <= 64, where, ": JSON nested deeper than 64 levels");
        if (event == json::parse_event_t::object_start) {
            open_objects.emplace_back();
        } else if (event == json::parse_event_t::object_end) {
            open_objects.pop_back();
        } else if (event == json::parse_event_t::key) {
            const auto& key = value.get_ref<const std::string&>();
            require(open_objects.back().insert(key).second, where, ": the key \"", key, "\" appears twice");
        }
        return true;
    };
    try {
        return json::parse(text.begin(), text.end(), check);
    } catch (const json::parse_error& error) {
        fail(where, ": not valid JSON at ", detail::text_position(text, error.byte == 0 ? 0 : error.byte - 1), ": ",
             detail::plain_json_message(error));
    } catch (const json::exception& error) { // a number out of range
        fail(where, ": not valid JSON: ", detail::plain_json_message(error));
    }
}

/// Reads a JSON file. Throws Error naming the file, the line and column, and what is wrong.
[[nodiscard]] inline nlohmann::json read_json(const std::filesystem::path& path) {
    const MappedFile file(path);
    require(file.size() != 0, path.string(), ": the file is empty");
    require(file.size() <= std::size_t{256} << 20, path.string(), ": too large for a JSON file (", file.size(),
            " bytes)");
    return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.size()}, path.string());
}

/// JSON as text, indented by `indent` spaces (-1: on one line). Throws Error when a string is not valid UTF-8.
template <class Json>
[[nodiscard]] std::string json_text(const Json& value, const std::string& where, int indent = -1) {
    try {
        return value.dump(indent);
    } catch (const nlohmann::json::exception& error) {
        fail(where, ": cannot be written as JSON: ", detail::plain_json_message(error));
    }
}

/// Writes a JSON file, indented by two spaces; complete or not at all (see AtomicFile).
inline void write_json(const std::filesystem::path& path, const nlohmann::json& value) {
    write_file(path, json_text(value, path.string(), 2) + "\n");
}

} // namespace reel
