#pragma once // Needs reel::io.
// Low-rank factors that were learned, made part of the weights: as loras.hpp has it for files.

#include <map>
#include <memory>
#include <string>
#include <utility>

#include <reel/nn/layers.hpp>
#include <reel/pipelines/loras.hpp>

namespace reel {

/// Takes the factors away from all layers: the module is what it was before train_low_rank().
template <Scalar T, Backend B, class M>
void drop_low_rank(M& module) {
    for_each_module<Linear<T, B>>(module, [](const std::string&, Linear<T, B>& layer) { layer.low_rank.reset(); });
}

/// Merges factors, by their parameters' names in the module, into the weights beside which they stand, with the numbers
/// that their file gives by --lora. Returns those weights as they were. Throws Error when a factor is of no layer, or
/// fits it not. The backend must outlive the module. `where` is for messages.
template <Scalar T, Backend B, class M>
std::map<std::string, Parameter<T, B>> merge_factors(M& module, B& backend, const StateDict& factors,
                                                     const std::string& where) {
    std::map<std::string, Parameter<T, B>> before;
    std::map<Linear<T, B>*, std::pair<std::string, LoraAdapter>> adapters;
    std::size_t used = 0;
    for_each_module<Linear<T, B>>(module, [&](const std::string& name, Linear<T, B>& layer) {
        const auto down = factors.find(name + ".lora_A.weight");
        const auto up = factors.find(name + ".lora_B.weight");
        if (down != factors.end() && up != factors.end()) {
            const Shape shape = layer.weight.spec().file_shape();
            LoraAdapter adapter{.target = {LdmPart::unet, name, {shape.begin(), shape.end()}}, .stem = name};
            adapter.tensors = {{LoraRole::down, down->second}, {LoraRole::up, up->second}};
            static_cast<void>(check_adapter(adapter, where));
            adapters.emplace(&layer, std::pair{name + ".weight", std::move(adapter)});
            used += 2;
        }
    });
    require(used == factors.size(), where, ": does not fit the model");
    for (auto& [layer, named] : adapters) {
        auto& [name, adapter] = named;
        const auto base = std::make_shared<const Parameter<T, B>>(layer->weight);
        before.emplace(name, *base);
        layer->low_rank.reset();
        const auto weight = [base] { return to_file_tensor(base->exact(), base->spec(), DType::f32); };
        detail::load_merged(layer->weight, weight, {{std::move(adapter), 1.0}}, backend, name);
    }
    return before;
}

} // namespace reel
