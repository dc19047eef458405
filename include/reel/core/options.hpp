#pragma once
// Options that a struct lists once: command lines, configuration files, manifests, checks and tables follow from that.

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <reel/core/named_values.hpp>

namespace reel {

/// Which numbers an option takes. As the others, NaN is outside of every range but the default's.
struct OptionRange {
    double least = -std::numeric_limits<double>::infinity();
    double most = std::numeric_limits<double>::infinity();
    bool above = false;    ///< `least` itself is outside
    bool below = false;    ///< `most` itself is outside
    int multiple_of = 1;   ///< of whole numbers
    std::string_view of{}; ///< what they count, such as "pixels"

    [[nodiscard]] constexpr bool everything() const { return least < -1e308 && most > 1e308; }

    [[nodiscard]] constexpr bool contains(double value) const {
        const bool high_enough = above ? value > least : value >= least;
        const bool low_enough = below ? value < most : value <= most;
        return everything() ||
               (high_enough && low_enough && (multiple_of == 1 || fits(static_cast<std::int64_t>(value))));
    }

    /// "at least 1", "a number from 0 and below 1", ...
    [[nodiscard]] std::string text() const;

private:
    [[nodiscard]] constexpr bool fits(std::int64_t value) const { return value % multiple_of == 0; }
};

/// No less.
[[nodiscard]] constexpr OptionRange at_least(double least) {
    return {.least = least};
}
/// Both ends included.
[[nodiscard]] constexpr OptionRange from_to(double least, double most) {
    return {.least = least, .most = most};
}
/// The first end included.
[[nodiscard]] constexpr OptionRange from_below(double least, double most) {
    return {.least = least, .most = most, .below = true};
}
/// The last end included.
[[nodiscard]] constexpr OptionRange above_to(double least, double most) {
    return {.least = least, .most = most, .above = true};
}
/// More.
[[nodiscard]] constexpr OptionRange above(double least) {
    return {.least = least, .above = true};
}

inline std::string OptionRange::text() const {
    const bool ends = most <= 1e308;
    if (multiple_of > 1) {
        return concat_text("a multiple of ", multiple_of, " from ", least, " to ", most, of.empty() ? "" : " (", of,
                           of.empty() ? "" : ")");
    }
    if (!ends) {
        return concat_text(above ? "a number above " : "at least ", least);
    }
    return concat_text("a number ", above ? "above " : "from ", least, above || below ? " and " : " to ",
                       below   ? "below "
                       : above ? "at most "
                               : "",
                       most);
}

/// One option of a struct, as it is called everywhere.
struct Option {
    std::string_view name;    ///< the key of a YAML or JSON file; "--name" on a command line
    std::string_view text;    ///< what it does, in a few words, for --help and tables
    OptionRange range{};      ///< of numbers
    std::string_view needs{}; ///< what must be given: "path" says that a text must not be empty, nor a list
};

/// A struct within a struct of options: a group of keys in a file.
struct OptionGroup {
    std::string_view name;
};

/// A struct of options lists them once, in a static member:
///
///     struct BlurOptions {
///         double radius = 1;
///         template <class Self, class Visit>
///         static void options(Self& self, const Visit& visit) {
///             visit(Option{"blur_radius", "pixels", at_least(0)}, self.radius);
///         }
///     };
///
/// Values are bool, int, index_t, double, std::string, an enumeration with a table of names (names_of()), a vector of
/// double or std::string, an optional of std::string or std::uint64_t; and structs of options, after an OptionGroup.
/// What must fit together is checked in `void check(const KeyLocator&) const`, where the struct has one.
template <class O>
concept Options = requires(O& self, void (*visit)(...)) {
    std::remove_const_t<O>::options(self, visit);
};

/// An enumeration whose values have names: `names_of(E)`, found beside it, gives its table.
template <class E>
concept NamedEnum = std::is_enum_v<E> && requires(E value) {
    names_of(value);
};

/// Turns a key path such as "train_data.width" into the start of a message.
using KeyLocator = std::function<std::string(std::string_view)>;

/// The key path itself: for values that came from no file.
[[nodiscard]] inline std::string bare_key(std::string_view key) {
    return std::string(key);
}

/// The value of an enumeration by its name. Throws Error that starts with `where`, lists the names and suggests the
/// nearest.
template <NamedEnum E>
[[nodiscard]] E choice_of(std::string_view name, std::string_view where) {
    std::string listed;
    std::vector<std::string_view> candidates;
    for (const auto& entry : names_of(E{})) {
        if (entry.name == name) {
            return entry.value;
        }
        listed += (listed.empty() ? "" : ", ") + std::string(entry.name);
        candidates.push_back(entry.name);
    }
    fail(where, ": expected one of ", listed, ", found \"", name.substr(0, 80), "\"", did_you_mean(name, candidates));
}

/// A value as a person would write it: numbers short, texts bare, lists with commas, nothing as "".
template <class T>
[[nodiscard]] std::string option_text(const T& value) {
    if constexpr (std::same_as<T, bool>) {
        return value ? "true" : "false";
    } else if constexpr (NamedEnum<T>) {
        return std::string(name_in(names_of(value), value));
    } else if constexpr (std::floating_point<T>) {
        std::array<char, 32> digits{};
        return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr};
    } else if constexpr (std::integral<T>) {
        return std::to_string(value);
    } else if constexpr (std::same_as<T, std::string>) {
        return value;
    } else if constexpr (requires { value.has_value(); }) {
        return value ? option_text(*value) : std::string();
    } else {
        std::string list;
        for (const auto& item : value) {
            list += (list.empty() ? "" : ",") + option_text(item);
        }
        return list;
    }
}

/// Calls visit(option, value, key path) for every option, those of groups included.
template <class O, class Visit>
void for_each_option(O& self, const Visit& visit, const std::string& prefix = "") {
    std::remove_const_t<O>::options(self, [&]<class About>(const About& about, auto& value) {
        if constexpr (std::same_as<About, OptionGroup>) {
            for_each_option(value, visit, prefix + std::string(about.name) + ".");
        } else {
            visit(about, value, prefix + std::string(about.name));
        }
    });
}

/// An option's name within a group, and how it is called where the groups are no more; "" leaves it out.
struct RenamedOption {
    std::string_view path;
    std::string_view name;
};

/// Visits all options of a struct as if they were one's own: groups are opened, each option goes by the last part of
/// its path, or as `names` say.
template <class O, class Visit>
void visit_renamed(O& self, const Visit& visit, std::initializer_list<RenamedOption> names) {
    for_each_option(self, [&](Option option, auto& value, const std::string& path) {
        for (const RenamedOption& renamed : names) {
            option.name = renamed.path == path ? renamed.name : option.name;
        }
        if (!option.name.empty()) {
            visit(option, value);
        }
    });
}

} // namespace reel
