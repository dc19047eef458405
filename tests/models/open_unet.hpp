#pragma once
// A small UNet, and that it gives the same whole, in pieces, recorded and checkpointed.

#include <doctest/doctest.h>

#include <reel/models/unet.hpp>

#include "nn/exchanged_parts.hpp"

namespace open_unet {

using namespace reel;
using namespace exchanged;

inline constexpr index_t frames = 3;

inline UNetConfig small_config() {
    UNetConfig config;
    config.block_out_channels = {16, 32};
    config.down_block_attention = {true, false};
    config.up_block_attention = {false, true};
    config.heads = {2, 2};
    config.norm_num_groups = 4;
    config.cross_attention_dim = 12;
    config.layers_per_block = 1;
    return config;
}

template <class T, class Parts = DefaultParts>
UNet3DConditionModel<T, Cpu, Parts> small_unet(Cpu& cpu) {
    UNet3DConditionModel<T, Cpu, Parts> unet(small_config());
    initialize(unet, cpu, 2);
    return unet;
}

template <class T>
double bound() {
    return sizeof(T) == 8 ? 1e-11 : (sizeof(T) == 4 ? 2e-4 : 0.3);
}

/// Predictions whole and in pieces, recorded and checkpointed; and the gradients of what trains.
template <class T, class UNet>
void check_same(Cpu& cpu, UNet& unet, double limit) {
    const auto x = randoms<T>(cpu, {2 * frames, 8, 8, 4}, 1);
    const auto text = randoms<T>(cpu, {2, 7, 12}, 2);
    cpu.piece_bytes = never;
    const auto whole = unet(x, 981, text, frames);
    std::vector<Tensor<T>> expected;
    for (const auto mode : {std::optional<CheckpointMode>(), std::optional(CheckpointMode::exact)}) {
        unet.gradient_checkpointing = mode;
        for (const std::size_t bytes : {never, tiny}) {
            cpu.piece_bytes = bytes;
            CHECK(difference(whole, unet(x, 981, text, frames)) < limit);
            const auto leaf = Variable<T>::leaf(x);
            const auto y = unet(leaf, 981, Variable<T>(text), frames);
            CHECK(difference(whole, y.value()) < limit);
            backward(y, x);
            std::vector<Tensor<T>> gradients{leaf.grad()};
            for_each_parameter(unet, [&](const std::string&, const auto& parameter) {
                if (parameter.requires_grad() && parameter.grad().defined()) {
                    gradients.push_back(parameter.grad());
                }
            });
            zero_grad(unet);
            if (expected.empty()) {
                expected = gradients;
            }
            REQUIRE(gradients.size() == expected.size());
            for (std::size_t i = 0; i < gradients.size(); ++i) {
                CHECK(difference(gradients[i], expected[i]) < 100 * limit);
            }
        }
    }
    unet.gradient_checkpointing = std::nullopt;
    cpu.piece_bytes = never;
}

} // namespace open_unet
