#pragma once
// The world's vocabulary: four acts, their objects, six colours.

#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/named_values.hpp>
#include <reel/core/nearest_name.hpp>

namespace world {

enum class Act { swinging, sitting, pulling, carrying };
enum class Colour { red, green, blue, yellow, black, white };

/// Acts as captions say them.
inline constexpr std::array act_names{
    reel::NamedValue{"swinging", Act::swinging}, reel::NamedValue{"sitting", Act::sitting},
    reel::NamedValue{"pulling", Act::pulling}, reel::NamedValue{"carrying", Act::carrying}};

inline constexpr std::array colour_names{
    reel::NamedValue{"red", Colour::red},     reel::NamedValue{"green", Colour::green},
    reel::NamedValue{"blue", Colour::blue},   reel::NamedValue{"yellow", Colour::yellow},
    reel::NamedValue{"black", Colour::black}, reel::NamedValue{"white", Colour::white}};

[[nodiscard]] constexpr const auto& names_of(Act) {
    return act_names;
}
[[nodiscard]] constexpr const auto& names_of(Colour) {
    return colour_names;
}

inline constexpr int act_count = static_cast<int>(act_names.size());
inline constexpr int colour_count = static_cast<int>(colour_names.size());

/// "swinging", "red".
[[nodiscard]] inline std::string_view name_of(Act act) {
    return act_names.at(static_cast<std::size_t>(act)).name;
}
[[nodiscard]] inline std::string_view name_of(Colour colour) {
    return colour_names.at(static_cast<std::size_t>(colour)).name;
}

/// What the act is done with: "tennis racket".
[[nodiscard]] inline std::string_view object_of(Act act) {
    constexpr std::array<std::string_view, act_count> names{"tennis racket", "stool", "suitcase", "toolbox"};
    return names.at(static_cast<std::size_t>(act));
}

/// Red, green and blue, 0 to 1, of the paint of objects. Everything else in a picture keeps away from these six.
[[nodiscard]] inline std::array<double, 3> rgb_of(Colour colour) {
    constexpr std::array<std::array<double, 3>, colour_count> paints{
        {{.86, .10, .12}, {.10, .62, .20}, {.10, .25, .88}, {.97, .83, .08}, {.05, .05, .06}, {.97, .97, .97}}};
    return paints.at(static_cast<std::size_t>(colour));
}

/// Names of all acts or colours: words<Act>().
template <class Word>
[[nodiscard]] std::vector<std::string> words() {
    std::vector<std::string> names;
    for (const auto& entry : names_of(Word{})) {
        names.emplace_back(entry.name);
    }
    return names;
}

/// The act or colour of a name; nothing for any other text.
template <class Word>
[[nodiscard]] std::optional<Word> word_named(std::string_view name) {
    for (const auto& entry : names_of(Word{})) {
        if (entry.name == name) {
            return entry.value;
        }
    }
    return std::nullopt;
}

/// The act or colour of a name. Throws reel::Error, with the nearest name, for any other text.
template <class Word>
[[nodiscard]] Word known_word(const std::string& name) {
    const std::optional<Word> word = word_named<Word>(name);
    reel::require(word.has_value(), "\"", name, "\" is unknown", reel::did_you_mean(name, words<Word>()));
    return *word;
}

/// A colour by its number in what was measured; "none" for none.
[[nodiscard]] inline std::string_view colour_name(std::optional<int> colour) {
    return colour ? name_of(static_cast<Colour>(*colour)) : "none";
}

} // namespace world
