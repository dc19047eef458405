#pragma once

#include <reel/tensor.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

namespace near {

/// A tensor of random numbers, in any backend.
template <class T = double, class B>
reel::Tensor<T, B> tensor(B& backend, const reel::Shape& shape, std::uint64_t stream, double spread = 1) {
    return reel::Tensor<T, B>::from_host(backend, shape,
                                         std::span<const T>(as<T>(randoms(shape.size(), stream, spread))));
}

/// Inner product of two tensors.
template <class T, class B>
double dot(const reel::Tensor<T, B>& a, const reel::Tensor<T, B>& b) {
    const auto x = a.to_host();
    const auto y = b.to_host();
    REQUIRE(x.size() == y.size());
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        sum += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    }
    return sum;
}

} // namespace near
