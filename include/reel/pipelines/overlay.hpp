#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/pictures/frames.hpp>

namespace reel {

/// What of an edit is laid over the clip: changes in 0..1, of the channel that has changed most.
struct OverlayOptions {
    double from = 0.08; ///< up to this much, the clip's pixel stays
    double to = 0.18;   ///< from this much on, it becomes the edit's; between, a mixture
};

/// Throws Error that names an option out of range.
inline void check(const OverlayOptions& options) {
    require(options.from >= 0 && options.from < options.to && options.to <= 1, "overlay: from ", options.from, " to ",
            options.to, "; expected 0 <= from < to <= 1");
}

namespace detail {

/// reduce(values of the 3x3 pixels around each that lie in the frame), frame by frame.
template <class Reduce>
[[nodiscard]] std::vector<float> over_neighbours(std::span<const float> values, const Frames& frames,
                                                 const Reduce& reduce) {
    std::vector<float> result(values.size());
    const auto width = static_cast<std::size_t>(frames.width);
    const auto height = static_cast<std::size_t>(frames.height);
    std::vector<float> near;
    near.reserve(9);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t x = i % width;
        const std::size_t y = i / width % height;
        near.clear();
        for (std::size_t v = y - std::min<std::size_t>(y, 1); v <= std::min(y + 1, height - 1); ++v) {
            for (std::size_t u = x - std::min<std::size_t>(x, 1); u <= std::min(x + 1, width - 1); ++u) {
                near.push_back(values[i - y * width - x + v * width + u]);
            }
        }
        result[i] = reduce(near);
    }
    return result;
}

} // namespace detail

/// How much of each pixel is to be the edit's, [frames, height, width], 0 to 1: by how much it differs from `unedited`,
/// the same latents without an edit, decoded. The difference is smoothed over 3x3 pixels, the largest of 3x3 is taken
/// (so that an object keeps its rim), and the ramp between the two options is cubic. Throws Error when the clips are
/// not alike.
[[nodiscard]] inline std::vector<float> overlay_shares(const Frames& edited, const Frames& unedited,
                                                       const OverlayOptions& options = {}) {
    check(options);
    require(edited.count == unedited.count && edited.height == unedited.height && edited.width == unedited.width &&
                edited.rgb.size() == unedited.rgb.size(),
            "overlay: clips of ", edited.count, " frames of ", edited.width, "x", edited.height, " and ",
            unedited.count, " of ", unedited.width, "x", unedited.height, "; expected equal sizes");
    std::vector<float> changes(edited.rgb.size() / 3);
    for (std::size_t i = 0; i < changes.size(); ++i) {
        int largest = 0;
        for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
            largest = std::max(largest, std::abs(int{edited.rgb[c]} - int{unedited.rgb[c]}));
        }
        changes[i] = static_cast<float>(largest) / 255.0F;
    }
    const std::vector<float> smooth = detail::over_neighbours(changes, edited, [](const std::vector<float>& near) {
        float sum = 0;
        for (const float value : near) {
            sum += value;
        }
        return sum / static_cast<float>(near.size());
    });
    return detail::over_neighbours(smooth, edited, [&](const std::vector<float>& near) {
        const double change = *ranges::max_element(near);
        const double t = std::clamp((change - options.from) / (options.to - options.from), 0.0, 1.0);
        return static_cast<float>(t * t * (3 - 2 * t));
    });
}

/// The edit as far as shares [frames, height, width] let it be, and otherwise the clip. Throws Error when they are not
/// alike.
[[nodiscard]] inline Frames laid_over(const Frames& clip, const Frames& edited, const std::vector<float>& shares) {
    require(clip.count == edited.count && clip.height == edited.height && clip.width == edited.width &&
                clip.rgb.size() == edited.rgb.size() && edited.rgb.size() == 3 * shares.size(),
            "overlay: the clip has ", clip.count, " frames of ", clip.width, "x", clip.height, ", the edit ",
            edited.count, " of ", edited.width, "x", edited.height, "; expected equal sizes");
    Frames result = edited;
    for (std::size_t i = 0; i < result.rgb.size(); ++i) {
        const float own = clip.rgb[i];
        result.rgb[i] =
            static_cast<std::uint8_t>(std::lround(own + shares[i / 3] * (static_cast<float>(edited.rgb[i]) - own)));
    }
    return result;
}

/// The edit laid over the clip itself: a pixel that the edit has not changed is the clip's own, byte for byte, and not
/// what the autoencoder makes of it. `unedited` as in overlay_shares(). What diffusers' inpainting does with a given
/// mask (VaeImageProcessor.apply_overlay), with one that is found. Throws Error when the clips are not alike.
[[nodiscard]] inline Frames overlay(const Frames& clip, const Frames& edited, const Frames& unedited,
                                    const OverlayOptions& options = {}) {
    return laid_over(clip, edited, overlay_shares(edited, unedited, options));
}

} // namespace reel
