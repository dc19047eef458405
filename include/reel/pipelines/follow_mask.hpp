#pragma once
// A mask carried along with what moves. No other library.

#include <cmath>
#include <concepts>
#include <cstdint>
#include <utility>

#include <reel/core/ranges.hpp>
#include <reel/metrics/optical_flow.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

/// The first frame's mask in all frames: a pixel may change where optical flow leads back to a pixel of the former
/// frame that may. What is hidden for a while is lost, and errors add up: meant for clips of seconds. `luminance(f)` is
/// the clip's frame f, asked for from the first on: two are held. Throws Error when sizes differ.
template <class Luminance>
requires std::invocable<const Luminance&, int>
void follow(PixelMask& mask, const Luminance& luminance) {
    const auto picture_of = [&](int f) {
        metrics::Plane picture = luminance(f);
        require(mask.height == picture.height && mask.width == picture.width, "follow: a mask of ", mask.width, "x",
                mask.height, ", frame ", f, " of ", picture.width, "x", picture.height, "; expected equal sizes");
        return picture;
    };
    metrics::Plane former = picture_of(0);
    metrics::Plane share(mask.height, mask.width);
    ranges::transform(mask.frame(0), share.values.begin(),
                      [](std::uint8_t value) { return double(value) / PixelMask::whole; });
    for (int f = 1; f < mask.count; ++f) {
        metrics::Plane picture = picture_of(f);
        const metrics::Flow back = metrics::optical_flow(picture, former);
        metrics::Plane carried(mask.height, mask.width);
        for (int y = 0; y < mask.height; ++y) {
            for (int x = 0; x < mask.width; ++x) {
                carried.at(y, x) = share.between(y + back.dy.at(y, x), x + back.dx.at(y, x));
            }
        }
        ranges::transform(carried.values, mask.frame(f).begin(),
                          [](double value) { return value >= 0.5 ? PixelMask::whole : std::uint8_t{0}; });
        share = std::move(carried); // not rounded, so that small movements add up
        former = std::move(picture);
    }
}

/// The same along a clip of as many frames.
inline void follow(PixelMask& mask, const Frames& clip) {
    require(mask.count == clip.count, "follow: a mask of ", mask.count, " frames, a clip of ", clip.count,
            "; expected as many");
    follow(mask, [&](int f) { return metrics::luminance(clip, f); });
}

} // namespace reel
