#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include <reel/schedulers/schedule/noise_schedule.hpp>

namespace reel {

/// The noise schedule that LCM's and TCD's configurations take where they say nothing: Stable Diffusion's.
[[nodiscard]] inline NoiseScheduleConfig stable_diffusion_schedule() {
    return {.beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = BetaSchedule::scaled_linear};
}

/// The timesteps of a run of a distilled model, from the noisiest down: `count` of the `original_steps` that it was
/// distilled with, k N / original_steps - 1, evenly, beginning with the noisiest. `strength` below 1 leaves out the
/// noisiest ones, for a run from a sample that is only partly noise. Throws Error, starting with the scheduler's name,
/// when there are not that many.
[[nodiscard]] inline std::vector<index_t> distilled_timesteps(std::string_view scheduler, index_t training_steps,
                                                              index_t original_steps, index_t count, double strength) {
    require(strength > 0 && strength <= 1, scheduler, ": strength is ", strength, "; expected above 0 and at most 1");
    const auto left = static_cast<index_t>(static_cast<double>(original_steps) * strength);
    require(count >= 1 && count <= left, scheduler, ": ", count, " steps asked for; expected 1 to ", left, ", of the ",
            original_steps, " steps the model was distilled with (original_inference_steps)",
            strength < 1 ? " what strength leaves" : "");
    std::vector<index_t> timesteps;
    for (index_t i = 0; i < count; ++i) {
        const auto place = static_cast<double>(i) * (static_cast<double>(left) / static_cast<double>(count));
        timesteps.push_back((left - static_cast<index_t>(place)) * (training_steps / original_steps) - 1);
    }
    return timesteps;
}

/// The timestep that follows `timestep` in a run; nothing after the last. Throws Error, starting with the scheduler's
/// name, before set_timesteps() and for a timestep that is none of the run's.
[[nodiscard]] inline std::optional<index_t> next_timestep(std::string_view scheduler,
                                                          const std::vector<index_t>& timesteps, index_t timestep) {
    require(!timesteps.empty(), scheduler, ": call set_timesteps() first");
    const auto found = std::lower_bound(timesteps.begin(), timesteps.end(), timestep, std::greater<>());
    require(found != timesteps.end() && *found == timestep, scheduler, ": timestep ", timestep, " is not one of the ",
            timesteps.size(), " timesteps of this run");
    return found + 1 == timesteps.end() ? std::nullopt : std::optional(found[1]);
}

} // namespace reel
