#pragma once
// JSON files with plain errors. Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

// Functions with nlohmann::json inside are templates of no use but one: they are compiled where they are called, and
// not wherever they are included, which would cost a compiler seconds.

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

inline constexpr std::size_t json_depth_limit = 64;
inline constexpr std::size_t json_value_limit = std::size_t{1} << 19; // an entry of an object takes up to 150 bytes

/// Turns what the parser's SAX interface throws at it into an Error; the handlers below stand on it.
class JsonHandler {
public:
    JsonHandler(std::string_view text, const std::string& where) : text_(text), where_(where) {}

    bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) const {
        if (dynamic_cast<const nlohmann::json::parse_error*>(&error) == nullptr) { // a number out of range
            fail(where_, ": not valid JSON: ", plain_json_message(error));
        }
        fail(where_, ": not valid JSON at ", text_position(text_, position == 0 ? 0 : position - 1), ": ",
             plain_json_message(error));
    }

protected:
    /// Throws unless one more level may open; called before anything is built for it.
    void check_depth(std::size_t open) const {
        require(open < json_depth_limit, where_, ": JSON nested deeper than ", json_depth_limit, " levels");
    }

    [[nodiscard]] const std::string& where() const { return where_; }

private:
    std::string_view text_;
    const std::string& where_;
};

/// Builds the value within the limits of parse_json(). With `on_member`, the members of the object at the top are given
/// away one by one instead, repeated ones too, and the limit of values is that of each.
class JsonBuilder : public JsonHandler {
public:
    using json = nlohmann::json;
    using OnMember = std::function<void(const std::string&, json)>;

    JsonBuilder(std::string_view text, const std::string& where, OnMember on_member = {})
        : JsonHandler(text, where), on_member_(std::move(on_member)) {}

    [[nodiscard]] json take() { return std::move(root_); }

    bool null() { return put(nullptr); }
    bool boolean(bool value) { return put(value); }
    bool number_integer(std::int64_t value) { return put(value); }
    bool number_unsigned(std::uint64_t value) { return put(value); }
    bool number_float(double value, const std::string&) { return put(value); }
    bool string(std::string& value) { return put(std::move(value)); }
    bool binary(json::binary_t&) { return false; } // not in text
    bool start_object(std::size_t) { return open(json::value_t::object); }
    bool start_array(std::size_t) { return open(json::value_t::array); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }

    bool key(std::string& name) {
        if (gives_away()) {
            member_name_ = std::move(name);
            named_ = &member_;
            return true;
        }
        auto& object = open_.back()->get_ref<json::object_t&>();
        const auto [item, added] = object.emplace(std::move(name), nullptr);
        require(added, where(), ": the key \"", item->first, "\" appears twice");
        named_ = &item->second;
        return true;
    }

private:
    /// Whether the parser is directly in the object at the top, whose members are wanted.
    [[nodiscard]] bool gives_away() const { return on_member_ && open_.size() == 1 && root_.is_object(); }

    bool finish_value() {
        if (gives_away()) {
            on_member_(member_name_, std::exchange(member_, nullptr));
            count_ = 0;
        }
        return true;
    }

    bool put(json value) {
        (void)place(std::move(value));
        return finish_value();
    }

    json* place(json value) {
        require(++count_ <= json_value_limit, where(), ": JSON of more than ", json_value_limit, " values");
        if (open_.empty()) {
            root_ = std::move(value);
            return &root_;
        }
        if (open_.back()->is_object()) {
            *named_ = std::move(value);
            return named_;
        }
        auto& array = open_.back()->get_ref<json::array_t&>();
        array.push_back(std::move(value));
        return &array.back();
    }

    bool open(json::value_t kind) {
        check_depth(open_.size());
        open_.push_back(place(json(kind)));
        return true;
    }

    bool close() {
        open_.pop_back();
        return finish_value();
    }

    OnMember on_member_;
    json root_;
    json member_;
    std::string member_name_;
    std::vector<json*> open_; // an array's last item does not move while it is open
    json* named_ = nullptr;
    std::size_t count_ = 0;
};

/// Parses text that holds one JSON value. The library would take a zero byte for the end, and whatever follows it for
/// nothing.
template <class Handler>
void run_json_parser(std::string_view text, const std::string& where, Handler& handler) {
    const std::size_t zero = text.find('\0');
    require(zero == std::string_view::npos, where, ": not valid JSON at ", text_position(text, zero), ": a zero byte");
    nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
}

} // namespace detail

/// Parses JSON strictly: a repeated key, nesting deeper than 64, more than 524,288 values and text after the value are
/// errors. `where` (a file, or a part of one) starts the message of the Error thrown.
template <class = void>
[[nodiscard]] nlohmann::json parse_json(std::string_view text, const std::string& where) {
    detail::JsonBuilder builder(text, where);
    detail::run_json_parser(text, where, builder);
    return builder.take();
}

/// Gives `on_member` name and value of each member of a JSON object, in the text's order, and holds one at a time: for
/// long texts. Repeated names come as often as they are there. Throws Error as parse_json() does, and for text that is
/// no object; each value has parse_json()'s limits.
template <class = void>
void for_each_json_member(std::string_view text, const std::string& where,
                          const std::function<void(const std::string&, nlohmann::json)>& on_member) {
    detail::JsonBuilder builder(text, where, on_member);
    detail::run_json_parser(text, where, builder);
    require(builder.take().is_object(), where, ": expected a JSON object");
}

/// Reads a JSON file of at most 16 MiB. Throws Error naming the file, the line and column, and what is wrong.
template <class = void>
[[nodiscard]] nlohmann::json read_json(const std::filesystem::path& path) {
    const MappedFile file(path);
    require(file.size() != 0, path.string(), ": the file is empty");
    require(file.size() <= std::size_t{16} << 20, path.string(), ": too large for a JSON file (", file.size(),
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
template <class = void>
void write_json(const std::filesystem::path& path, const nlohmann::json& value) {
    write_file(path, json_text(value, path.string(), 2) + "\n");
}

} // namespace reel
