#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <type_traits>
#include <vector>

#include <reel/core/nearest_name.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/models/low_rank_weights.hpp>
#include <reel/nn/module.hpp>
#include <reel/ops/rearrange.hpp>

namespace reel {

/// What a loader may forgive, and what names mean. Both default to: nothing.
struct LoadRules {
    std::string prefix{};                                     ///< part of every name in the file
    std::function<std::string(std::string)> rename{};         ///< a file's name to the module's
    std::function<bool(const std::string&)> ignored{};        ///< file names that are no parameters
    std::function<bool(const std::string&)> may_be_missing{}; ///< parameters that the caller will fill
    bool pointwise = false; ///< a matrix may be a convolution of one pixel in the file, and the other way round
};

/// A file's tensor, of shape [out, in] or [out, in, 1, 1], with as many axes as the parameter has in its file.
[[nodiscard]] inline HostTensor fit_pointwise(HostTensor source, const ParameterSpec& spec) {
    const Shape expected = spec.file_shape();
    const auto& shape = source.shape;
    const bool one = shape.size() == 4 && shape[2] == 1 && shape[3] == 1;
    if ((expected.rank() == 2 && one) || (expected.rank() == 4 && shape.size() == 2)) {
        source.shape.resize(static_cast<std::size_t>(expected.rank()), 1);
    }
    return source;
}

/// Throws Error unless a file's tensor can be a parameter's value. `name` and `where` are for messages.
inline void require_fits(const HostTensor& source, const ParameterSpec& spec, const std::string& name,
                         const std::string& where) {
    const Shape expected = spec.file_shape();
    require(source.shape.size() == static_cast<std::size_t>(expected.rank()) &&
                std::equal(source.shape.begin(), source.shape.end(), expected.begin()),
            where, ": tensor \"", name, "\" has shape ", shape_text(source.shape), ", the model expects ", expected);
    require(source.dtype == DType::f32 || source.dtype == DType::f64 || source.dtype == DType::f16 ||
                source.dtype == DType::bf16,
            where, ": tensor \"", name, "\" is of type ", name_of(source.dtype), ", expected a floating-point type");
}

/// True when tensor_from_file() looks at the file's memory map: on the CPU, where type and layout agree.
template <Scalar T, Backend B>
[[nodiscard]] bool lies_in_file(const HostTensor& source) {
    return std::same_as<B, Cpu> && source.dtype == dtype_of<T>() && source.file_backed &&
           reinterpret_cast<std::uintptr_t>(source.data) % alignof(T) == 0;
}

namespace detail {

/// Reads a tensor of a file row by row; each row as a matrix [values, taps], turned into [taps, values].
template <Scalar T>
void copy_rows(const HostTensor& source, index_t taps, const Tensor<T, Cpu>& to) {
    const index_t rows = to.rank() > 1 ? to.shape(0) : 1;
    if (to.size() == 0) {
        return;
    }
    const index_t row = to.size() / rows;
    Cpu& backend = to.backend();
    const Cpu::Described reading(backend, static_cast<double>(to.size()), {rows, row});
    backend.for_each_range(
        rows,
        [&](index_t begin, index_t end) {
            HostTensor one = source;
            one.shape = {row};
            std::vector<T> values(taps == 1 ? 0 : static_cast<std::size_t>(row));
            for (index_t r = begin; r < end; ++r) {
                T* const target = to.data() + r * row;
                one.data = source.data + static_cast<std::size_t>(r * row) * size_of(source.dtype);
                one.copy_to(std::span<T>(taps == 1 ? target : values.data(), static_cast<std::size_t>(row)));
                for (index_t tap = 0; tap < taps && taps > 1; ++tap) {
                    for (index_t i = 0; i < row / taps; ++i) {
                        target[tap * (row / taps) + i] = values[static_cast<std::size_t>(i * taps + tap)];
                    }
                }
            }
        },
        std::max<index_t>(65536 / row, 1));
}

} // namespace detail

/// A tensor of a file in a parameter's memory layout; where lies_in_file(), without a copy if the layout is the file's.
/// Throws what require_fits() does.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> tensor_from_file(const HostTensor& source, const ParameterSpec& spec, B& backend,
                                            const std::string& name, const std::string& where) {
    require_fits(source, spec, name, where);
    const bool turned = spec.layout == ParameterLayout::conv;
    if constexpr (std::same_as<B, Cpu>) {
        if (!turned && lies_in_file<T, B>(source)) {
            // The map is read-only; Parameter copies it before training.
            auto* data = const_cast<T*>(reinterpret_cast<const T*>(source.data));
            return Tensor<T, B>(backend, spec.shape, data, source.owner);
        }
        const Tensor<T, B> values(backend, spec.shape);
        detail::copy_rows(source, turned ? spec.shape[1] * spec.shape[2] : 1, values);
        source.drop_pages();
        return values;
    } else {
        const std::vector<T> host = source.to_vector<T>();
        source.drop_pages();
        const auto values =
            Tensor<T, B>::from_host(backend, turned ? spec.file_shape() : spec.shape, std::span<const T>(host));
        return turned ? permute(values, {0, 2, 3, 1}) : values;
    }
}

