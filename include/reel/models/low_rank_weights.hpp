#pragma once
// Low-rank factors (LowRank) as files have them, and merged into the weights beside which they stand.

#include <functional>
#include <map>
#include <string>
#include <utility>

#include <reel/io/lora/lora_merge.hpp>
#include <reel/models/file_tensor.hpp>
#include <reel/nn/low_rank.hpp>

namespace reel {

/// A layer's factors as a LoRA file's adapter of strength 1. `module`: the layer's name.
template <Scalar T, Backend B>
[[nodiscard]] LoraAdapter adapter_of(const LowRank<T, B>& factors, const ParameterSpec& weight,
                                     const std::string& module) {
    const auto tensor = [](const Parameter<T, B>& parameter) {
        return to_file_tensor(parameter.exact(), parameter.spec(), DType::f32);
    };
    const Shape shape = weight.file_shape();
    LoraAdapter adapter{.target = {LdmPart::unet, module, {shape.begin(), shape.end()}}, .stem = module};
    adapter.tensors.emplace(LoraRole::down, tensor(factors.down));
    adapter.tensors.emplace(LoraRole::up, tensor(factors.up));
    return adapter;
}

/// By the names of weights that have factors beside them: what gives such a weight with its factors merged, as a file
/// has it, in float32. The module must outlive them.
template <Module M>
[[nodiscard]] std::map<std::string, std::function<HostTensor()>> merged_weights(const M& module) {
    std::map<std::string, std::function<HostTensor()>> merged;
    for_each_submodule(module, [&](const std::string& name, const auto& layer) {
        if constexpr (requires { layer.low_rank->down; }) {
            if (layer.low_rank) {
                merged.emplace(name + ".weight", [&layer, name] {
                    const LoraAdapter adapter = adapter_of(*layer.low_rank, layer.weight.spec(), name);
                    return merged_weight(to_file_tensor(layer.weight.exact(), layer.weight.spec(), DType::f32),
                                         {{&adapter, 1.0}});
                });
            }
        }
    });
    return merged;
}

} // namespace reel
