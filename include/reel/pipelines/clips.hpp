#pragma once

#include <algorithm>

#include <reel/core/no_callback.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/models/autoencoder.hpp>

namespace reel {

namespace functors {

template <class T>
struct PixelsFromBytes {
    const std::uint8_t* bytes;
    T* pixels;
    constexpr void operator()(index_t i) const {
        using C = compute_t<T>;
        pixels[i] = static_cast<T>(static_cast<C>(bytes[i]) / C(127.5) - C(1));
    }
};

template <class T>
struct UnitRange {
    const T* x;
    T* y;
    constexpr void operator()(index_t i) const {
        using C = compute_t<T>;
        const C value = static_cast<C>(x[i]) / C(2) + C(0.5);
        y[i] = static_cast<T>(value < C(0) ? C(0) : (value > C(1) ? C(1) : value));
    }
};

} // namespace functors

/// Bytes 0..255 of [frames, height, width, 3] as pixels in -1..1.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> pixels_from_bytes(B& backend, const Shape& shape, std::span<const std::uint8_t> bytes) {
    const auto source = Tensor<std::uint8_t, B>::from_host(backend, shape, bytes);
    Tensor<T, B> pixels(backend, shape);
    backend.for_each_index(pixels.size(), functors::PixelsFromBytes<T>{source.data(), pixels.data()});
    return pixels;
}

/// A clip as pixels in -1..1, [frames, height, width, 3]: what encode_clip() takes.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> to_tensor(B& backend, const Frames& frames) {
    require_frames(frames, "to_tensor");
    return pixels_from_bytes<T>(backend, {frames.count, frames.height, frames.width, 3}, frames.rgb);
}

/// Values in 0..1 [frames, height, width, 3], which decode_clip() gives, or grey ones [frames, height, width, 1], as a
/// clip: cut off to bytes as the reference does. Throws Error for another shape, and for values that are no such
/// pixels: below 0 or above 1 by more than a thousandth.
template <Scalar T, Backend B>
[[nodiscard]] Frames to_frames(const Tensor<T, B>& pixels, double fps = 0) {
    require(pixels.rank() == 4 && (pixels.shape(3) == 3 || pixels.shape(3) == 1), "to_frames: ", pixels.shape(),
            "; expected [frames, height, width, 3], or 1 for grey");
    std::vector<float> values;
    const auto copies = static_cast<std::size_t>(3 / pixels.shape(3));
    values.reserve(copies * static_cast<std::size_t>(pixels.size()));
    for (const T value : pixels.to_host()) {
        values.insert(values.end(), copies, static_cast<float>(value));
    }
    const auto [least, most] = ranges::minmax(values);
    require(!(least < -1e-3F || most > 1 + 1e-3F), "to_frames: values from ", least, " to ", most,
            "; expected 0 to 1 (pixels in -1..1 are x / 2 + 0.5)");
    return to_frames_u8(values, static_cast<int>(pixels.shape(0)), static_cast<int>(pixels.shape(1)),
                        static_cast<int>(pixels.shape(2)), fps);
}

/// Moments of a clip's latents [frames, h, w, 2 * latent channels], frame by frame. Throws Error when a side is no
/// multiple of the autoencoder's step. `after_frame` is called after each frame.
template <Scalar T, Backend B, PictureAutoencoder<T, B> A, class AfterFrame = NoCallback>
[[nodiscard]] Tensor<T, B> encode_clip(const A& vae, const Tensor<T, B>& pixels, const AfterFrame& after_frame = {}) {
    const index_t step = vae.config.pixels_per_latent();
    require(pixels.rank() == 4 && pixels.shape(1) % step == 0 && pixels.shape(2) % step == 0, "encode_clip: pixels ",
            pixels.shape(), "; height and width must be multiples of ", step);
    return sliced(
        pixels, [&](const Tensor<T, B>& frame) { return vae.encode(frame); }, after_frame);
}

/// Pixels in 0..1 [frames, height, width, 3] of scaled latents, frame by frame.
template <Scalar T, Backend B, PictureAutoencoder<T, B> A, class AfterFrame = NoCallback>
[[nodiscard]] Tensor<T, B> decode_clip(const A& vae, const Tensor<T, B>& latents, const AfterFrame& after_frame = {}) {
    const auto factor = static_cast<compute_t<T>>(1.0 / vae.config.scaling_factor);
    return sliced(
        latents,
        [&](const Tensor<T, B>& frame) {
            const Tensor<T, B> picture = vae.decode(scale(frame, factor));
            picture.backend().for_each_index(picture.size(), functors::UnitRange<T>{picture.data(), picture.data()});
            return picture;
        },
        after_frame);
}

/// Scaled latents [frames, h, w, latent channels] of pixels in -1..1, each at the mean of its distribution: what
/// samplers work on, and decode_clip() turns back.
template <Scalar T, Backend B, PictureAutoencoder<T, B> A>
[[nodiscard]] Tensor<T, B> encode_latents(const A& vae, const Tensor<T, B>& pixels) {
    return sample_latents(encode_clip(vae, pixels), Tensor<T, B>{}, vae.config.scaling_factor);
}

} // namespace reel
