#pragma once
// LoRA adapters of PEFT that are still attached to a model's weights, merged into them. Needs nlohmann-json (target
// reel::io).

#include <reel/core/error.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/peft_config.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// One adapter's two factors in one module.
struct LoraFactors {
    const HostTensor* a = nullptr; ///< [rank, in] or [rank, in, height, width]
    const HostTensor* b = nullptr; ///< [out, rank] or [out, rank, 1, 1]
};

/// The two names around ".lora_A." or ".lora_B." and before ".weight": module and adapter.
struct LoraName {
    std::string module;
    std::string adapter;
    bool is_a;
};

[[nodiscard]] inline std::optional<LoraName> lora_name(const std::string& name) {
    constexpr std::string_view end = ".weight";
    for (const auto& [part, is_a] : {std::pair<std::string_view, bool>{".lora_A.", true}, {".lora_B.", false}}) {
        const std::size_t at = name.find(part);
        if (at != std::string::npos && name.ends_with(end) && name.size() > at + part.size() + end.size()) {
            const std::size_t begin = at + part.size();
            return LoraName{name.substr(0, at), name.substr(begin, name.size() - end.size() - begin), is_a};
        }
    }
    return std::nullopt;
}

/// base + scale B A, in double, as float32.
[[nodiscard]] inline HostTensor merged_weight(const HostTensor& base, const LoraFactors& factors, double scale,
                                              const std::string& where, const std::string& module) {
    const auto shape_of = [](const HostTensor& tensor) { return shape_text(tensor.shape); };
    const auto& weight = base.shape;
    const auto& a = factors.a->shape;
    const auto& b = factors.b->shape;
    const bool convolution = weight.size() == 4;
    require((weight.size() == 2 || convolution) && a.size() == weight.size() && b.size() == weight.size() && a[0] > 0 &&
                a[0] == b[1] && b[0] == weight[0] && std::equal(a.begin() + 1, a.end(), weight.begin() + 1) &&
                (!convolution || (b[2] == 1 && b[3] == 1)),
            where, ": the adapter's factors of \"", module, "\" have shapes ", shape_of(*factors.a), " and ",
            shape_of(*factors.b), ", which do not fit the weight's ", shape_of(base));
    std::vector<float> values = base.to_vector<float>();
    const std::vector<float> down = factors.a->to_vector<float>();
    const std::vector<float> up = factors.b->to_vector<float>();
    const auto rank = static_cast<std::size_t>(a[0]);
    const std::size_t row = rank == 0 ? 0 : down.size() / rank;
    std::vector<double> sum(row);
    for (std::size_t out = 0; row != 0 && out < static_cast<std::size_t>(weight[0]); ++out) {
        std::fill(sum.begin(), sum.end(), 0.0);
        for (std::size_t r = 0; r < rank; ++r) {
            const double factor = static_cast<double>(up[out * rank + r]);
            for (std::size_t i = 0; i < row; ++i) {
                sum[i] += factor * static_cast<double>(down[r * row + i]);
            }
        }
        for (std::size_t i = 0; i < row; ++i) {
            float& value = values[out * row + i];
            value = static_cast<float>(static_cast<double>(value) + scale * sum[i]);
        }
    }
    return HostTensor::make<float>(weight, std::move(values));
}

/// The configuration of an adapter, from where PEFT puts it: the folder, or its subfolder with the adapter's name.
[[nodiscard]] inline PeftAdapterConfig find_peft_config(const std::filesystem::path& folder,
                                                        const std::string& adapter) {
    std::error_code ignored;
    const bool plain = adapter != ".." && adapter.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    for (const auto& path : {folder / (plain ? adapter : "") / "adapter_config.json", folder / "adapter_config.json"}) {
        if (std::filesystem::exists(path, ignored)) {
            return read_peft_adapter_config(read_json(path), path.string(), PeftUse::attached);
        }
    }
    fail(folder.string(), ": the LoRA adapter \"", adapter,
         "\" is still attached to these weights, and nothing says its scale, nor whether it is fused already; put "
         "PEFT's adapter_config.json with its lora_alpha beside them (0 for an adapter that fuse_lora() has merged), "
         "or save them after unload_lora()");
}

} // namespace detail

/// Whether an adapter of PEFT is attached: names such as `to_q.base_layer.weight` and `to_q.lora_A.default.weight`.
[[nodiscard]] inline bool has_peft_adapter(const StateDict& tensors) {
    return std::any_of(tensors.begin(), tensors.end(),
                       [](const auto& entry) { return entry.first.find(".base_layer.") != std::string::npos; });
}

/// Merges the adapters that are attached to a model's weights, as `save_pretrained` leaves them, and gives the weights
/// their own names: W + alpha / rank B A for linear layers and convolutions, computed in double. The scale comes from
/// PEFT's adapter_config.json in `folder` or in its subfolder with the adapter's name; the weights themselves say
/// neither the scale nor whether fuse_lora() has merged the adapter already. Throws Error where no file says it, for
/// another kind of adapter and for factors that do not fit; what is left over under other names is the caller's to
/// refuse.
[[nodiscard]] inline StateDict merge_peft_adapters(StateDict tensors, const std::filesystem::path& folder) {
    if (!has_peft_adapter(tensors)) {
        return tensors;
    }
    const std::string where = folder.string();
    std::map<std::pair<std::string, std::string>, detail::LoraFactors> factors; // by adapter and module
    StateDict merged;
    for (auto& [name, tensor] : tensors) {
        require(name.find(".lora_magnitude_vector.") == std::string::npos &&
                    name.find(".lora_embedding_") == std::string::npos,
                where, ": tensor \"", name,
                "\" belongs to an adapter that is no plain LoRA (DoRA, or one of an embedding), which is not merged; "
                "save the weights after fuse_lora() and unload_lora()");
        constexpr std::string_view base = ".base_layer.";
        if (const auto lora = detail::lora_name(name)) {
            auto& pair = factors[{lora->adapter, lora->module}];
            (lora->is_a ? pair.a : pair.b) = &tensor;
        } else if (const std::size_t at = name.find(base); at != std::string::npos) {
            const std::string plain = name.substr(0, at) + "." + name.substr(at + base.size());
            require(!tensors.contains(plain) && merged.emplace(plain, tensor).second, where,
                    ": two tensors give the weight \"", plain, "\"");
        } else {
            merged.emplace(name, tensor);
        }
    }
    std::map<std::string, PeftAdapterConfig> configs;
    for (const auto& [key, pair] : factors) {
        const auto& [adapter, module] = key;
        require(pair.a != nullptr && pair.b != nullptr, where, ": the adapter \"", adapter,
                "\" has only one of its two ", "factors of \"", module, "\"");
        const auto weight = merged.find(module + ".weight");
        require(weight != merged.end(), where, ": the adapter \"", adapter, "\" is for \"", module,
                "\", which has no weight");
        if (!configs.contains(adapter)) {
            configs.emplace(adapter, detail::find_peft_config(folder, adapter));
        }
        const double scale = configs.at(adapter).scale(module, pair.a->shape.empty() ? 1 : pair.a->shape[0]);
        if (scale != 0) {
            weight->second = detail::merged_weight(weight->second, pair, scale, where, module);
        }
    }
    return merged;
}

} // namespace reel
