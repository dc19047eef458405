#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/shape.hpp>

namespace reel {

/// Where every token of a prompt looks: means over layers and heads, on the host.
struct TokenMaps {
    index_t frames = 0;
    index_t height = 0;
    index_t width = 0;
    index_t tokens = 0;
    std::vector<double> values{}; ///< [frames, height * width, tokens]
};

/// How far words are from being seen.
struct WordLoss {
    std::vector<double> of_frames{}; ///< 1 - the largest attention of the word that has least, in 0..1
    std::vector<double> slope{};     ///< of their sum, by the maps' values
};

namespace detail {

/// A normal distribution of deviation 1/2 over 3 x 3 pixels, the sides mirrored.
class SmoothedPixel {
public:
    SmoothedPixel(index_t height, index_t width, index_t pixel) {
        const double side = std::exp(-2.0);
        const std::array<double, 3> weights{side / (1 + 2 * side), 1 / (1 + 2 * side), side / (1 + 2 * side)};
        for (index_t v = 0; v < 3; ++v) {
            for (index_t u = 0; u < 3; ++u) {
                const auto i = static_cast<std::size_t>(v * 3 + u);
                pixels[i] = mirrored(pixel / width + v - 1, height) * width + mirrored(pixel % width + u - 1, width);
                shares[i] = weights[static_cast<std::size_t>(v)] * weights[static_cast<std::size_t>(u)];
            }
        }
    }

    std::array<index_t, 9> pixels{};
    std::array<double, 9> shares{};

private:
    [[nodiscard]] static index_t mirrored(index_t i, index_t count) {
        const index_t inside = i < 0 ? -i : (i >= count ? 2 * count - 2 - i : i);
        return std::clamp<index_t>(inside, 0, count - 1);
    }
};

/// The maps' softmax over tokens but the first: what a pixel has for each word; the first token's is 0.
[[nodiscard]] inline std::vector<double> shares_of_tokens(const TokenMaps& maps, double sharpness) {
    std::vector<double> shares(maps.values.size());
    const auto tokens = static_cast<std::size_t>(maps.tokens);
    for (std::size_t row = 0; row < shares.size(); row += tokens) {
        const double* const x = maps.values.data() + row;
        const double top = *std::max_element(x + 1, x + tokens);
        double sum = 0;
        for (std::size_t i = 1; i < tokens; ++i) {
            shares[row + i] = std::exp(sharpness * (x[i] - top));
            sum += shares[row + i];
        }
        for (std::size_t i = 1; i < tokens; ++i) {
            shares[row + i] /= sum;
        }
    }
    return shares;
}

} // namespace detail

/// The loss of attend-and-excite (Chefer et al. 2023, arXiv:2301.13826, algorithm 1) of each frame, and its
/// gradient: a softmax over tokens (times `sharpness`; without the first, which begins every prompt), smoothed, and of
/// the `words` (tokens) the one whose largest value is least. Throws Error for tokens that the maps do not have.
[[nodiscard]] inline WordLoss word_loss(const TokenMaps& maps, const std::vector<index_t>& words,
                                        double sharpness = 100) {
    const index_t pixels = maps.height * maps.width;
    require(!words.empty() && maps.tokens > 1 && pixels > 0 &&
                static_cast<index_t>(maps.values.size()) == maps.frames * pixels * maps.tokens,
            "word_loss: ", words.size(), " words in ", maps.values.size(), " values; expected at least one word in ",
            maps.frames * pixels, " times ", maps.tokens);
    for (const index_t word : words) {
        require(word > 0 && word < maps.tokens, "word_loss: token ", word, "; expected 1 to ", maps.tokens - 1);
    }
    const std::vector<double> shares = detail::shares_of_tokens(maps, sharpness);
    WordLoss loss{{}, std::vector<double>(shares.size())};
    for (index_t frame = 0; frame < maps.frames; ++frame) {
        const auto at = [&](index_t pixel, index_t token) {
            return static_cast<std::size_t>((frame * pixels + pixel) * maps.tokens + token);
        };
        double least = 2;
        index_t word_of_least = 0;
        index_t pixel_of_least = 0;
        for (const index_t word : words) {
            double largest = -1;
            index_t where = 0;
            for (index_t pixel = 0; pixel < pixels; ++pixel) {
                const detail::SmoothedPixel smoothed(maps.height, maps.width, pixel);
                double value = 0;
                for (std::size_t i = 0; i < 9; ++i) {
                    value += smoothed.shares[i] * shares[at(smoothed.pixels[i], word)];
                }
                where = value > largest ? pixel : where;
                largest = std::max(largest, value);
            }
            if (largest < least) {
                least = largest;
                word_of_least = word;
                pixel_of_least = where;
            }
        }
        loss.of_frames.push_back(1 - least);
        const detail::SmoothedPixel smoothed(maps.height, maps.width, pixel_of_least);
        for (std::size_t i = 0; i < 9; ++i) {
            const index_t pixel = smoothed.pixels[i];
            const double own = shares[at(pixel, word_of_least)];
            for (index_t token = 1; token < maps.tokens; ++token) {
                const double change = (token == word_of_least ? 1.0 : 0.0) - shares[at(pixel, token)];
                loss.slope[at(pixel, token)] -= smoothed.shares[i] * sharpness * own * change;
            }
        }
    }
    return loss;
}

} // namespace reel
