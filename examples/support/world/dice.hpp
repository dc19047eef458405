#pragma once
// Random choices, one after another, and random muted colours.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <reel/core/error.hpp>
#include <reel/core/random.hpp>

#include "canvas.hpp"
#include "words.hpp"

namespace world {

/// Numbers that depend on the seed and on how many came before.
class Dice {
public:
    explicit Dice(std::uint64_t seed) : random_(seed, stream) {}

    [[nodiscard]] float between(float low, float high) {
        return low + (high - low) * static_cast<float>(random_.uniform(next_++));
    }
    [[nodiscard]] int below(int count) {
        return static_cast<int>(random_.below(next_++, static_cast<std::uint32_t>(count)));
    }
    [[nodiscard]] bool chance(float share) { return between(0, 1) < share; }
    template <class T, std::size_t n>
    [[nodiscard]] T one_of(const T (&choices)[n]) {
        return choices[below(static_cast<int>(n))];
    }

private:
    static constexpr std::uint64_t stream = 0x776f726c64; // not that of the noise a training draws with the same seed
    reel::Philox random_;
    std::uint64_t next_ = 0;
};

/// The largest difference in a channel.
[[nodiscard]] inline float difference(Rgb a, Rgb b) {
    return std::max({std::abs(a.r - b.r), std::abs(a.g - b.g), std::abs(a.b - b.b)});
}

[[nodiscard]] inline Rgb paint_of(Colour colour) {
    const auto rgb = rgb_of(colour);
    return {static_cast<float>(rgb[0]), static_cast<float>(rgb[1]), static_cast<float>(rgb[2])};
}

/// The difference between a colour and the most similar of the six paints of objects.
[[nodiscard]] inline float difference_from_paints(Rgb colour) {
    float least = 1;
    for (int i = 0; i < colour_count; ++i) {
        least = std::min(least, difference(colour, paint_of(static_cast<Colour>(i))));
    }
    return least;
}

/// A muted colour on which every object stands out, even after shifted() by 0.05, and that differs by 0.12 from each of
/// `others`. `grey` 0 to 1 says how close to grey it stays.
[[nodiscard]] inline Rgb muted_colour(Dice& dice, std::span<const Rgb> others, float grey = 0) {
    constexpr float low = 0.34F;
    constexpr float high = 0.70F;
    for (int attempt = 0; attempt < 10000; ++attempt) {
        const Rgb free{dice.between(low, high), dice.between(low, high), dice.between(low, high)};
        const float mean = (free.r + free.g + free.b) / 3;
        const Rgb colour = mix(free, {mean, mean, mean}, grey);
        const bool apart =
            std::all_of(others.begin(), others.end(), [&](Rgb other) { return difference(colour, other) > 0.12F; });
        if (apart && difference_from_paints(colour) > 0.34F) {
            return colour;
        }
    }
    reel::fail("muted_colour: found no colour that differs from ", others.size(), " others and from the paints");
}

} // namespace world
