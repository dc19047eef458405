#pragma once
// A model that is a formula, so that whole edits can be repeated in plain double loops.

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <reel/schedulers/ddim.hpp>
#include <reel/tensor.hpp>

namespace formula {

using reel::Cpu;
using reel::index_t;
using reel::Shape;
using Tensor = reel::Tensor<double>;
using Values = std::vector<double>;

inline constexpr index_t frames = 3;
inline constexpr index_t height = 2;
inline constexpr index_t width = 4;
inline constexpr index_t channels = 2;
inline const Shape clip_shape{frames, height, width, channels};
inline const Shape mask_shape{frames, height, width, 1};

/// What the model gives for one value: nonlinear in all it is given, so that nothing may be mixed up.
inline double predicted(double sample, double timestep, double text, index_t i) {
    return 0.4 * std::tanh(sample) + 0.1 * std::cos(timestep) + text * std::sin(0.7 * static_cast<double>(i));
}

/// The formula, called as a UNet is. `calls` counts.
struct FormulaUnet {
    int* calls;
    Tensor operator()(const Tensor& sample, std::span<const double> timesteps, const Tensor& text,
                      index_t clip_frames) const {
        ++*calls;
        const Values x = sample.to_host();
        const Values words = text.to_host();
        const std::size_t clip = x.size() / static_cast<std::size_t>(sample.shape(0) / clip_frames);
        Values y(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
            y[i] = predicted(x[i], timesteps[0], words.at(i / clip), static_cast<index_t>(i % clip));
        }
        return Tensor::from_host(sample.backend(), sample.shape(), std::span<const double>(y));
    }
};

inline Tensor random(Cpu& cpu, const Shape& shape, std::uint64_t stream) {
    Tensor x(cpu, shape);
    reel::fill_normal(cpu, x, 5, stream);
    return x;
}

inline Tensor text(Cpu& cpu, double value) {
    return Tensor::full(cpu, {1, 1, 1}, value);
}

inline double largest_difference(const Values& a, const Values& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(a[i] - b[i]));
    }
    return largest;
}

inline reel::DDIMConfig latent_ddim(reel::PredictionType type = reel::PredictionType::epsilon) {
    reel::DDIMConfig config;
    config.schedule.beta_start = 0.00085;
    config.schedule.beta_end = 0.012;
    config.schedule.beta_schedule = reel::BetaSchedule::scaled_linear;
    config.set_alpha_to_one = false;
    config.prediction_type = type;
    return reel::stable_diffusion_fixes(config);
}

inline std::string message_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const reel::Error& error) {
        return error.what();
    }
    return {};
}

inline const auto nothing = [](auto...) {};

} // namespace formula
