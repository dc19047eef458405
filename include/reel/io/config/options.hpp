#pragma once
// Structs of options as JSON and YAML. Needs nlohmann-json and yaml-cpp (target reel::io).

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/core/option_checks.hpp>
#include <reel/io/config/yaml_reader.hpp>
#include <reel/io/config/yaml_writer.hpp>

namespace reel {

namespace detail {

template <class T>
[[nodiscard]] nlohmann::json option_json(const T& value) {
    if constexpr (NamedEnum<T>) {
        return option_text(value);
    } else if constexpr (requires { value.has_value(); }) {
        return value ? nlohmann::json(*value) : nlohmann::json();
    } else {
        return value;
    }
}

template <class T>
[[nodiscard]] std::string option_yaml(const T& value, std::string_view key) {
    if constexpr (std::same_as<T, bool> || std::integral<T>) {
        return option_text(value);
    } else if constexpr (std::floating_point<T>) {
        return yaml_float(value);
    } else if constexpr (requires { value.has_value(); }) {
        return value ? option_yaml(*value, key) : "null";
    } else {
        return yaml_quoted(option_text(value), key);
    }
}

template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;

template <class T>
void read_option(YamlReader& reader, std::string_view key, T& value) {
    if constexpr (NamedEnum<T>) {
        if (reader.has(key)) {
            value = choice_of<T>(reader.require<std::string>(key), reader.location(key));
        }
        static_cast<void>(reader.raw(key)); // known, also where it is absent
    } else if constexpr (requires { value.has_value(); }) {
        if (reader.has(key)) {
            value = reader.get_optional<typename T::value_type>(key);
        }
        static_cast<void>(reader.raw(key));
    } else {
        value = reader.get(key, value);
    }
}

} // namespace detail

/// The options by name, groups as objects within.
template <Options O>
[[nodiscard]] nlohmann::json options_json(const O& self) {
    nlohmann::json json = nlohmann::json::object();
    std::remove_const_t<O>::options(self, [&]<class About>(const About& about, const auto& value) {
        if constexpr (std::same_as<About, OptionGroup>) {
            json[std::string(about.name)] = options_json(value);
        } else {
            json[std::string(about.name)] = detail::option_json(value);
        }
    });
    return json;
}

/// Lays a group of keys over options: absent keys keep what they have. Unknown keys are left for reader.finish().
/// Throws Error with file and line for a value of another type or name. Ranges: check_options().
template <Options O>
void read_options(YamlReader& reader, O& self) {
    O::options(self, [&]<class About>(const About& about, auto& value) {
        if constexpr (std::same_as<About, OptionGroup>) {
            YamlReader group = reader.section(about.name);
            read_options(group, value);
            group.finish();
        } else {
            detail::read_option(reader, about.name, value);
        }
    });
}

/// Lines of `key: value`, in the order of the struct's list, groups two spaces deeper.
template <Options O>
[[nodiscard]] std::string options_yaml(const O& self, const std::string& indent = "") {
    std::string text;
    std::remove_const_t<O>::options(self, [&]<class About>(const About& about, const auto& value) {
        if constexpr (std::same_as<About, OptionGroup>) {
            text += concat_text(indent, about.name, ":\n", options_yaml(value, indent + "  "));
        } else if constexpr (detail::is_list<std::remove_cvref_t<decltype(value)>>) {
            text += concat_text(indent, about.name, ":", value.empty() ? " []\n" : "\n");
            for (const auto& item : value) {
                text += concat_text(indent, "  - ", detail::option_yaml(item, about.name), "\n");
            }
        } else {
            text += concat_text(indent, about.name, ": ", detail::option_yaml(value, about.name), "\n");
        }
    });
    return text;
}

/// The names of the options of a struct, in its order; of groups, their own name.
template <Options O>
[[nodiscard]] std::vector<std::string> option_names() {
    std::vector<std::string> names;
    const O self{};
    O::options(self, [&](const auto& about, const auto&) { names.emplace_back(about.name); });
    return names;
}

} // namespace reel
