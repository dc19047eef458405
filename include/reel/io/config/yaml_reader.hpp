#pragma once
// Typed, strict reading of YAML. Needs yaml-cpp (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/nearest_name.hpp>
#include <reel/io/config/yaml.hpp>
#include <reel/io/config/yaml_number.hpp>

#include <array>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// YAML 1.1's booleans, as PyYAML and OmegaConf know them.
[[nodiscard]] inline std::optional<bool> yaml_bool(std::string_view text) {
    for (const std::string_view yes : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}) {
        if (text == yes) {
            return true;
        }
    }
    for (const std::string_view no : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}) {
        if (text == no) {
            return false;
        }
    }
    return std::nullopt;
}

} // namespace detail

/// Reads one group of keys and remembers which were asked for, so that finish() can refuse the others.
///
///     YamlReader config = YamlReader::from_file("tune.yaml");
///     const auto steps = config.get<int>("max_train_steps", 500);
///     YamlReader data = config.section("train_data");
///     const auto path = data.require<std::string>("video_path");
///     data.finish();
///     config.finish(); // tune.yaml:7: train_dat: unknown key (did you mean "train_data"?)
///
/// T is bool, an integer type, a floating type (which also takes an integer), std::string or std::vector of these. A
/// string may be quoted or not, whatever YAML would make of it without quotes; a number or boolean must not be quoted.
/// Every Error names file, line and key path, what was expected and what was found.
class YamlReader {
public:
    /// `where` is the file's name, `path` the group's key path ("" at the top). Throws Error unless `node` is a group.
    YamlReader(YamlNode node, std::string where, std::string path = {})
        : node_(std::move(node)), where_(std::move(where)), path_(std::move(path)) {
        reel::require(node_.kind == YamlNode::Kind::map, place(node_.line), path_.empty() ? "" : path_ + ": ",
                      "expected keys and values, found ", describe(node_));
    }

    [[nodiscard]] static YamlReader from_file(const std::filesystem::path& path) {
        return {read_yaml(path), path.string()};
    }

    [[nodiscard]] const YamlNode& node() const { return node_; }

    /// Whether the key is there, null or not. Does not count as reading it.
    [[nodiscard]] bool has(std::string_view key) const { return node_.find(key) != nullptr; }

    /// "file:line: group.key", with the group's line (or at the top none) when the key is absent.
    [[nodiscard]] std::string location(std::string_view key) const {
        for (const YamlNode::Key& known : node_.keys) {
            if (known.name == key) {
                return place(known.line) + full(key);
            }
        }
        return (path_.empty() ? where_ + ": " : place(node_.line)) + full(key);
    }

    /// The value, or `otherwise` when the key is absent.
    template <class T>
    [[nodiscard]] T get(std::string_view key, T otherwise) {
        const YamlNode* value = raw(key);
        return value == nullptr ? std::move(otherwise) : convert<T>(full(key), *value);
    }

    /// The value, or nothing when the key is absent or null.
    template <class T>
    [[nodiscard]] std::optional<T> get_optional(std::string_view key) {
        const YamlNode* value = raw(key);
        return value == nullptr || value->kind == YamlNode::Kind::null
                   ? std::nullopt
                   : std::optional<T>(convert<T>(full(key), *value));
    }

    /// The value of a key that must be there.
    template <class T>
    [[nodiscard]] T require(std::string_view key) {
        const YamlNode* value = raw(key);
        reel::require(value != nullptr, location(key), ": the key is missing, expected ", expected<T>());
        return convert<T>(full(key), *value);
    }

    /// The group of keys below a key that must be there.
    [[nodiscard]] YamlReader section(std::string_view key) {
        const YamlNode* value = raw(key);
        reel::require(value != nullptr, location(key), ": the key is missing, expected a group of keys");
        return {*value, where_, full(key)};
    }

    /// The untyped value, or null when the key is absent. Counts as reading it.
    [[nodiscard]] const YamlNode* raw(std::string_view key) {
        used_.emplace(key);
        return node_.find(key);
    }

    /// Call last: throws Error naming every key that nobody asked for, each with the nearest known one.
    void finish() const {
        std::string unknown;
        for (const YamlNode::Key& key : node_.keys) {
            if (!used_.contains(key.name)) {
                unknown += concat_text(unknown.empty() ? "" : "; ", place(key.line), full(key.name), ": unknown key",
                                       did_you_mean(key.name, used_));
            }
        }
        reel::require(unknown.empty(), unknown);
    }

private:
    template <class T>
    struct is_vector : std::false_type {};
    template <class T>
    struct is_vector<std::vector<T>> : std::true_type {};

    template <class T>
    [[nodiscard]] static std::string expected() {
        if constexpr (std::same_as<T, bool>) {
            return "True or False";
        } else if constexpr (std::integral<T>) {
            return concat_text("an integer from ", std::to_string(std::numeric_limits<T>::min()), " to ",
                               std::to_string(std::numeric_limits<T>::max()));
        } else if constexpr (std::floating_point<T>) {
            return "a number";
        } else if constexpr (is_vector<T>::value) {
            return "a list, each item " + expected<typename T::value_type>();
        } else {
            static_assert(std::same_as<T, std::string>, "reel: YamlReader does not read this type");
            return "text";
        }
    }

    [[nodiscard]] std::string place(int line) const { return concat_text(where_, ":", line, ": "); }

    [[nodiscard]] std::string full(std::string_view key) const {
        return path_.empty() ? std::string(key) : concat_text(path_, ".", key);
    }

    template <class T>
    [[nodiscard]] T convert(const std::string& name, const YamlNode& value) const {
        const auto refuse = [&]() {
            fail(place(value.line), name, ": expected ", expected<T>(), ", found ", describe(value));
        };
        const bool plain = value.kind == YamlNode::Kind::scalar && !value.quoted;
        if constexpr (std::same_as<T, bool>) {
            const auto read = plain ? detail::yaml_bool(value.text) : std::nullopt;
            return read ? *read : (refuse(), false);
        } else if constexpr (std::integral<T> || std::floating_point<T>) {
            const auto read = plain ? detail::yaml_number<T>(value.text) : std::nullopt;
            return read ? *read : (refuse(), T{});
        } else if constexpr (std::same_as<T, std::string>) {
            return value.kind == YamlNode::Kind::scalar ? value.text : (refuse(), T{});
        } else {
            if (value.kind != YamlNode::Kind::list) {
                refuse();
            }
            T items;
            items.reserve(value.items.size());
            for (std::size_t i = 0; i < value.items.size(); ++i) {
                items.push_back(convert<typename T::value_type>(concat_text(name, "[", i, "]"), value.items[i]));
            }
            return items;
        }
    }

    YamlNode node_;
    std::string where_;
    std::string path_;
    std::set<std::string, std::less<>> used_;
};

} // namespace reel
