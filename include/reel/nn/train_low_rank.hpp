#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <reel/nn/initialize.hpp>
#include <reel/nn/layers.hpp>

namespace reel {

/// Which linear layers of a module get low-rank factors.
struct LowRankPlan {
    std::vector<std::string> modules{}; ///< endings of the names of modules; all linear layers in them
    index_t rank = 4;
    std::uint64_t seed = 0; ///< of the factors' start, which depends on the layer's name too
};

/// Gives the linear layers of a plan fresh factors (LowRank) and trains those, and nothing else: LoRA. Returns how many
/// scalars train. Throws Error when an ending matches no module with a linear layer, and for a rank that is above a
/// layer's width.
template <Scalar T, Backend B, class M>
index_t train_low_rank(M& module, B& backend, const LowRankPlan& plan) {
    std::vector<bool> matched(plan.modules.size(), false);
    std::vector<std::pair<std::string, Linear<T, B>*>> layers;
    for_each_module<Linear<T, B>>(module, [&](const std::string& name, Linear<T, B>& layer) {
        if (detail::lies_in(name + ".", plan.modules, matched)) {
            const Shape& weight = layer.weight.spec().shape;
            const index_t width = std::min(weight[0], weight[1]);
            require(plan.rank >= 1 && plan.rank <= width, "rank: expected 1 to ", width, ", the width of the layer ",
                    name, ", found ", plan.rank);
            layers.emplace_back(name, &layer);
        }
    });
    for (std::size_t i = 0; i < plan.modules.size(); ++i) {
        require(matched[i], "trainable_modules: no module with a linear layer has a name that ends with \"",
                plan.modules[i], "\"; expected endings such as \"attn1.to_q\", \"attn2\" or \"attn_temp\"");
    }
    for_each_parameter(module, [](const std::string&, auto& parameter) { parameter.train(false); });
    index_t count = 0;
    for (const auto& [name, layer] : layers) {
        const ParameterSpec& weight = layer->weight.spec();
        LowRank<T, B>& factors = layer->low_rank.emplace(weight.shape[1], weight.shape[0], plan.rank, weight.layout);
        for_each_parameter(
            factors,
            [&](const std::string& own, auto& parameter) {
                parameter.train(true);
                initialize(parameter, backend, own, plan.seed);
                count += parameter.spec().shape.size();
            },
            name + ".");
    }
    return count;
}

} // namespace reel
