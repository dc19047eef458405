#pragma once

#include <reel/models/unet.hpp>

namespace reel {

/// A UNet as schedulers and pipelines call it: latents, text and prediction are of the type that T computes in, float
/// where weights and activations have 16 bits. They are cast here and nowhere else; a UNet of float or double is called
/// as it is. The UNet must outlive it.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
class WidenedUnet {
public:
    using C = compute_t<T>;

    explicit WidenedUnet(const UNet3DConditionModel<T, B, Parts>& unet) : unet_(&unet) {}

    /// As UNet3DConditionModel's.
    [[nodiscard]] Tensor<C, B> operator()(const Tensor<C, B>& sample, std::span<const double> timesteps,
                                          const Tensor<C, B>& text, index_t frames) const {
        if constexpr (std::same_as<T, C>) {
            return (*unet_)(sample, timesteps, text, frames);
        } else {
            return cast<C>((*unet_)(cast<T>(sample), timesteps, cast<T>(text), frames));
        }
    }

    [[nodiscard]] bool takes_guidance_scale() const { return unet_->takes_guidance_scale(); }

    /// As UNet3DConditionModel's.
    [[nodiscard]] Tensor<C, B> at_guidance_scale(double scale, const Tensor<C, B>& sample,
                                                 std::span<const double> timesteps, const Tensor<C, B>& text,
                                                 index_t frames) const {
        if constexpr (std::same_as<T, C>) {
            return unet_->at_guidance_scale(scale, sample, timesteps, text, frames);
        } else {
            return cast<C>(unet_->at_guidance_scale(scale, cast<T>(sample), timesteps, cast<T>(text), frames));
        }
    }

private:
    const UNet3DConditionModel<T, B, Parts>* unet_;
};

} // namespace reel
