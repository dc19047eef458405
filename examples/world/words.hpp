#pragma once
// The world's vocabulary: four acts, their objects, six colours.

#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace world {

enum class Act { swinging, sitting, pulling, carrying };
enum class Colour { red, green, blue, yellow, black, white };

inline constexpr int act_count = 4;
inline constexpr int colour_count = 6;

/// The act as captions say it: "swinging".
[[nodiscard]] inline std::string_view name_of(Act act) {
    constexpr std::array<std::string_view, act_count> names{"swinging", "sitting", "pulling", "carrying"};
    return names.at(static_cast<std::size_t>(act));
}

/// What the act is done with: "tennis racket".
[[nodiscard]] inline std::string_view object_of(Act act) {
    constexpr std::array<std::string_view, act_count> names{"tennis racket", "stool", "suitcase", "toolbox"};
    return names.at(static_cast<std::size_t>(act));
}

[[nodiscard]] inline std::string_view name_of(Colour colour) {
    constexpr std::array<std::string_view, colour_count> names{"red", "green", "blue", "yellow", "black", "white"};
    return names.at(static_cast<std::size_t>(colour));
}

/// Red, green and blue, 0 to 1, of the paint of objects. Everything else in a picture keeps away from these six.
[[nodiscard]] inline std::array<double, 3> rgb_of(Colour colour) {
    constexpr std::array<std::array<double, 3>, colour_count> paints{
        {{.86, .10, .12}, {.10, .62, .20}, {.10, .25, .88}, {.97, .83, .08}, {.05, .05, .06}, {.97, .97, .97}}};
    return paints.at(static_cast<std::size_t>(colour));
}

/// The act or colour of a name; nothing for any other text.
template <class Word>
[[nodiscard]] std::optional<Word> word_named(std::string_view name, int count) {
    for (int i = 0; i < count; ++i) {
        if (name_of(static_cast<Word>(i)) == name) {
            return static_cast<Word>(i);
        }
    }
    return std::nullopt;
}

/// Names of all acts or colours.
template <class Word>
[[nodiscard]] std::vector<std::string> words(int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) {
        names.emplace_back(name_of(static_cast<Word>(i)));
    }
    return names;
}

} // namespace world
