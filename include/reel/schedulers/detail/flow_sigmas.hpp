#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <reel/schedulers/schedule/noise_schedule.hpp>
#include <reel/schedulers/schedule/sigmas.hpp>

/// Noise levels as flow matching has them: a sample is (1 - s) clean + s noise (Liu et al. 2022, arXiv:2209.03003), and
/// the model is asked at timestep s times num_train_timesteps.
namespace reel::detail {

/// Where a run of flow sigmas begins; diffusers' samplers do not agree.
enum class FlowStart {
    last_timestep, ///< at s = 1 - 1 / num_train_timesteps; a run would end at 0, and does a step before it
    noise          ///< at s = 1, less 1e-6, for a logarithm is taken of what is left of the signal
};

/// Signal and noise at an s.
[[nodiscard]] inline NoiseLevel level_of_flow_sigma(double s) {
    return {1 - s, s};
}

/// a * b, rounded before it is added to something: compilers may fuse the two, and a timestep, which is cut off, would
/// then be another one than diffusers'.
[[nodiscard]] inline double rounded_product(double a, double b) {
    const volatile double product = a * b;
    return product;
}

/// `count` values of s from the noisiest down, shifted by `shift` (Esser et al. 2024, arXiv:2403.03206, equation 23),
/// in double.
[[nodiscard]] inline std::vector<double> flow_sigmas(index_t training_steps, index_t count, double shift,
                                                     FlowStart start) {
    const double step = (1 / static_cast<double>(training_steps) - 1) / static_cast<double>(count);
    const auto from_one = [&](index_t i) { // from 1 to 1 / training_steps
        return i == count ? 1 / static_cast<double>(training_steps) : rounded_product(static_cast<double>(i), step) + 1;
    };
    std::vector<double> sigmas;
    for (index_t i = 0; i < count; ++i) {
        const double s = start == FlowStart::noise ? from_one(i) : 1 - from_one(count - i);
        sigmas.push_back(rounded_product(shift, s) / (1 + rounded_product(shift - 1, s)));
    }
    constexpr double least_signal = 1e-6;
    if (start == FlowStart::noise && std::abs(sigmas.front() - 1) < least_signal) {
        sigmas.front() -= least_signal;
    }
    return sigmas;
}

/// Throws Error, starting with a sampler's name, for a choice of levels beside flow sigmas and a shift without sense.
template <class Config>
void check_flow_sigmas(std::string_view name, const Config& config) {
    require(!config.use_flow_sigmas || config.sigma_spacing == SigmaSpacing::timesteps, name, ": use_flow_sigmas and ",
            name_in(sigma_spacing_names, config.sigma_spacing), " sigmas exclude each other; choose one of them");
    require(config.flow_shift > 0 && std::isfinite(config.flow_shift), name, ": flow_shift is ", config.flow_shift,
            "; expected a finite number above 0");
}

} // namespace reel::detail
