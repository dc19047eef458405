#pragma once

#include <cmath>
#include <numbers>
#include <vector>

#include <reel/schedulers/schedule/noise_schedule.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// One cluster of a GaussianMixture: `deviation` is the same in every direction.
struct GaussianComponent {
    double weight = 1; ///< above 0; weights need not add up to 1
    std::vector<double> mean{};
    double deviation = 1; ///< above 0
};

namespace detail {

/// A mixture's components at a noise level, as device code sees them.
struct NoisyMixture {
    index_t components;
    index_t dimensions;
    const double* log_weight; ///< of unit sum
    const double* mean;       ///< [components, dimensions]
    const double* deviation;
    double signal;
    double noise;

    [[nodiscard]] constexpr double variance(index_t k) const {
        const double spread = signal * deviation[k];
        return spread * spread + noise * noise;
    }
    template <class T>
    [[nodiscard]] constexpr double offset(const T* x, index_t k, index_t d) const {
        return static_cast<double>(x[d]) - signal * mean[k * dimensions + d];
    }
    /// Logarithm of a component's share of the density at x.
    template <class T>
    [[nodiscard]] constexpr double log_share(const T* x, index_t k) const {
        double square = 0;
        for (index_t d = 0; d < dimensions; ++d) {
            square += offset(x, k, d) * offset(x, k, d);
        }
        const double v = variance(k);
        return log_weight[k] -
               0.5 * (square / v + static_cast<double>(dimensions) * std::log(2 * std::numbers::pi * v));
    }
    /// The largest share, taken out of sums of exponentials so that they cannot all underflow.
    template <class T>
    [[nodiscard]] constexpr double largest_share(const T* x) const {
        double largest = log_share(x, 0);
        for (index_t k = 1; k < components; ++k) {
            const double share = log_share(x, k);
            largest = share > largest ? share : largest;
        }
        return largest;
    }
};

} // namespace detail

namespace functors {

/// Element i: clean_weight E[clean | x] + noise_weight E[noise | x].
template <class T>
struct MixturePosterior {
    detail::NoisyMixture mixture;
    double clean_weight;
    double noise_weight;
    const T* x;
    T* y;
    constexpr void operator()(index_t i) const {
        const index_t d = i % mixture.dimensions;
        const T* row = x + (i - d);
        const double largest = mixture.largest_share(row);
        double total = 0;
        double clean = 0;
        double noise = 0;
        for (index_t k = 0; k < mixture.components; ++k) {
            const double share = std::exp(mixture.log_share(row, k) - largest);
            const double pull = mixture.offset(row, k, d) / mixture.variance(k);
            const double spread = mixture.deviation[k];
            total += share;
            clean += share * (mixture.mean[k * mixture.dimensions + d] + mixture.signal * spread * spread * pull);
            noise += share * mixture.noise * pull;
        }
        y[i] = static_cast<T>((clean_weight * clean + noise_weight * noise) / total);
    }
};

template <class T>
struct MixtureLogDensity {
    detail::NoisyMixture mixture;
    const T* x;
    T* y;
    constexpr void operator()(index_t row) const {
        const T* point = x + row * mixture.dimensions;
        const double largest = mixture.largest_share(point);
        double total = 0;
        for (index_t k = 0; k < mixture.components; ++k) {
            total += std::exp(mixture.log_share(point, k) - largest);
        }
        y[row] = static_cast<T>(largest + std::log(total));
    }
};

} // namespace functors

