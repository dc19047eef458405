#pragma once
// What the contract of schedulers is measured with: a model that is exact, the probability flow that samplers follow,
// and runs.

#include <algorithm>
#include <cmath>
#include <vector>

#include <reel/schedulers/gaussian_mixture.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "support.hpp"

namespace reel::test {

/// 1025 timesteps, so that 16, 32, 64, ... steps of equal length fit.
inline const NoiseScheduleConfig contract_schedule{.num_train_timesteps = 1025};

/// What a network is given and gives.
enum class Network {
    variance_preserving, ///< Stable Diffusion's
    edm                  ///< with EDM's preconditioning (arXiv:2206.00364, table 1) for sigma_data = 0.5
};

/// A mixture of Gaussians as a network trained on a noise schedule.
template <class T>
struct AnalyticModel {
    AnalyticModel(Cpu& cpu, const std::vector<GaussianComponent>& components,
                  Network its_network = Network::variance_preserving)
        : mixture(cpu, components), schedule(contract_schedule), network(its_network) {}

    [[nodiscard]] NoiseLevel level(double timestep) const {
        return network == Network::edm ? level_of_sigma(std::exp(4 * timestep))
                                       : interpolated_level(schedule, timestep);
    }

    /// The highest level of a run.
    [[nodiscard]] NoiseLevel highest() const {
        return network == Network::edm ? level_of_sigma(80) : schedule.level(1024);
    }

    /// Of the network's input, to make it variance-preserving.
    [[nodiscard]] double input_scale(double timestep) const {
        const double sigma = std::exp(4 * timestep);
        return network == Network::edm ? std::hypot(sigma, 0.5) / std::hypot(sigma, 1) : 1;
    }

    /// The output for the network's input.
    [[nodiscard]] Tensor<T> operator()(PredictionType type, const Tensor<T>& input, double timestep) const {
        if (network == Network::variance_preserving) {
            return mixture.predict(type, input, level(timestep));
        }
        const double sigma = std::exp(4 * timestep);
        const double length = std::hypot(sigma, 0.5);
        const auto x = scale(input, static_cast<T>(input_scale(timestep)));
        const auto clean = mixture.predict(PredictionType::sample, x, level(timestep));
        const double sign = type == PredictionType::v_prediction ? -1 : 1;
        const double out = sign * length / (sigma * 0.5);
        return axpby(static_cast<T>(out), clean, static_cast<T>(-out * 0.25 / length), input);
    }

    GaussianMixture<T> mixture;
    NoiseSchedule schedule;
    Network network;
};

inline const std::vector<GaussianComponent> contract_clusters{{.weight = 2, .mean = {1.0, -0.5}, .deviation = 0.6},
                                                              {.weight = 1, .mean = {-1.0, 0.75}, .deviation = 0.8}};

/// Points as they are at the noisiest level: [8, 2].
template <class T>
[[nodiscard]] Tensor<T> contract_points(Cpu& cpu) {
    std::vector<T> values;
    for (int i = 0; i < 8; ++i) {
        values.push_back(static_cast<T>(1.4 * std::cos(0.9 * i)));
        values.push_back(static_cast<T>(1.1 * std::sin(1.3 * i + 0.4)));
    }
    return Tensor<T>::from_host(cpu, {8, 2}, values);
}

/// Where the probability flow takes variance-preserving points between two levels: dy / d(log sigma) = sigma noise(y)
/// for y = x / signal (Song et al. 2020, arXiv:2010.02502, equation 14), by 400 classical Runge-Kutta steps.
[[nodiscard]] inline Tensor<double> probability_flow(const GaussianMixture<double>& mixture, const Tensor<double>& x,
                                                     NoiseLevel from, NoiseLevel to) {
    const double start = std::log(from.noise / from.signal);
    const int steps = 400;
    const double h = (std::log(to.noise / to.signal) - start) / steps;
    const auto slope = [&](const Tensor<double>& y, double log_sigma) {
        const double sigma = std::exp(log_sigma);
        const double signal = 1 / std::sqrt(1 + sigma * sigma);
        return scale(mixture.predict(PredictionType::epsilon, scale(y, signal), {signal, sigma * signal}), sigma);
    };
    Tensor<double> y = scale(x, 1 / from.signal);
    for (int i = 0; i < steps; ++i) {
        const double now = start + h * i;
        const auto k1 = slope(y, now);
        const auto k2 = slope(axpby(1.0, y, h / 2, k1), now + h / 2);
        const auto k3 = slope(axpby(1.0, y, h / 2, k2), now + h / 2);
        const auto k4 = slope(axpby(1.0, y, h, k3), now + h);
        const auto middle = axpby(1.0, k2, 1.0, k3);
        const auto ends = axpby(1.0, k1, 1.0, k4);
        y = axpby(1.0, y, h / 6, axpby(1.0, ends, 2.0, middle));
    }
    return scale(y, to.signal);
}

/// Noise of a run: a fixed pattern, different at every draw, at the same place for float and double.
template <class T>
struct PatternNoise {
    Cpu* cpu;
    int draws = 0;
    Tensor<T> operator()(const Shape& shape) {
        std::vector<T> values;
        for (index_t i = 0; i < shape.size(); ++i) {
            values.push_back(static_cast<T>(1.3 * std::sin(12.9 * draws + 78.2 * static_cast<double>(i) + 0.5)));
        }
        ++draws;
        return Tensor<T>::from_host(*cpu, shape, values);
    }
};

/// The state before every model call, variance-preserving, and the result.
template <class T>
struct ContractRun {
    std::vector<Tensor<T>> states;
    Tensor<T> result;
    int draws = 0;
};

/// What to multiply variance-preserving samples at the first timestep with to start a run.
template <class T, class S>
[[nodiscard]] double start_scale(Cpu& cpu, S& scheduler, const AnalyticModel<T>& model) {
    const double first = scheduler.timesteps().front();
    const auto unit = Tensor<T>::full(cpu, {1}, T(1));
    return 1 / (static_cast<double>(scheduler.scale_model_input(unit, first).to_host()[0]) * model.input_scale(first));
}

/// A run from the variance-preserving start `x`.
template <class T, class S>
[[nodiscard]] ContractRun<T> contract_run(Cpu& cpu, S& scheduler, const Tensor<T>& x, const AnalyticModel<T>& model,
                                          PredictionType type = PredictionType::epsilon) {
    ContractRun<T> run;
    PatternNoise<T> noise{&cpu};
    run.result = scale(x, static_cast<T>(start_scale(cpu, scheduler, model)));
    for (const double t : scheduler.timesteps()) {
        const auto input = scheduler.scale_model_input(run.result, t);
        run.states.push_back(scale(input, static_cast<T>(model.input_scale(t))));
        run.result = scheduler.step(model(type, input, t), t, run.result, noise);
    }
    run.draws = noise.draws;
    return run;
}

/// Largest absolute difference.
[[nodiscard]] inline double distance(const Tensor<double>& a, const Tensor<double>& b) {
    const auto first = a.to_host();
    const auto second = b.to_host();
    double largest = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
        const double d = std::abs(first[i] - second[i]);
        largest = std::isnan(d) ? INFINITY : std::max(largest, d);
    }
    return largest;
}

} // namespace reel::test
