#pragma once
// AdamW8bit's state as named tensors, for checkpoints. Needs no library.

#include <array>

#include <reel/optim/adamw_8bit.hpp>
#include <reel/optim/adamw_state.hpp>

namespace reel {

/// The state as tensors: of parameters that are kept in full what adamw_state_dict() gives; of the others
/// "exp_avg_codes.<parameter>" and "exp_avg_sq_codes.<parameter>" (uint8), "exp_avg_absmax.<parameter>" and
/// "exp_avg_sq_absmax.<parameter>" (one scale a block), and "step_8bit.<parameter>" (one int64).
template <Real T, Backend B>
[[nodiscard]] StateDict adamw_state_dict(const AdamW8bit<T, B>& optimizer) {
    StateDict tensors = adamw_state_dict(optimizer.small());
    const auto add = [&](const std::string& name, const auto& tensor) {
        tensors.emplace(name, HostTensor::make(std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end()),
                                               tensor.to_host()));
    };
    for (const auto& [name, state] : optimizer.states()) {
        add("exp_avg_codes." + name, state.exp_avg.codes);
        add("exp_avg_absmax." + name, state.exp_avg.absmax);
        add("exp_avg_sq_codes." + name, state.exp_avg_sq.codes);
        add("exp_avg_sq_absmax." + name, state.exp_avg_sq.absmax);
        tensors.emplace("step_8bit." + name, HostTensor::make({1}, std::vector<std::int64_t>{state.step}));
    }
    return tensors;
}

/// Restores what adamw_state_dict() gave, to the bit. `where` (a file) starts messages. Throws Error naming a tensor
/// that is missing, unexpected, misshapen or of another type.
template <Real T, Backend B>
void load_adamw_state_dict(AdamW8bit<T, B>& optimizer, B& backend, const StateDict& tensors, const std::string& where) {
    constexpr std::string_view step_prefix = "step_8bit.";
    StateDict small = tensors;
    typename AdamW8bit<T, B>::States states;
    for (const auto& entry : tensors) {
        const std::string& key = entry.first;
        const HostTensor& step = entry.second;
        if (!key.starts_with(step_prefix)) {
            continue;
        }
        const std::string name = key.substr(step_prefix.size());
        const auto part = [&]<class E>(E, const std::string& tensor_name) {
            const auto found = tensors.find(tensor_name);
            require(found != tensors.end(), where, ": tensor \"", tensor_name, "\" is missing (expected beside \"", key,
                    "\")");
            const HostTensor& tensor = found->second;
            require(tensor.dtype == dtype_of<E>(), where, ": tensor \"", tensor_name, "\" has type ",
                    name_of(tensor.dtype), ", expected ", name_of(dtype_of<E>()));
            require(tensor.shape.size() <= static_cast<std::size_t>(Shape::max_rank), where, ": tensor \"", tensor_name,
                    "\" has ", tensor.shape.size(), " axes");
            small.erase(tensor_name);
            const std::vector<E> values = tensor.to_vector<E>();
            return Tensor<E, B>::from_host(backend, Shape(tensor.shape.begin(), tensor.shape.end()), values);
        };
        require(step.dtype == DType::i64 && step.element_count() == 1, where, ": tensor \"", key,
                "\" is not one int64");
        const auto moment = [&](const std::string& kind) {
            return BlockwiseTensor<T, B>{part(std::uint8_t{}, kind + "_codes." + name),
                                         part(T{}, kind + "_absmax." + name)};
        };
        states.emplace(name, AdamW8bitState<T, B>{moment("exp_avg"), moment("exp_avg_sq"),
                                                  static_cast<index_t>(step.to_vector<std::int64_t>().front())});
        small.erase(key);
    }
    AdamW<T, B> in_full(optimizer.options().adamw);
    load_adamw_state_dict(in_full, backend, small, where);
    optimizer.restore(in_full.states(), std::move(states));
}

} // namespace reel
