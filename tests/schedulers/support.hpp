#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <reel/io/weights/safetensors.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>

namespace reel::test {

/// Elements of golden tensors as a tensor.
template <class T>
[[nodiscard]] Tensor<T> golden_tensor(Cpu& cpu, const StateDict& golden, const std::string& name) {
    const auto found = golden.find(name);
    require(found != golden.end(), "no golden tensor \"", name, "\"");
    const std::vector<T> values = found->second.template to_vector<T>();
    return Tensor<T>::from_host(cpu, Shape(found->second.shape.begin(), found->second.shape.end()), values);
}

/// Largest difference relative to the largest expected value; infinity where a value is no number.
template <class T, class U>
[[nodiscard]] double gap(const std::vector<T>& values, const std::vector<U>& expected) {
    require(values.size() == expected.size(), "gap: ", values.size(), " values, ", expected.size(), " expected");
    double difference = 0;
    double top = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double d = std::abs(static_cast<double>(values[i]) - static_cast<double>(expected[i]));
        difference = std::isnan(d) ? INFINITY : std::max(difference, d);
        top = std::max(top, std::abs(static_cast<double>(expected[i])));
    }
    return top == 0 ? difference : difference / top;
}
template <class T>
[[nodiscard]] double gap(const Tensor<T>& values, const Tensor<T>& expected) {
    return gap(values.to_host(), expected.to_host());
}

/// a x + b sin(c x + t / 1000), element by element: what the golden trajectories have for a model.
template <class T>
struct SineModel {
    T a, b, c, phase;
    const T* x;
    T* y;
    constexpr void operator()(index_t i) const { y[i] = a * x[i] + b * std::sin(c * x[i] + phase); }
};

template <class T, class Timestep>
[[nodiscard]] Tensor<T> sine_model(PredictionType type, const Tensor<T>& x, Timestep timestep) {
    Tensor<T> y(x.backend(), x.shape());
    const T phase = static_cast<T>(timestep) / T(1000);
    SineModel<T> model{T(0.8), T(0.2), T(2), phase, x.data(), y.data()};
    if (type == PredictionType::v_prediction) {
        model = {T(0.1), T(0.5), T(1.5), phase, x.data(), y.data()};
    } else if (type == PredictionType::sample) {
        model = {T(0.5), T(0.4), T(2.5), phase, x.data(), y.data()};
    }
    x.backend().for_each_index(x.size(), model);
    return y;
}

} // namespace reel::test
