#pragma once

#include <functional>
#include <set>

#include <reel/core/nearest_name.hpp>
#include <reel/io/host_tensor.hpp>
#include <reel/nn/parameter.hpp>
#include <reel/ops/rearrange.hpp>

namespace reel {

/// What a loader may forgive, and what names mean. Both default to: nothing.
struct LoadRules {
    std::string prefix{};                                     ///< part of every name in the file
    std::function<std::string(std::string)> rename{};         ///< a file's name to the module's
    std::function<bool(const std::string&)> ignored{};        ///< file names that are no parameters
    std::function<bool(const std::string&)> may_be_missing{}; ///< parameters that the caller will fill
};

/// A tensor of a file in a parameter's memory layout. On the CPU, where type and layout agree, it looks at the file's
/// memory map instead of copying it. `name` and `where` are for messages.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> tensor_from_file(const HostTensor& source, const ParameterSpec& spec, B& backend,
                                            const std::string& name, const std::string& where) {
    const Shape expected = spec.file_shape();
    require(source.shape.size() == static_cast<std::size_t>(expected.rank()) &&
                std::equal(source.shape.begin(), source.shape.end(), expected.begin()),
            where, ": tensor \"", name, "\" has shape ", shape_text(source.shape), ", the model expects ", expected);
    require(source.dtype == DType::f32 || source.dtype == DType::f64 || source.dtype == DType::f16 ||
                source.dtype == DType::bf16,
            where, ": tensor \"", name, "\" is of type ", name_of(source.dtype), ", expected a floating-point type");
    const Shape shape = spec.layout == ParameterLayout::pointwise ? spec.shape : expected;
    if constexpr (std::same_as<B, Cpu>) {
        if (source.dtype == dtype_of<T>() && spec.layout != ParameterLayout::conv && source.file_backed &&
            reinterpret_cast<std::uintptr_t>(source.data) % alignof(T) == 0) {
            // The map is read-only; Parameter copies it before training.
            auto* data = const_cast<T*>(reinterpret_cast<const T*>(source.data));
            return Tensor<T, B>(backend, shape, data, source.owner);
        }
    }
    auto values = [&] {
        if constexpr (std::same_as<B, Cpu>) {
            Tensor<T, B> direct(backend, shape);
            const Cpu::Described reading(backend, static_cast<double>(direct.size()), {direct.size()});
            backend.for_each_task(1, [&](index_t) {
                source.copy_to(std::span<T>(direct.data(), static_cast<std::size_t>(direct.size())));
            });
            return direct;
        } else {
            const std::vector<T> host = source.to_vector<T>();
            return Tensor<T, B>::from_host(backend, shape, std::span<const T>(host));
        }
    }();
    source.drop_pages();
    return spec.layout == ParameterLayout::conv ? permute(values, {0, 2, 3, 1}) : values;
}

/// Fills all parameters of a module; of 16-bit ones that may train later, the file gives the float copy then. Strict:
/// throws Error naming every missing, unexpected or misshapen tensor that `rules` does not forgive. Returns the names
/// of parameters that were missing and may be.
template <Module M, Backend B>
std::vector<std::string> load_parameters(M& module, B& backend, const StateDict& tensors, const std::string& where,
                                         const LoadRules& rules = {}) {
    std::map<std::string, const HostTensor*> by_name;
    for (const auto& [file_name, tensor] : tensors) {
        if (rules.ignored && rules.ignored(file_name)) {
            continue;
        }
        if (!file_name.starts_with(rules.prefix)) {
            continue;
        }
        std::string name = file_name.substr(rules.prefix.size());
        name = rules.rename ? rules.rename(std::move(name)) : name;
        require(by_name.emplace(name, &tensor).second, where, ": two tensors give the parameter \"", name, "\"");
    }
    std::vector<std::string> missing;
    std::vector<std::string> forgiven;
    std::set<std::string, std::less<>> names;
    for_each_parameter(module, [&](const std::string& name, const auto&) {
        names.insert(name);
        if (!by_name.contains(name)) {
            (rules.may_be_missing && rules.may_be_missing(name) ? forgiven : missing).push_back(name);
        }
    });
    std::vector<std::string> unexpected;
    for (const auto& [name, tensor] : by_name) {
        if (!names.contains(name)) {
            unexpected.push_back(name);
        }
    }
    const auto listed = [](const std::vector<std::string>& all) {
        std::string text;
        for (std::size_t i = 0; i < std::min<std::size_t>(all.size(), 3); ++i) {
            text += (i == 0 ? "\"" : ", \"") + all[i] + "\"";
        }
        return all.size() > 3 ? text + " and " + std::to_string(all.size() - 3) + " more" : text;
    };
    require(missing.empty(), where, ": ", missing.size(), " of the model's ", names.size(),
            " tensors are missing: ", listed(missing),
            unexpected.empty() ? "" : "; the file has, unexpectedly, " + listed(unexpected));
    require(unexpected.empty(), where, ": tensor ", listed(unexpected),
            " is not part of the model that config.json describes");
    for_each_parameter(module, [&](const std::string& name, auto& parameter) {
        if (const auto found = by_name.find(name); found != by_name.end()) {
            using Element = typename std::remove_reference_t<decltype(parameter)>::value_type;
            if (parameter.requires_grad()) {
                parameter.set_master(
                    tensor_from_file<compute_t<Element>>(*found->second, parameter.spec(), backend, name, where));
            } else {
                parameter.set(tensor_from_file<Element>(*found->second, parameter.spec(), backend, name, where));
                if (found->second->dtype != dtype_of<Element>()) {
                    parameter.set_exact([tensor = *found->second, spec = parameter.spec(), at = &backend, name, where] {
                        return tensor_from_file<compute_t<Element>>(tensor, spec, *at, name, where);
                    });
                }
            }
        }
    });
    return forgiven;
}

/// A parameter's value as a checkpoint holds it, in `dtype` (float32, float16 or bfloat16, or float64).
template <Scalar T, Backend B>
[[nodiscard]] HostTensor to_file_tensor(const Tensor<T, B>& value, const ParameterSpec& spec, DType dtype) {
    const Shape file = spec.file_shape();
    const std::vector<T> values =
        (spec.layout == ParameterLayout::conv ? permute(value, {0, 3, 1, 2}) : value).to_host();
    const std::vector<std::int64_t> shape(file.begin(), file.end());
    const auto converted = [&]<class To>(To) {
        std::vector<To> result(values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            result[i] = static_cast<To>(static_cast<compute_t<T>>(values[i]));
        }
        return HostTensor::make(shape, std::move(result));
    };
    switch (dtype) {
    case DType::f64:
        return converted(double{});
    case DType::f32:
        return converted(float{});
    case DType::f16:
        return converted(half{});
    case DType::bf16:
        return converted(bfloat16{});
    default:
        fail("weights cannot be saved as ", name_of(dtype), "; expected float32, float16, bfloat16 or float64");
    }
}

/// All parameters as sources for a weights file, made one at a time as the writer asks. The module must outlive them.
template <Module M>
[[nodiscard]] std::vector<TensorSource> parameter_sources(const M& module, DType dtype = DType::f32) {
    std::vector<TensorSource> sources;
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        const Shape file = parameter.spec().file_shape();
        require(parameter.value().defined(), "parameter_sources: \"", name, "\" has no value yet");
        sources.push_back({name, dtype, std::vector<std::int64_t>(file.begin(), file.end()),
                           [&parameter, dtype] { return to_file_tensor(parameter.exact(), parameter.spec(), dtype); }});
    });
    return sources;
}

} // namespace reel