/// Gives a parameter the value that a file has. On the CPU, what has to be copied is copied when it is used first. Of a
/// 16-bit one that may train later, the file gives the float copy then.
template <Scalar T, Backend B>
void load_parameter(Parameter<T, B>& parameter, const HostTensor& source, B& backend, const std::string& name,
                    const std::string& where) {
    const auto read = [source, spec = parameter.spec(), at = &backend, name, where]<class As>(std::type_identity<As>) {
        return tensor_from_file<As>(source, spec, *at, name, where);
    };
    if (parameter.requires_grad()) {
        parameter.set_master(read(std::type_identity<compute_t<T>>{}));
        return;
    }
    const bool copies = parameter.spec().layout == ParameterLayout::conv || !lies_in_file<T, B>(source);
    if (std::same_as<B, Cpu> && copies) {
        require_fits(source, parameter.spec(), name, where); // now, not when it is used
        parameter.set_later([read] { return read(std::type_identity<T>{}); });
    } else {
        parameter.set(read(std::type_identity<T>{}));
    }
    if (source.dtype != dtype_of<T>()) {
        parameter.set_exact([read] { return read(std::type_identity<compute_t<T>>{}); });
    }
}

/// Fills all parameters of a module, as load_parameter() does; the backend must outlive it. Strict:
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
            const HostTensor& source = *found->second;
            load_parameter(parameter, rules.pointwise ? fit_pointwise(source, parameter.spec()) : source, backend, name,
                           where);
        }
    });
    return forgiven;
}

/// All parameters as sources for a weights file, made one at a time as the writer asks; low-rank factors as part of the
/// weight beside which they stand. The module must outlive them.
template <Module M>
[[nodiscard]] std::vector<TensorSource> parameter_sources(const M& module, DType dtype = DType::f32) {
    const auto merged = merged_weights(module);
    std::vector<TensorSource> sources;
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        if (!merged.empty() && is_low_rank_parameter(name)) {
            return;
        }
        const Shape file = parameter.spec().file_shape();
        require(parameter.defined(), "parameter_sources: \"", name, "\" has no value yet");
        std::function<HostTensor()> make = [&parameter, dtype] {
            return to_file_tensor(parameter.exact(), parameter.spec(), dtype);
        };
        if (const auto found = merged.find(name); found != merged.end()) {
            make = [merge = found->second, dtype] { return converted_tensor(merge(), dtype); };
        }
        sources.push_back({name, dtype, std::vector<std::int64_t>(file.begin(), file.end()), std::move(make)});
    });
    return sources;
}

} // namespace reel
