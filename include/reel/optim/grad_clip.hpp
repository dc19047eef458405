#pragma once

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <type_traits>
#include <vector>

#include <reel/ops/reduce.hpp>
#include <reel/optim/parameters.hpp>

namespace reel {

/// The Euclidean norm of all defined gradients together. One that is not finite is an Error naming the first parameter
/// at fault.
template <Scalar T, Backend B>
[[nodiscard]] double grad_norm(std::span<const NamedParameter<T, B>> parameters) {
    double squares = 0;
    for (const auto& parameter : parameters) {
        if (parameter.gradient.defined()) {
            const double square = squared_norm(parameter.gradient);
            require(std::isfinite(square), "clip_grad_norm_: the gradient of \"", parameter.name,
                    "\" is not finite: the training has diverged, or its input holds NaN; a smaller learning rate may "
                    "help");
            squares += square;
        }
    }
    return std::sqrt(squares);
}

/// What clipping to max_norm multiplies gradients by: min(1, max_norm / (norm + 1e-6)).
[[nodiscard]] inline double clip_factor(double norm, double max_norm) {
    require(max_norm > 0, "clip_grad_norm_: max_norm is ", max_norm, "; expected a number above 0");
    return std::min(1.0, max_norm / (norm + 1e-6));
}

/// Scales all gradients, in place, by clip_factor() of their grad_norm(); returns that norm. As
/// torch.nn.utils.clip_grad_norm_, but a norm that is not finite is an Error, where PyTorch would spread NaN over all
/// weights. Gradients that share their elements are scaled once.
template <Real T, Backend B>
double clip_grad_norm_(std::span<const NamedParameter<T, B>> parameters, std::type_identity_t<double> max_norm) {
    require(max_norm > 0, "clip_grad_norm_: max_norm is ", max_norm, "; expected a number above 0");
    const double norm = grad_norm(parameters);
    const double factor = clip_factor(norm, max_norm);
    if (factor < 1) {
        std::set<const T*> done;
        for (const auto& parameter : parameters) {
            const auto& gradient = parameter.gradient;
            if (gradient.defined() && done.insert(gradient.data()).second) {
                gradient.backend().for_each_index(
                    gradient.size(), functors::Scale<T>{static_cast<T>(factor), gradient.data(), gradient.data()});
            }
        }
    }
    return norm;
}
/// The same for a vector.
template <Real T, Backend B>
double clip_grad_norm_(const std::vector<NamedParameter<T, B>>& parameters, double max_norm) {
    return clip_grad_norm_(std::span<const NamedParameter<T, B>>(parameters), max_norm);
}

} // namespace reel
