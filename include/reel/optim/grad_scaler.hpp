#pragma once

#include <cmath>
#include <optional>
#include <span>

#include <reel/ops/reduce.hpp>
#include <reel/optim/parameters.hpp>

namespace reel {

/// Names and defaults are torch.cuda.amp.GradScaler's.
struct GradScalerOptions {
    double init_scale = 65536;
    double growth_factor = 2;
    double backoff_factor = 0.5;
    index_t growth_interval = 2000; ///< steps in a row without inf or NaN after which the scale grows
    bool enabled = true;            ///< where not, the scale is 1 and stays so
};

/// What a GradScaler remembers: save it to resume.
struct GradScalerState {
    double scale = 1;
    index_t growth_tracker = 0; ///< good steps since the scale last changed
};

/// Loss scaling for float16, whose small gradients would round to zero: the loss is multiplied by a scale before
/// backward, the gradients are divided by it after; a step whose gradients hold inf or NaN is left out, and the scale
/// halved. Micikevicius et al. 2017, arXiv:1710.03740, section 3.2; in the steps of torch.cuda.amp.GradScaler.
class GradScaler {
public:
    /// Throws Error naming an option that makes no sense.
    explicit GradScaler(const GradScalerOptions& options = {})
        : options_(options), state_{options.enabled ? options.init_scale : 1.0, 0} {
        require(options.init_scale > 0, "GradScaler: init_scale is ", options.init_scale,
                "; expected a number above 0");
        require(options.growth_factor > 1, "GradScaler: growth_factor is ", options.growth_factor,
                "; expected a number above 1");
        require(options.backoff_factor > 0 && options.backoff_factor < 1, "GradScaler: backoff_factor is ",
                options.backoff_factor, "; expected a number between 0 and 1");
        require(options.growth_interval > 0, "GradScaler: growth_interval is ", options.growth_interval,
                "; expected 1 or more");
    }

    [[nodiscard]] const GradScalerOptions& options() const { return options_; }

    /// What the loss is to be multiplied by.
    [[nodiscard]] double get_scale() const { return state_.scale; }

    /// The norm that the gradients have without the scale, which they are still multiplied by; nothing when one holds
    /// inf or NaN. The norm is summed in double.
    template <Scalar T, Backend B>
    [[nodiscard]] std::optional<double> unscaled_norm(std::span<const NamedParameter<T, B>> parameters) const {
        double squares = 0;
        for (const auto& parameter : parameters) {
            squares += parameter.gradient.defined() ? squared_norm(parameter.gradient) : 0.0;
        }
        return std::isfinite(squares) ? std::optional(std::sqrt(squares) / state_.scale) : std::nullopt;
    }

    /// Divides all gradients by the scale, in place. Returns whether one held inf or NaN: then the step is to be left
    /// out. For gradients of 16 bits, divide while they are cast (unscaled_norm() tells whether they are finite).
    template <Real T, Backend B>
    [[nodiscard]] bool unscale_(const std::vector<NamedParameter<T, B>>& parameters) const {
        const bool finite = unscaled_norm(std::span<const NamedParameter<T, B>>(parameters)).has_value();
        if (state_.scale != 1) {
            for (const auto& parameter : parameters) {
                if (const auto& gradient = parameter.gradient; gradient.defined()) {
                    gradient.backend().for_each_index(
                        gradient.size(),
                        functors::Scale<T>{static_cast<T>(1 / state_.scale), gradient.data(), gradient.data()});
                }
            }
        }
        return !finite;
    }

    /// After every step, made or left out: the scale that the next loss gets.
    void update(bool found_inf) {
        if (!options_.enabled) {
            return;
        }
        if (found_inf) {
            state_ = {state_.scale * options_.backoff_factor, 0};
        } else if (++state_.growth_tracker == options_.growth_interval) {
            // as PyTorch, whose scale is a float
            const auto grown = static_cast<float>(state_.scale * options_.growth_factor);
            state_ = {std::isfinite(grown) ? static_cast<double>(grown) : state_.scale, 0};
        }
    }

    [[nodiscard]] const GradScalerState& state() const { return state_; }

    /// Continues from a saved state. Throws Error when it makes no sense.
    void restore(const GradScalerState& state) {
        require(std::isfinite(state.scale) && state.scale > 0 && state.growth_tracker >= 0 &&
                    state.growth_tracker < options_.growth_interval,
                "GradScaler: the state has scale ", state.scale, " and growth_tracker ", state.growth_tracker,
                "; expected a number above 0, and one from 0 and below ", options_.growth_interval);
        state_ = state;
    }

private:
    GradScalerOptions options_;
    GradScalerState state_;
};

} // namespace reel
