#pragma once

#include <reel/nn/module.hpp>
#include <reel/optim/parameters.hpp>

namespace reel {

/// What an optimizer changes of a module whose numbers are T: the parameters that are set to train, with the gradients
/// that backward() left.
template <Real T, Backend B = Cpu, class M>
[[nodiscard]] std::vector<NamedParameter<T, B>> trained_parameters(const M& trained) {
    std::vector<NamedParameter<T, B>> parameters;
    for_each_parameter(trained, [&](const std::string& name, const auto& parameter) {
        if (parameter.requires_grad()) {
            parameters.push_back({name, parameter.value(), parameter.grad()});
        }
    });
    return parameters;
}

} // namespace reel
