#pragma once
// A mask carried along with what moves. No other library.

#include <cmath>
#include <utility>

#include <reel/core/ranges.hpp>
#include <reel/metrics/optical_flow.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

/// The first frame's mask in all frames: a pixel may change where optical flow leads back to a pixel of the former
/// frame that may. What is hidden for a while is lost, and errors add up: meant for clips of seconds. Throws Error when
/// sizes differ.
inline void follow(PixelMask& mask, const Frames& clip) {
    require(mask.count == clip.count && mask.height == clip.height && mask.width == clip.width, "follow: a mask of ",
            mask.count, " frames of ", mask.width, "x", mask.height, ", a clip of ", clip.count, " of ", clip.width,
            "x", clip.height, "; expected equal sizes");
    metrics::Plane former = metrics::luminance(clip, 0);
    metrics::Plane share(mask.height, mask.width);
    ranges::copy(mask.frame(0), share.values.begin());
    for (int f = 1; f < mask.count; ++f) {
        metrics::Plane picture = metrics::luminance(clip, f);
        const metrics::Flow back = metrics::optical_flow(picture, former);
        metrics::Plane carried(mask.height, mask.width);
        for (int y = 0; y < mask.height; ++y) {
            for (int x = 0; x < mask.width; ++x) {
                carried.at(y, x) = share.between(y + back.dy.at(y, x), x + back.dx.at(y, x));
            }
        }
        ranges::transform(carried.values, mask.frame(f).begin(),
                          [](double value) { return value >= 0.5 ? 1.0F : 0.0F; });
        share = std::move(carried); // not rounded, so that small movements add up
        former = std::move(picture);
    }
}

} // namespace reel