/// A model that needs no training: data that is a mixture of Gaussians, for which the prediction that a perfect network
/// would give is known at every noise level. A sampler can be judged with it alone. Noisy samples are mixtures again,
/// with means s m_k and variances v_k = s^2 d_k^2 + n^2, and with r_k(x) the posterior share of component k,
///
///     E[clean | x] = sum_k r_k (m_k + s d_k^2 / v_k (x - s m_k)),    E[noise | x] = sum_k r_k n / v_k (x - s m_k)
///
/// the latter being -n times the score (Tweedie's formula). Tensors are [..., dimensions]: every row is one point.
/// Everything is computed in double; the work is components * dimensions per element, meant for few of both.
template <Real T, Backend B = Cpu>
class GaussianMixture {
public:
    /// Throws Error unless there are components, all with means of one length, positive weights and deviations.
    GaussianMixture(B& backend, const std::vector<GaussianComponent>& components) {
        require(!components.empty() && !components[0].mean.empty(),
                "GaussianMixture: expected at least one component with a mean of one number or more");
        dimensions_ = static_cast<index_t>(components[0].mean.size());
        double total = 0;
        for (const GaussianComponent& component : components) {
            require(component.weight > 0 && component.deviation > 0, "GaussianMixture: a component has weight ",
                    component.weight, " and deviation ", component.deviation, "; expected numbers above 0");
            require(static_cast<index_t>(component.mean.size()) == dimensions_, "GaussianMixture: a component has ",
                    component.mean.size(), " dimensions, the first one has ", dimensions_);
            total += component.weight;
        }
        std::vector<double> log_weights;
        std::vector<double> means;
        std::vector<double> deviations;
        for (const GaussianComponent& component : components) {
            log_weights.push_back(std::log(component.weight / total));
            means.insert(means.end(), component.mean.begin(), component.mean.end());
            deviations.push_back(component.deviation);
        }
        const auto count = static_cast<index_t>(components.size());
        log_weights_ = Tensor<double, B>::from_host(backend, {count}, log_weights);
        means_ = Tensor<double, B>::from_host(backend, {count, dimensions_}, means);
        deviations_ = Tensor<double, B>::from_host(backend, {count}, deviations);
    }

    [[nodiscard]] index_t dimensions() const { return dimensions_; }

    /// What a perfect network of this prediction type gives for noisy points at a level. Throws Error unless the last
    /// axis of x has dimensions() elements.
    [[nodiscard]] Tensor<T, B> predict(PredictionType type, const Tensor<T, B>& x, NoiseLevel level) const {
        double clean = 0;
        double noise = 0;
        switch (type) {
        case PredictionType::epsilon:
            noise = 1;
            break;
        case PredictionType::v_prediction:
            clean = -level.noise;
            noise = level.signal;
            break;
        case PredictionType::sample:
            clean = 1;
            break;
        }
        Tensor<T, B> y(x.backend(), x.shape());
        x.backend().for_each_index(
            x.size(), functors::MixturePosterior<T>{at("predict", x, level), clean, noise, x.data(), y.data()});
        return y;
    }

    /// Logarithm of the density of noisy points at a level: [rows, dimensions] to [rows].
    [[nodiscard]] Tensor<T, B> log_density(const Tensor<T, B>& x, NoiseLevel level) const {
        const detail::NoisyMixture mixture = at("log_density", x, level);
        Tensor<T, B> y(x.backend(), {x.size() / dimensions_});
        x.backend().for_each_index(y.size(), functors::MixtureLogDensity<T>{mixture, x.data(), y.data()});
        return y;
    }

private:
    [[nodiscard]] detail::NoisyMixture at(const char* operation, const Tensor<T, B>& x, NoiseLevel level) const {
        require(x.rank() > 0 && x.shape(x.rank() - 1) == dimensions_, "GaussianMixture::", operation, ": points ",
                x.shape(), "; expected [..., ", dimensions_, "]");
        return {log_weights_.size(), dimensions_,  log_weights_.data(), means_.data(),
                deviations_.data(),  level.signal, level.noise};
    }

    index_t dimensions_ = 0;
    Tensor<double, B> log_weights_;
    Tensor<double, B> means_;
    Tensor<double, B> deviations_;
};

/// Signal and noise at a timestep that may lie between two of training: the logarithm of noise / signal is
/// interpolated, which is how sigma-based samplers turn a noise level into a timestep. Whole numbers give the
/// schedule's own levels; a level without signal has no logarithm, and the schedule's nearest level is taken there.
/// Throws Error outside [0, size() - 1].
[[nodiscard]] inline NoiseLevel interpolated_level(const NoiseSchedule& schedule, double timestep) {
    const double below = std::floor(timestep);
    const auto low = static_cast<index_t>(below);
    const double part = timestep - below;
    if (part == 0) {
        return schedule.level(low);
    }
    const NoiseLevel first = schedule.level(low);
    const NoiseLevel second = schedule.level(low + 1);
    if (second.signal == 0) {
        return part < 0.5 ? first : second;
    }
    const double sigma =
        std::exp((1 - part) * std::log(first.noise / first.signal) + part * std::log(second.noise / second.signal));
    const double signal = 1 / std::sqrt(1 + sigma * sigma);
    return {signal, sigma * signal};
}

} // namespace reel
