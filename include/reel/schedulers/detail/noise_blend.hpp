#pragma once

#include <span>
#include <string_view>

#include <reel/schedulers/scheduler.hpp>

namespace reel::detail {

/// weights(t).first clean + weights(t).second noise. The leading axis of [rows, ...] is shared out in order: with k
/// timesteps, each counts for rows / k of them (a clip's frames). Throws Error starting with `name` when the shapes
/// differ or k does not divide the rows.
template <class T, class B, class Timestep, class Weights>
[[nodiscard]] Tensor<T, B> blend_noise(std::string_view name, const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                       std::span<const Timestep> timesteps, const Weights& weights) {
    require_same_shape(name, clean, noise);
    const auto groups = static_cast<index_t>(timesteps.size());
    require(groups > 0 && clean.rank() > 0 && clean.shape(0) % groups == 0, name, ": ", groups,
            " timesteps for a tensor of shape ", clean.shape(), "; expected a divisor of its leading extent");
    Tensor<T, B> result(clean.backend(), clean.shape());
    const index_t rows = clean.shape(0) / groups;
    for (index_t group = 0; group < groups; ++group) {
        const auto [first, second] = weights(timesteps[static_cast<std::size_t>(group)]);
        const auto part = clean.slice(group * rows, (group + 1) * rows);
        clean.backend().for_each_index(part.size(),
                                       functors::Axpby<T>{static_cast<T>(first), part.data(), static_cast<T>(second),
                                                          noise.slice(group * rows, (group + 1) * rows).data(),
                                                          result.slice(group * rows, (group + 1) * rows).data()});
    }
    return result;
}

} // namespace reel::detail
