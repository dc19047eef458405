#pragma once
// Typed, strict reading of configurations. Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/nearest_name.hpp>
#include <reel/io/config/json.hpp>

#include <nlohmann/json.hpp>

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

/// Reads the keys of one JSON object and remembers which were asked for, so that finish() can refuse the others:
/// nothing in a configuration is silently ignored.
///
///     ConfigReader config = ConfigReader::from_file(folder / "config.json");
///     const auto channels = config.get<int>("in_channels", 4);
///     config.expect("act_fn", "silu");
///     config.ignore({"_class_name", "_diffusers_version"});
///     config.finish();
///
/// T is bool, an integer type, a floating type (which also takes an integer), std::string or std::vector of these.
/// Every Error names the file, the key, what was expected and what was found.
class ConfigReader {
public:
    /// `where` (a file name) starts every message. Throws Error unless `object` is a JSON object.
    ConfigReader(nlohmann::json object, std::string where) : object_(std::move(object)), where_(std::move(where)) {
        reel::require(object_.is_object(), where_, ": expected a JSON object, found ", found(object_));
    }

    template <class = void>
    [[nodiscard]] static ConfigReader from_file(const std::filesystem::path& path) {
        return {read_json(path), path.string()};
    }

    [[nodiscard]] const std::string& where() const { return where_; }

    /// Whether the key is there and not null. Does not count as reading it.
    [[nodiscard]] bool has(std::string_view key) const {
        const auto item = object_.find(key);
        return item != object_.end() && !item->is_null();
    }

    /// The value, or `otherwise` when the key is absent.
    template <class T>
    [[nodiscard]] T get(std::string_view key, T otherwise) {
        const nlohmann::json* value = raw(key);
        return value == nullptr ? std::move(otherwise) : convert<T>(key, *value);
    }

    /// The value, or nothing when the key is absent or null.
    template <class T>
    [[nodiscard]] std::optional<T> get_optional(std::string_view key) {
        const nlohmann::json* value = raw(key);
        return value == nullptr || value->is_null() ? std::nullopt : std::optional<T>(convert<T>(key, *value));
    }

    /// The value of a key that must be there.
    template <class T>
    [[nodiscard]] T require(std::string_view key) {
        const nlohmann::json* value = raw(key);
        reel::require(value != nullptr, where_, ": the key \"", key, "\" is missing (expected ", expected<T>(), ")");
        return convert<T>(key, *value);
    }

    /// A key that holds one value or a list of values, as diffusers' attention_head_dim does; one value comes back as
    /// a list of one.
    template <class T>
    [[nodiscard]] std::vector<T> get_one_or_list(std::string_view key, std::vector<T> otherwise) {
        const nlohmann::json* value = raw(key);
        if (value == nullptr) {
            return otherwise;
        }
        return value->is_array() ? convert<std::vector<T>>(key, *value) : std::vector<T>{convert<T>(key, *value)};
    }

    /// The untyped value, or null when the key is absent. Counts as reading it.
    [[nodiscard]] const nlohmann::json* raw(std::string_view key) {
        used_.emplace(key);
        const auto item = object_.find(key);
        return item == object_.end() ? nullptr : &*item;
    }

    /// Says that only this value is supported: absent or equal passes, anything else is an Error naming it.
    void expect(std::string_view key, const nlohmann::json& supported) {
        const nlohmann::json* value = raw(key);
        reel::require(value == nullptr || *value == supported, where_, ": \"", key, "\" is ",
                      value == nullptr ? std::string() : shown(*value), ", but only ", shown(supported),
                      " is supported");
    }

    /// Says that these keys mean nothing here and may have any value.
    void ignore(std::initializer_list<std::string_view> keys) {
        for (const std::string_view key : keys) {
            used_.emplace(key);
        }
    }

    /// Call last: throws Error naming the keys that nobody asked for (ten at most), with the nearest known ones.
    void finish() const {
        constexpr std::size_t shown_keys = 10; // each is compared with all known ones
        std::string unknown;
        std::size_t count = 0;
        for (const auto& [key, value] : object_.items()) {
            if (!used_.contains(key) && ++count <= shown_keys) {
                unknown += concat_text(unknown.empty() ? "" : ", ", '"', key, '"', did_you_mean(key, used_));
            }
        }
        reel::require(unknown.empty(), where_, ": unknown key ", unknown,
                      count > shown_keys ? concat_text(" and ", count - shown_keys, " more") : "");
    }

private:
    template <class T>
    struct is_vector : std::false_type {};
    template <class T>
    struct is_vector<std::vector<T>> : std::true_type {};

    template <class T>
    [[nodiscard]] static std::string expected() {
        if constexpr (std::same_as<T, bool>) {
            return "true or false";
        } else if constexpr (std::integral<T>) {
            return "an integer";
        } else if constexpr (std::floating_point<T>) {
            return "a number";
        } else if constexpr (is_vector<T>::value) {
            return concat_text("a list, each item ", expected<typename T::value_type>());
        } else {
            static_assert(std::same_as<T, std::string>, "reel: ConfigReader does not read this type");
            return "a string";
        }
    }

    [[nodiscard]] static std::string shown(const nlohmann::json& value) {
        std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        return text.size() <= 80 ? text : text.substr(0, 77) + "...";
    }

    [[nodiscard]] static std::string found(const nlohmann::json& value) {
        return value.is_null() ? "null" : concat_text("the ", value.type_name(), " ", shown(value));
    }

    template <class T>
    [[nodiscard]] T convert(std::string_view key, const nlohmann::json& value) const {
        const auto matches = [&](bool condition) {
            reel::require(condition, where_, ": \"", key, "\": expected ", expected<T>(), ", found ", found(value));
        };
        if constexpr (std::same_as<T, bool>) {
            matches(value.is_boolean());
            return value.get<bool>();
        } else if constexpr (std::integral<T>) {
            matches(value.is_number_integer());
            const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                                         : std::in_range<T>(value.get<std::int64_t>());
            reel::require(fits, where_, ": \"", key, "\" is ", shown(value), ", expected an integer from ",
                          std::to_string(std::numeric_limits<T>::min()), " to ",
                          std::to_string(std::numeric_limits<T>::max()));
            return value.get<T>();
        } else if constexpr (std::floating_point<T>) {
            matches(value.is_number());
            return value.get<T>();
        } else if constexpr (std::same_as<T, std::string>) {
            matches(value.is_string());
            return value.get<std::string>();
        } else {
            matches(value.is_array());
            T items;
            items.reserve(value.size());
            for (std::size_t i = 0; i < value.size(); ++i) {
                items.push_back(convert<typename T::value_type>(concat_text(key, "[", i, "]"), value[i]));
            }
            return items;
        }
    }

    nlohmann::json object_;
    std::string where_;
    std::set<std::string, std::less<>> used_;
};

} // namespace reel
