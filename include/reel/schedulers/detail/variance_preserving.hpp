#pragma once

#include <span>
#include <string_view>

#include <reel/schedulers/detail/noise_blend.hpp>

namespace reel {

/// The half that DDPM-like schedulers share: x_t = sqrt(alpha_bar_t) clean + sqrt(1 - alpha_bar_t) noise, a model that
/// is given the sample as it is, and runs that start from noise of unit variance. Inherit from it and add
/// set_timesteps, timesteps and step.
class VariancePreserving {
public:
    VariancePreserving() = default;
    explicit VariancePreserving(const NoiseScheduleConfig& config) : schedule_(config) {}

    [[nodiscard]] const NoiseSchedule& schedule() const { return schedule_; }

    [[nodiscard]] double init_noise_sigma() const { return 1; }

    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> scale_model_input(const Tensor<T, B>& sample, index_t /*timestep*/) const {
        return sample;
    }

    /// sqrt(alpha_bar_t) clean + sqrt(1 - alpha_bar_t) noise. The leading axis of [rows, ...] is shared out in order:
    /// with k timesteps, each counts for rows / k of them (a clip's frames). Throws Error when the shapes differ, k
    /// does not divide the rows, or a timestep is out of range.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                         std::span<const index_t> timesteps) const {
        return blend("add_noise", clean, noise, timesteps,
                     [](NoiseLevel level) { return std::pair(level.signal, level.noise); });
    }

    /// The same with one timestep for everything.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise, index_t timestep) const {
        return add_noise(clean, noise, std::span<const index_t>(&timestep, 1));
    }

    /// The target of v-prediction: sqrt(alpha_bar_t) noise - sqrt(1 - alpha_bar_t) clean. Arguments as add_noise.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> get_velocity(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                            std::span<const index_t> timesteps) const {
        return blend("get_velocity", clean, noise, timesteps,
                     [](NoiseLevel level) { return std::pair(-level.noise, level.signal); });
    }
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> get_velocity(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                            index_t timestep) const {
        return get_velocity(clean, noise, std::span<const index_t>(&timestep, 1));
    }

private:
    template <class T, class B, class Weights>
    [[nodiscard]] Tensor<T, B> blend(std::string_view name, const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                     std::span<const index_t> timesteps, const Weights& weights) const {
        return detail::blend_noise(name, clean, noise, timesteps,
                                   [&](index_t timestep) { return weights(schedule_.level(timestep)); });
    }

    NoiseSchedule schedule_;
};

} // namespace reel
