#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/ops/elementwise.hpp>
#include <reel/pipelines/control/source_branch.hpp>

namespace reel {

/// Where some words look, summed up over the layers and steps of a run: of the layers whose map is a quarter of the
/// latents in height and width (1/32 of the picture), or the nearest below that where a UNet has none.
class WordMaps {
public:
    WordMaps() = default;
    /// `tokens`: see tokens_of_word().
    explicit WordMaps(std::vector<index_t> tokens) : tokens_(std::move(tokens)) {}

    [[nodiscard]] bool wanted() const { return !tokens_.empty(); }

    /// Adds what a layer that looks at the prompt tells: [frames, heads, pixels, tokens]. `latents` are the call's.
    template <Scalar T, Backend B>
    void add(const Tensor<T, B>& probabilities, const Shape& latents) {
        if (!wanted()) {
            return;
        }
        const Size size = size_of(probabilities.shape(2), latents);
        const index_t top = quarter(latents[1]) * quarter(latents[2]);
        if (size.pixels() > top || size.pixels() < size_.pixels()) {
            return;
        }
        const index_t frames = probabilities.shape(0);
        if (size.pixels() > size_.pixels()) {
            size_ = size;
            frames_ = frames;
            sums_.assign(static_cast<std::size_t>(frames * size.pixels()), 0);
        }
        for (const index_t token : tokens_) {
            const auto seen = mean(cast<compute_t<T>>(slice_channels(probabilities, token, token + 1)), 1).to_host();
            for (std::size_t i = 0; i < seen.size(); ++i) {
                sums_[i] += static_cast<double>(seen[i]);
            }
        }
    }

    /// Where the words look: true above a threshold, a share of the clip's largest attention, and a pixel of the map
    /// around it; in the latents' size, [frames, h, w].
    [[nodiscard]] std::vector<bool> places(const Shape& latents, double threshold) const {
        require(size_.pixels() > 0, "WordMaps: no layer has told where the words look");
        const std::vector<double> wide = widened();
        const double limit = threshold * *std::max_element(wide.begin(), wide.end());
        std::vector<bool> result;
        for (index_t f = 0; f < frames_; ++f) {
            for (index_t y = 0; y < latents[1]; ++y) {
                for (index_t x = 0; x < latents[2]; ++x) {
                    const index_t row = (f * size_.height + y * size_.height / latents[1]) * size_.width;
                    result.push_back(wide[static_cast<std::size_t>(row + x * size_.width / latents[2])] > limit);
                }
            }
        }
        return result;
    }

private:
    struct Size {
        index_t height = 0;
        index_t width = 0;
        [[nodiscard]] index_t pixels() const { return height * width; }
    };

    [[nodiscard]] static index_t half(index_t n) { return (n + 1) / 2; }
    [[nodiscard]] static index_t quarter(index_t n) { return half(half(n)); }

    /// Every level of a UNet halves both sides, upwards where they are odd.
    [[nodiscard]] static Size size_of(index_t pixels, const Shape& latents) {
        Size size{latents[1], latents[2]};
        while (size.pixels() > pixels) {
            size = {half(size.height), half(size.width)};
        }
        require(size.pixels() == pixels, "WordMaps: a map of ", pixels, " pixels fits no level of latents ", latents);
        return size;
    }

    /// The largest of each pixel and its neighbours.
    [[nodiscard]] std::vector<double> widened() const {
        std::vector<double> wide;
        for (index_t f = 0; f < frames_; ++f) {
            for (index_t y = 0; y < size_.height; ++y) {
                for (index_t x = 0; x < size_.width; ++x) {
                    double most = 0;
                    for (index_t v = std::max<index_t>(y - 1, 0); v <= std::min(y + 1, size_.height - 1); ++v) {
                        for (index_t u = std::max<index_t>(x - 1, 0); u <= std::min(x + 1, size_.width - 1); ++u) {
                            most = std::max(most,
                                            sums_[static_cast<std::size_t>((f * size_.height + v) * size_.width + u)]);
                        }
                    }
                    wide.push_back(most);
                }
            }
        }
        return wide;
    }

    std::vector<index_t> tokens_{};
    Size size_{};
    index_t frames_ = 0;
    std::vector<double> sums_{}; ///< [frames, height, width]
};

} // namespace reel
