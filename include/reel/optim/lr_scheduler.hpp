#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string_view>

#include <reel/core/named_values.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// How the learning rate goes over a training. The names are those of diffusers' get_scheduler and of Tune-A-Video's
/// YAML key `lr_scheduler`.
enum class LrScheduleKind {
    constant,
    constant_with_warmup,
    linear,               ///< down to 0
    cosine,               ///< down to 0 along half a cosine
    cosine_with_restarts, ///< the same, `cycles` times
    polynomial            ///< down to `end_rate` along (1 - progress)^power
};

inline constexpr std::array lr_schedule_names{
    NamedValue{"constant", LrScheduleKind::constant},
    NamedValue{"constant_with_warmup", LrScheduleKind::constant_with_warmup},
    NamedValue{"linear", LrScheduleKind::linear},
    NamedValue{"cosine", LrScheduleKind::cosine},
    NamedValue{"cosine_with_restarts", LrScheduleKind::cosine_with_restarts},
    NamedValue{"polynomial", LrScheduleKind::polynomial},
};

/// A learning rate as a pure function of the step: nothing to save, nothing to resume. All kinds but `constant` begin
/// with `warmup_steps` steps that rise linearly from 0.
struct LrSchedule {
    LrScheduleKind kind = LrScheduleKind::constant;
    double learning_rate = 1e-3;
    index_t warmup_steps = 0;
    index_t training_steps = 0;     ///< where the rate reaches its end; not used by the two constant kinds
    std::optional<double> cycles{}; ///< cosine: waves, 0.5 unless given; cosine_with_restarts: restarts, 1 unless given
    double power = 1;               ///< polynomial
    double end_rate = 1e-7;         ///< polynomial

    /// The rate of optimizer step `step`, counted from 0. Throws Error for a negative step and for options that make
    /// no sense.
    [[nodiscard]] double at(index_t step) const {
        require(step >= 0, "LrSchedule: step ", step, "; expected 0 or more");
        require(learning_rate >= 0 && warmup_steps >= 0 && training_steps >= 0, "LrSchedule: learning_rate ",
                learning_rate, ", warmup_steps ", warmup_steps, ", training_steps ", training_steps,
                "; expected 0 or more");
        require(kind != LrScheduleKind::polynomial || (learning_rate > end_rate && end_rate >= 0),
                "LrSchedule: polynomial: end_rate is ", end_rate, "; expected 0 or more and less than learning_rate, ",
                learning_rate);
        return kind == LrScheduleKind::constant ? learning_rate : learning_rate * factor(step);
    }

private:
    [[nodiscard]] double factor(index_t step) const {
        if (step < warmup_steps) {
            return static_cast<double>(step) / static_cast<double>(std::max<index_t>(1, warmup_steps));
        }
        const auto decay_steps = static_cast<double>(std::max<index_t>(1, training_steps - warmup_steps));
        const double progress = static_cast<double>(step - warmup_steps) / decay_steps;
        switch (kind) {
        case LrScheduleKind::constant:
        case LrScheduleKind::constant_with_warmup:
            return 1;
        case LrScheduleKind::linear:
            return std::max(0.0, static_cast<double>(training_steps - step) / decay_steps);
        case LrScheduleKind::cosine:
            return half_cosine(cycles.value_or(0.5) * 2 * progress);
        case LrScheduleKind::cosine_with_restarts:
            return progress >= 1 ? 0 : half_cosine(std::fmod(cycles.value_or(1) * progress, 1.0));
        case LrScheduleKind::polynomial: {
            const double left = std::pow(std::max(1 - progress, 0.0), power);
            return ((learning_rate - end_rate) * left + end_rate) / learning_rate;
        }
        }
        fail("LrScheduleKind: no such value: ", static_cast<int>(kind));
    }

    [[nodiscard]] static double half_cosine(double turns) {
        return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * turns)));
    }
};

} // namespace reel
