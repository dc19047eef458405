#pragma once
// Tests of the backend Cuda are headers: compiled by g++ they run on the stand-in (tests/support/cuda_stand_in), by
// nvcc on a device.

#include <doctest/doctest.h>

#include <reel/backend/cuda/cuda.cuh>
#include <reel/ops/elementwise.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

namespace cuda_test {

using reel::Cuda;
using reel::index_t;
using reel::Tensor;

/// Values in a backend's memory. An empty array has an address, too.
template <class T, class B>
class Array {
public:
    Array(B& backend, const std::vector<double>& values)
        : tensor_(Tensor<T, B>::from_host(backend, {static_cast<index_t>(values.size())},
                                          std::span<const T>(near::as<T>(values)))) {}
    Array(B& backend, index_t count, double value)
        : Array(backend, std::vector<double>(static_cast<std::size_t>(count), value)) {}

    [[nodiscard]] T* data() const { return tensor_.data(); }
    [[nodiscard]] std::vector<T> host() const { return tensor_.to_host(); }

private:
    Tensor<T, B> tensor_;
};

/// What the device's own functions (exp, erf, ...) and another order of sums may cost, over the usual bound.
template <class T>
inline constexpr double bound = near::bound<T> * 4;
// 16-bit inputs and results are rounded to 8 and 11 bits, and the reference's are not.
template <>
inline constexpr double bound<reel::bfloat16> = 2e-2;
template <>
inline constexpr double bound<reel::half> = 2.5e-3;

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

} // namespace cuda_test
