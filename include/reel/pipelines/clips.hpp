#pragma once

#include <reel/models/autoencoder_kl.hpp>

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

/// Moments of a clip's latents [frames, h, w, 2 * latent channels], frame by frame. Throws Error when a side is no
/// multiple of the autoencoder's step. `after_frame` is called after each frame.
template <Scalar T, Backend B, class AfterFrame>
[[nodiscard]] Tensor<T, B> encode_clip(const AutoencoderKL<T, B>& vae, const Tensor<T, B>& pixels,
                                       const AfterFrame& after_frame) {
    const index_t step = vae.config.pixels_per_latent();
    require(pixels.rank() == 4 && pixels.shape(1) % step == 0 && pixels.shape(2) % step == 0, "encode_clip: pixels ",
            pixels.shape(), "; height and width must be multiples of ", step);
    return sliced(
        pixels, [&](const Tensor<T, B>& frame) { return vae.encode(frame); }, after_frame);
}

/// Pixels in 0..1 [frames, height, width, 3] of scaled latents, frame by frame.
template <Scalar T, Backend B, class AfterFrame>
[[nodiscard]] Tensor<T, B> decode_clip(const AutoencoderKL<T, B>& vae, const Tensor<T, B>& latents,
                                       const AfterFrame& after_frame) {
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

} // namespace reel
