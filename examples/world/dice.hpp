#pragma once
// Random choices, one after another, and random muted colours.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

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

/// A muted colour on which every object stands out, even after shifted() by 0.05. It differs by 0.18 in a channel from
/// each of `others`, or by a little less where that is hard to find. `grey` 0 to 1 says how close to grey it stays.
[[nodiscard]] inline Rgb muted_colour(Dice& dice, std::span<const Rgb> others, float grey = 0) {
    constexpr float low = 0.34F;
    constexpr float high = 0.70F;
    for (float apart = 0.18F; apart > 0; apart -= 0.0005F) {
        const float r = dice.between(low, high);
        const float g = dice.between(low, high);
        const float b = dice.between(low, high);
        const float mean = (r + g + b) / 3;
        const Rgb colour = mix({r, g, b}, {mean, mean, mean}, grey);
        if (difference_from_paints(colour) > 0.34F &&
            std::all_of(others.begin(), others.end(), [&](Rgb other) { return difference(colour, other) > apart; })) {
            return colour;
        }
    }
    return {0.5F, 0.5F, 0.5F}; // 0.4 from the paints
}

} // namespace world
