#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/nearest_name.hpp>

namespace reel {

/// One value of an enumeration with the name that configurations use for it. Tables of these are arrays named
/// `..._names`.
template <class E>
struct NamedValue {
    std::string_view name;
    E value;

    constexpr NamedValue(std::string_view its_name, E its_value) : name(its_name), value(its_value) {}
};

/// The name of a value in its table. Throws Error for a value that the table lacks (a cast integer).
template <class Table, class E>
[[nodiscard]] std::string_view name_in(const Table& table, E value) {
    for (const auto& entry : table) {
        if (entry.value == value) {
            return entry.name;
        }
    }
    fail("no name for the value ", static_cast<int>(value), " of an enumeration");
}

/// The value with this name. Throws Error starting with `what` (a file and key, or an option's name) that lists the
/// names and suggests the nearest.
template <class Table>
[[nodiscard]] auto value_in(const Table& table, std::string_view name, std::string_view what) {
    std::string names;
    std::vector<std::string_view> candidates;
    for (const auto& entry : table) {
        if (entry.name == name) {
            return entry.value;
        }
        names += (names.empty() ? "" : ", ") + std::string(entry.name);
        candidates.push_back(entry.name);
    }
    fail(what, ": \"", name.substr(0, 80), "\" is not supported", did_you_mean(name, candidates),
         "; expected one of: ", names);
}

} // namespace reel
