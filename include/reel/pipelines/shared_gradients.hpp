#pragma once
// The gradients of a step whose draws were divided among ranks.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <reel/nn/module.hpp>
#include <reel/parallel/communicator.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// Makes the gradients of all parameters that train the sums over the ranks, of 16-bit ones taken in float and rounded
/// once. Called by all, with the same parameters; a rank may have no gradients. A gradient that no rank has stays
/// undefined. Two calls of Communicator::all_reduce(): a 32-bit number for each parameter, and the gradients.
template <Scalar T, Backend B, class M>
void sum_gradients(const Communicator& ranks, M& module, B& backend) {
    using C = compute_t<T>;
    if (ranks.alone()) {
        return;
    }
    std::vector<std::int32_t> anywhere;
    std::size_t count = 0;
    const auto for_each_trained = [&](const auto& visit) {
        for_each_parameter(module, [&](const std::string&, auto& parameter) {
            if (parameter.requires_grad()) {
                visit(parameter);
            }
        });
    };
    for_each_trained([&](const auto& parameter) { anywhere.push_back(parameter.grad().defined() ? 1 : 0); });
    ranks.all_reduce(std::span<std::int32_t>(anywhere), "which gradients there are");
    std::size_t at = 0;
    for_each_trained([&](const auto& parameter) {
        count += anywhere[at++] != 0 ? static_cast<std::size_t>(parameter.spec().shape.size()) : 0;
    });
    std::vector<C> sums;
    sums.reserve(count);
    at = 0;
    for_each_trained([&](const auto& parameter) {
        if (anywhere[at++] == 0) {
            return;
        }
        if (parameter.grad().defined()) {
            for (const T value : parameter.grad().to_host()) {
                sums.push_back(static_cast<C>(value));
            }
        } else {
            sums.resize(sums.size() + static_cast<std::size_t>(parameter.spec().shape.size()));
        }
    });
    ranks.all_reduce(std::span<C>(sums), "the gradients of a step");
    std::size_t start = 0;
    at = 0;
    for_each_trained([&](const auto& parameter) {
        if (anywhere[at++] == 0) {
            return;
        }
        const Shape& shape = parameter.spec().shape;
        const auto first = sums.begin() + static_cast<std::ptrdiff_t>(start);
        std::vector<T> values;
        values.reserve(static_cast<std::size_t>(shape.size()));
        for (auto sum = first; sum != first + shape.size(); ++sum) {
            values.push_back(static_cast<T>(*sum));
        }
        start += values.size();
        parameter.variable().node()->gradient = Tensor<T, B>::from_host(backend, shape, std::span<const T>(values));
    });
}

} // namespace reel
