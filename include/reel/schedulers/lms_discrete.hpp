#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/linear_combination.hpp>
#include <reel/schedulers/detail/sigma_space.hpp>

namespace reel {

/// Names and defaults are diffusers', but for sigma_spacing, which stands for three flags of theirs.
struct LMSDiscreteConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    SigmaSpacing sigma_spacing = SigmaSpacing::timesteps;
    TimestepSpacing timestep_spacing = TimestepSpacing::linspace;
    index_t steps_offset = 0;

    friend bool operator==(const LMSDiscreteConfig&, const LMSDiscreteConfig&) = default;
};

/// Choices of a run that are no part of a configuration file.
struct LMSOptions {
    index_t order = 4; ///< how many derivatives a step uses, 1 (Euler) to 6
};

namespace detail {

/// The weights of derivatives known at `nodes` in a step from `from` to `to`: integrals of the Lagrange polynomials.
/// Gauss-Legendre quadrature with three points is exact for them, up to degree 5.
[[nodiscard]] inline std::vector<double> adams_weights(const std::vector<double>& nodes, double from, double to) {
    constexpr std::array points{-0.7745966692414834, 0.0, 0.7745966692414834}; // of [-1, 1]: 0, sqrt(3 / 5)
    constexpr std::array shares{5.0 / 9, 8.0 / 9, 5.0 / 9};
    std::vector<double> weights(nodes.size());
    for (std::size_t j = 0; j < nodes.size(); ++j) {
        for (std::size_t p = 0; p < points.size(); ++p) {
            const double at = (from + to) / 2 + (to - from) / 2 * points[p];
            double value = shares[p] * (to - from) / 2;
            for (std::size_t k = 0; k < nodes.size(); ++k) {
                value *= k == j ? 1 : (at - nodes[k]) / (nodes[j] - nodes[k]);
            }
            weights[j] += value;
        }
    }
    return weights;
}

} // namespace detail

/// Linear multistep method in sigma (Adams-Bashforth with unequal steps; Katherine Crowson's k-diffusion): a step
/// integrates the polynomial through the derivatives of this and the steps before it, as many as options.order.
template <Real T = float, Backend B = Cpu>
class LMSDiscreteScheduler : public SigmaSpace {
public:
    LMSDiscreteScheduler() : LMSDiscreteScheduler(LMSDiscreteConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit LMSDiscreteScheduler(const LMSDiscreteConfig& config)
        : SigmaSpace("LMSDiscreteScheduler", config, 1, true), config_(config) {}

    LMSOptions options{};

    [[nodiscard]] const LMSDiscreteConfig& config() const { return config_; }

    /// Prepares `count` steps and forgets those before. Throws Error when the schedule has no room for them; see
    /// spaced_timesteps().
    void set_timesteps(index_t count) {
        set_run(make_sigma_run(schedule(),
                               {.timestep_spacing = config_.timestep_spacing,
                                .steps_offset = config_.steps_offset,
                                .sigma_spacing = config_.sigma_spacing},
                               count));
    }

    /// Prepares a run of one's own; see sigma_run_at() and sigma_run_through(). Throws Error unless its sigmas descend.
    void set_run(SigmaRun run) {
        begin(std::move(run));
        derivatives_.clear();
    }

    /// The sample at the next level. Draws no noise. Throws Error for unequal shapes, for any timestep but the next one
    /// of the run, and for an order outside 1 to 6.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& /*noise*/ = {}) {
        const index_t k = enter(model_output, timestep, sample);
        require(options.order >= 1 && options.order <= static_cast<index_t>(max_order), name(), ": order is ",
                options.order, "; expected 1 to ", max_order);
        const Mixture flow = sigma_derivative(clean_at(k), sigma(k));
        std::vector<double> nodes{sigma(k)};
        const std::size_t earlier = std::min(derivatives_.size(), static_cast<std::size_t>(options.order - 1));
        for (std::size_t age = 0; age < earlier; ++age) {
            nodes.push_back(sigma(k - 1 - static_cast<index_t>(age)));
        }
        const std::vector<double> weights = detail::adams_weights(nodes, sigma(k), sigma(k + 1));
        // This step's derivative by its parts: what is left of the sample is a small difference of large numbers.
        std::vector<WeightedTensor<T, B>> terms{{1 + weights[0] * flow.sample, &sample},
                                                {weights[0] * flow.output, &model_output}};
        for (std::size_t age = 0; age < earlier; ++age) {
            terms.push_back({weights[age + 1], &derivatives_[age]});
        }
        const auto result = linear_combination(std::span<const WeightedTensor<T, B>>(terms));
        derivatives_.push_front(mix(flow, sample, model_output));
        derivatives_.resize(std::min(derivatives_.size(), max_order - 1));
        leave(k);
        return result;
    }

private:
    static constexpr std::size_t max_order = 6;

    LMSDiscreteConfig config_;
    std::deque<Tensor<T, B>> derivatives_; ///< the newest first
};

} // namespace reel
