#pragma once
// A small UNet with weights and inputs that are alike on every backend.

#include <array>

#include <reel/models/unet.hpp>
#include <reel/nn/initialize.hpp>

#include "backend/cuda_support.hpp"

namespace cuda_test {

using reel::Shape;
using reel::UNet3DConditionModel;
using reel::Variable;

/// A Stable Diffusion UNet with few channels: every kind of block, head sizes 8 and 16.
inline reel::UNetConfig small_config() {
    reel::UNetConfig config;
    config.block_out_channels = {16, 32, 32, 32};
    config.heads = {2, 2, 2, 2};
    config.norm_num_groups = 8;
    config.cross_attention_dim = 24;
    config.layers_per_block = 1;
    return config;
}

/// Where a 16-bit model is compared, its weights and inputs are such that 16 bits hold them exactly.
enum class Digits { all, of_bfloat16 };

inline std::vector<double> rounded(std::vector<double> values, Digits digits) {
    if (digits == Digits::of_bfloat16) {
        for (double& value : values) {
            value = static_cast<double>(reel::bfloat16(value));
        }
    }
    return values;
}

/// Normal numbers from the host, alike on every backend.
template <class T, class B>
Tensor<T, B> numbers(B& backend, const Shape& shape, std::uint64_t stream, Digits digits = Digits::all) {
    const auto values = rounded(near::randoms(shape.size(), stream), digits);
    return Tensor<T, B>::from_host(backend, shape, std::span<const T>(near::as<T>(values)));
}

/// Random weights throughout, so that nothing a fresh model leaves at zero stays unseen.
template <class T, class B>
UNet3DConditionModel<T, B> small_unet(B& backend, Digits digits = Digits::all) {
    UNet3DConditionModel<T, B> unet(small_config());
    reel::for_each_parameter(unet, [&](const std::string& name, auto& parameter) {
        const Shape& shape = parameter.spec().shape;
        const bool vector = shape.rank() == 1;
        const double fan_in = vector ? 25.0 : static_cast<double>(shape.size() / shape[0]);
        auto values = near::randoms(shape.size(), reel::stream_of(name), 1 / std::sqrt(fan_in));
        for (double& value : values) {
            value += vector && name.ends_with("weight") ? 1 : 0;
        }
        values = rounded(values, digits);
        parameter.set(Tensor<T, B>::from_host(backend, shape, std::span<const T>(near::as<T>(values))));
    });
    return unet;
}

template <class T, class B>
struct UNetRun {
    static constexpr index_t frames = 3;
    static constexpr index_t clips = 2; ///< as guidance asks for
    Tensor<T, B> sample, text;
    std::array<double, 2> timesteps{21, 700};

    explicit UNetRun(B& backend, Digits digits = Digits::all)
        : sample(numbers<T>(backend, {clips * frames, 8, 8, 4}, 1, digits)),
          text(numbers<T>(backend, {clips, 7, 24}, 2, digits)) {}

    [[nodiscard]] Tensor<T, B> predict(const UNet3DConditionModel<T, B>& unet) const {
        return unet(sample, std::span<const double>(timesteps), text, frames);
    }
};

} // namespace cuda_test
