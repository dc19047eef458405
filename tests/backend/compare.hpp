#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <reel/core/philox.hpp>

/// What the tests of numeric code share: inputs, and how near is near enough.
namespace near {

/// Standard normal numbers times `spread`, exact in float so that both precisions start from the same input.
inline std::vector<double> randoms(reel::index_t count, std::uint64_t stream, double spread = 1) {
    const reel::Philox random(2024, stream);
    std::vector<double> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(static_cast<float>(spread * random.normal(i)));
    }
    return values;
}

template <class T>
std::vector<T> as(const std::vector<double>& values) {
    std::vector<T> result(values.size());
    std::transform(values.begin(), values.end(), result.begin(), [](double x) { return static_cast<T>(x); });
    return result;
}

/// Largest difference over the largest expected magnitude; infinite where a NaN meets a number.
template <class A, class B>
double relative_error(const std::vector<A>& values, const std::vector<B>& expected) {
    if (values.size() != expected.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double a = static_cast<double>(values[i]);
        const double b = static_cast<double>(expected[i]);
        if (std::isnan(a) != std::isnan(b)) {
            return std::numeric_limits<double>::infinity();
        }
        if (!std::isnan(b)) {
            largest = std::max(largest, std::abs(b));
            difference = std::max(difference, std::abs(a - b));
        }
    }
    return difference == 0 ? 0 : difference / std::max(largest, std::numeric_limits<double>::min());
}

/// The bound for results of type T: a few hundred roundings.
template <class T>
inline constexpr double bound = static_cast<double>(std::numeric_limits<T>::epsilon()) * 50;

} // namespace near
