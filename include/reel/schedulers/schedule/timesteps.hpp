#pragma once

#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include <reel/core/named_values.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// Which of N training timesteps an n-step run visits (table 2 of Lin et al. 2023, arXiv:2305.08891).
enum class TimestepSpacing {
    leading,  ///< multiples of N / n (whole number) from 0, plus steps_offset: never near pure noise unless n divides N
    trailing, ///< every N / n (fraction) down from N - 1
    linspace  ///< evenly from N - 1 to 0, both ends visited
};

inline constexpr std::array timestep_spacing_names{
    NamedValue{"leading", TimestepSpacing::leading},
    NamedValue{"trailing", TimestepSpacing::trailing},
    NamedValue{"linspace", TimestepSpacing::linspace},
};

/// The timesteps of a run with `count` steps, from the noisiest down, rounded as NumPy (and so diffusers) does.
/// `steps_offset` counts for leading spacing only. For some counts (61, 103, ...) trailing spacing in diffusers has one
/// step too many, at timestep -1, by a rounding error; here it has exactly `count`.
/// Throws Error unless 1 <= count <= training_steps, and when steps_offset leads past the last training timestep: 1000
/// steps with an offset of 1 would begin at timestep 1000, which no model was trained for.
[[nodiscard]] inline std::vector<index_t> spaced_timesteps(TimestepSpacing spacing, index_t training_steps,
                                                           index_t count, index_t steps_offset) {
    require(count >= 1, "set_timesteps: ", count, " steps asked for; expected 1 or more");
    require(count <= training_steps, "set_timesteps: ", count, " steps asked for, but the model was trained with only ",
            training_steps, " timesteps (num_train_timesteps)");
    require(steps_offset >= 0, "set_timesteps: steps_offset is ", steps_offset, "; expected 0 or more");
    std::vector<index_t> timesteps(static_cast<std::size_t>(count));
    for (index_t i = 0; i < count; ++i) {
        index_t timestep = 0;
        if (spacing == TimestepSpacing::leading) {
            timestep = (count - 1 - i) * (training_steps / count) + steps_offset;
        } else if (spacing == TimestepSpacing::linspace) {
            const double step =
                count == 1 ? 0 : static_cast<double>(training_steps - 1) / static_cast<double>(count - 1);
            timestep = i == 0 && count > 1
                           ? training_steps - 1
                           : static_cast<index_t>(std::nearbyint(static_cast<double>(count - 1 - i) * step));
        } else {
            // NumPy takes the increment from its first two elements: their rounding decides the ties.
            const auto start = static_cast<double>(training_steps);
            const double second = start - start / static_cast<double>(count);
            const double descent = static_cast<double>(i) * (second - start);
            timestep = static_cast<index_t>(std::nearbyint(start + descent)) - 1;
        }
        timesteps[static_cast<std::size_t>(i)] = timestep;
    }
    require(timesteps.front() < training_steps, "set_timesteps: ", count, " steps with steps_offset ", steps_offset,
            " begin at timestep ", timesteps.front(), ", but the last training timestep is ", training_steps - 1,
            "; use fewer steps or a smaller steps_offset");
    return timesteps;
}

/// The same for samplers whose models take fractional timesteps: linspace spacing is not rounded (but to float32, as in
/// diffusers). Throws Error as spaced_timesteps() does.
[[nodiscard]] inline std::vector<double> fractional_timesteps(TimestepSpacing spacing, index_t training_steps,
                                                              index_t count, index_t steps_offset) {
    const std::vector<index_t> whole = spaced_timesteps(spacing, training_steps, count, steps_offset);
    std::vector<double> timesteps(whole.size());
    for (index_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        timesteps[at] = static_cast<double>(whole[at]);
        if (spacing == TimestepSpacing::linspace && i > 0 && count > 1) {
            const double step = static_cast<double>(training_steps - 1) / static_cast<double>(count - 1);
            timesteps[at] = static_cast<double>(static_cast<float>(static_cast<double>(count - 1 - i) * step));
        }
    }
    return timesteps;
}

} // namespace reel
