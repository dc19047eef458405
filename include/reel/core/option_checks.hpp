#pragma once

#include <reel/core/options.hpp>

namespace reel {

namespace detail {

/// Throws Error that starts with `where` unless the value is in the option's range. OmegaConf, which reads such files
/// in the reference, gives `${...}` and `???` a meaning: not here, so not silently.
template <class T>
void check_option(const Option& option, const T& value, const std::string& where) {
    if constexpr (std::same_as<T, bool> || std::is_enum_v<T>) {
        return;
    } else if constexpr (std::integral<T> || std::floating_point<T>) {
        require(option.range.contains(static_cast<double>(value)), where, ": expected ", option.range.text(),
                ", found ", value);
    } else if constexpr (std::same_as<T, std::string>) {
        require(option.needs.empty() || !value.empty(), where, ": expected a ", option.needs, ", found nothing");
        require(value.find("${") == std::string::npos, where, ": holds an interpolation ${...}, which is not ",
                "supported; write the value itself");
        require(value != "???", where, ": is ???, which stands for a missing value");
    } else if constexpr (requires { value.has_value(); }) {
        if (value) {
            check_option(option, *value, where);
        }
    } else {
        require(option.needs.empty() || !value.empty(), where, ": expected at least one ", option.needs,
                ", found none");
        for (const auto& item : value) {
            if constexpr (requires { item.empty(); }) {
                require(option.needs.empty() || !item.empty(), where, ": expected ", option.needs,
                        "s, found an empty one");
            }
            check_option(option, item, where);
        }
    }
}

} // namespace detail

/// Checks ranges, and what must fit together. Throws Error that starts with `locate(key path)` and names what was
/// expected and found.
template <Options O>
void check_options(const O& self, const KeyLocator& locate = bare_key) {
    for_each_option(self, [&](const Option& option, const auto& value, const std::string& path) {
        detail::check_option(option, value, locate(path));
    });
    if constexpr (requires { self.check(locate); }) {
        self.check(locate);
    }
}

} // namespace reel
