#pragma once
// What an inpainting UNet is shown of a clip: where it paints, and the clip without what is there.

#include <span>
#include <vector>

#include <reel/ops/rearrange.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

namespace detail {

/// A mask's value from which it paints: half, as diffusers' VaeImageProcessor binarises masks.
[[nodiscard]] constexpr bool paints(std::uint8_t value) {
    return 2 * value >= PixelMask::whole;
}

} // namespace detail

/// The clip as pixels in -1..1 [frames, height, width, 3], grey (0) where the mask paints: what encode_clip() makes the
/// masked clip's latents of. Throws Error when the sizes are not alike.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> masked_pixels(B& backend, const Frames& clip, const PixelMask& mask) {
    require(!mask.everywhere(), "masked_pixels: no mask is given; expected one of the clip's size");
    detail::require_alike(clip, clip, mask);
    std::vector<T> pixels(clip.rgb.size());
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        using C = compute_t<T>;
        pixels[i] =
            static_cast<T>(detail::paints(mask.values[i / 3]) ? C(0) : static_cast<C>(clip.rgb[i]) / C(127.5) - C(1));
    }
    return Tensor<T, B>::from_host(backend, {clip.count, clip.height, clip.width, 3}, std::span<const T>(pixels));
}

/// Where latents [frames, h, w, channels] are painted: [frames, h, w, 1], 1 where the nearest pixel of the mask
/// paints, as torch.nn.functional.interpolate has it, else 0. Throws Error for sides that do not divide the mask's, and
/// where that leaves nothing to paint.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> painted_latents(B& backend, const PixelMask& mask, const Shape& latents) {
    require(latents.rank() == 4 && latents[0] == mask.count && latents[1] > 0 && latents[2] > 0 &&
                mask.height % latents[1] == 0 && mask.width % latents[2] == 0,
            "painted_latents: a mask of ", mask.count, " frames of ", mask.width, "x", mask.height, " for latents ",
            latents, "; expected as many frames and sides that divide the mask's");
    const Shape shape = latents.with(3, 1);
    std::vector<T> values(static_cast<std::size_t>(shape.size()));
    const auto columns = static_cast<std::size_t>(latents[2]);
    const std::size_t rows = static_cast<std::size_t>(latents[1]);
    const std::size_t step_y = static_cast<std::size_t>(mask.height) / rows;
    const std::size_t step_x = static_cast<std::size_t>(mask.width) / columns;
    bool any = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t y = i / columns % rows * step_y;
        const bool painted = detail::paints(mask.frame(
            static_cast<int>(i / columns / rows))[y * static_cast<std::size_t>(mask.width) + i % columns * step_x]);
        values[i] = painted ? T(1) : T(0);
        any = any || painted;
    }
    require(any, "the mask is too small for an inpainting model: of every ", step_x, "x", step_y,
            " pixels it is looked at one, and none of those is in it; let it grow (--mask_grow ", step_x, ")");
    return Tensor<T, B>::from_host(backend, shape, std::span<const T>(values));
}

/// UNet3DConditionModel::beside of an inpainting UNet: [frames, h, w, 1 + latent channels], the mask first, then the
/// scaled latents of masked_pixels(). diffusers' StableDiffusionInpaintPipeline gives them in this order behind the
/// noisy latents.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> inpainting_channels(const PixelMask& mask, const Tensor<T, B>& masked_latents) {
    return concat_channels(painted_latents<T>(masked_latents.backend(), mask, masked_latents.shape()), masked_latents);
}

} // namespace reel
