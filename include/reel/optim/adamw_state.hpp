#pragma once
// AdamW's state as named tensors, for checkpoints. Needs no library.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/io/weights/host_tensor.hpp>
#include <reel/optim/adamw.hpp>

namespace reel {

/// The state as tensors "exp_avg.<parameter>", "exp_avg_sq.<parameter>" (as the parameter lies in memory) and
/// "step.<parameter>" (one int64): what write_safetensors() takes.
template <Real T, Backend B>
[[nodiscard]] StateDict adamw_state_dict(const AdamW<T, B>& optimizer) {
    StateDict tensors;
    for (const auto& [name, state] : optimizer.states()) {
        const std::vector<std::int64_t> shape(state.exp_avg.shape().begin(), state.exp_avg.shape().end());
        tensors.emplace("exp_avg." + name, HostTensor::make(shape, state.exp_avg.to_host()));
        tensors.emplace("exp_avg_sq." + name, HostTensor::make(shape, state.exp_avg_sq.to_host()));
        tensors.emplace("step." + name, HostTensor::make({1}, std::vector<std::int64_t>{state.step}));
    }
    return tensors;
}

/// Restores what adamw_state_dict() gave. `where` (a file) starts messages. Throws Error naming a tensor that is
/// missing, unexpected, misshapen or of another type.
template <Real T, Backend B>
void load_adamw_state_dict(AdamW<T, B>& optimizer, B& backend, const StateDict& tensors, const std::string& where) {
    constexpr std::string_view step_prefix = "step.";
    typename AdamW<T, B>::States states;
    std::size_t used = 0;
    for (const auto& entry : tensors) {
        const std::string& key = entry.first;
        const HostTensor& step = entry.second;
        if (!key.starts_with(step_prefix)) {
            continue;
        }
        const std::string name = key.substr(step_prefix.size());
        const auto moment = [&](const std::string& tensor_name) {
            const auto found = tensors.find(tensor_name);
            require(found != tensors.end(), where, ": tensor \"", tensor_name, "\" is missing (expected beside \"", key,
                    "\")");
            const HostTensor& tensor = found->second;
            require(tensor.dtype == dtype_of<T>(), where, ": tensor \"", tensor_name, "\" has type ",
                    name_of(tensor.dtype), ", expected ", name_of(dtype_of<T>()));
            require(tensor.shape.size() <= static_cast<std::size_t>(Shape::max_rank), where, ": tensor \"", tensor_name,
                    "\" has ", tensor.shape.size(), " axes");
            const std::vector<T> values = tensor.to_vector<T>();
            return Tensor<T, B>::from_host(backend, Shape(tensor.shape.begin(), tensor.shape.end()), values);
        };
        require(step.dtype == DType::i64 && step.element_count() == 1, where, ": tensor \"", key,
                "\" is not one int64");
        AdamWState<T, B> state{moment("exp_avg." + name), moment("exp_avg_sq." + name),
                               static_cast<index_t>(step.to_vector<std::int64_t>().front())};
        states.emplace(name, std::move(state));
        used += 3;
    }
    if (used != tensors.size()) {
        for (const auto& entry : tensors) {
            const std::string_view key = entry.first;
            const auto dot = key.find('.');
            const std::string_view kind = key.substr(0, dot);
            const bool known = (kind == "exp_avg" || kind == "exp_avg_sq" || kind == "step") &&
                               dot != std::string_view::npos && states.contains(key.substr(dot + 1));
            require(known, where, ": tensor \"", key, "\" is unexpected in the state of AdamW");
        }
    }
    optimizer.restore(std::move(states));
}

} // namespace reel
