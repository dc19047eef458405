#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include <reel/schedulers/detail/step_functors.hpp>
#include <reel/schedulers/detail/variance_preserving.hpp>
#include <reel/schedulers/schedule/timesteps.hpp>
#include <reel/schedulers/scheduler.hpp>

namespace reel {

/// Variance of the noise that a DDPM step draws, for the noise b that the step takes away.
enum class VarianceType {
    fixed_small,     ///< b (1 - a_p) / (1 - a_t): right for data of one value
    fixed_small_log, ///< the same, by way of its logarithm
    fixed_large,     ///< b: right for data of unit variance
    fixed_large_log  ///< the same, by way of its logarithm (diffusers gives NaN here)
};

inline constexpr std::array variance_type_names{
    NamedValue{"fixed_small", VarianceType::fixed_small},
    NamedValue{"fixed_small_log", VarianceType::fixed_small_log},
    NamedValue{"fixed_large", VarianceType::fixed_large},
    NamedValue{"fixed_large_log", VarianceType::fixed_large_log},
};

/// Names and defaults are diffusers'.
struct DDPMConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    VarianceType variance_type = VarianceType::fixed_small;
    bool clip_sample = true;
    double clip_sample_range = 1;
    index_t steps_offset = 0;
    TimestepSpacing timestep_spacing = TimestepSpacing::leading;

    friend bool operator==(const DDPMConfig&, const DDPMConfig&) = default;
};

/// Denoising diffusion probabilistic models (Ho et al. 2020, arXiv:2006.11239), equation (7). From level t to the level
/// p of the next timestep (a_p = 1 after the last), with the clean sample x0 and b = 1 - a_t / a_p:
///
///     x_p = sqrt(a_p) b / (1 - a_t) x0 + sqrt(1 - b) (1 - a_p) / (1 - a_t) x_t + sqrt(variance) z
///
/// diffusers 0.11.1 takes p = t - 1 whatever the number of steps; this is what later releases do, and equal to it for
/// a run over all training timesteps. Training uses add_noise() and get_velocity() alone.
class DDPMScheduler : public VariancePreserving {
public:
    DDPMScheduler() : DDPMScheduler(DDPMConfig{}) {}

    /// Throws Error naming a value that makes no sense. All training timesteps are visited until set_timesteps().
    explicit DDPMScheduler(const DDPMConfig& config) : VariancePreserving(config.schedule), config_(config) {
        require(!config.clip_sample || config.clip_sample_range > 0, "DDPMScheduler: clip_sample_range is ",
                config.clip_sample_range, "; expected a number above 0");
        require(config.steps_offset >= 0, "DDPMScheduler: steps_offset is ", config.steps_offset,
                "; expected 0 or more");
        timesteps_ = spaced_timesteps(TimestepSpacing::leading, schedule().size(), schedule().size(), 0);
    }

    [[nodiscard]] const DDPMConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        timesteps_ = spaced_timesteps(config_.timestep_spacing, schedule().size(), count, config_.steps_offset);
    }

    /// From the noisiest down.
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return timesteps_; }

    /// alpha_bar of the level that a step from `timestep` leads to. Throws Error unless it is one of timesteps().
    [[nodiscard]] double previous_alpha_bar(index_t timestep) const {
        const auto found = std::lower_bound(timesteps_.begin(), timesteps_.end(), timestep, std::greater<>());
        require(found != timesteps_.end() && *found == timestep, "DDPMScheduler: timestep ", timestep,
                " is not one of the ", timesteps_.size(), " timesteps of this run");
        return found + 1 == timesteps_.end() ? 1 : schedule().alpha_bar(*(found + 1));
    }

    /// The sample at the next timestep. `noise` (a tensor or a source, see NoiseFor) is used unless timestep is 0.
    /// Throws Error for unequal shapes, a timestep that is not of this run, and missing noise.
    template <Real T, Backend B, class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) const {
        detail::check_step("DDPMScheduler", model_output, sample);
        const double now = schedule().alpha_bar(timestep);
        const double next = previous_alpha_bar(timestep);
        const double beta = 1 - now / next;
        StepWeights weights{.clean = std::sqrt(next) * beta / (1 - now),
                            .sample = std::sqrt(1 - beta) * (1 - next) / (1 - now)};
        Tensor<T, B> drawn;
        if (timestep > 0) {
            weights.noise = deviation(now, next, beta);
            drawn = take_noise("DDPMScheduler", noise, sample, timestep);
        }
        return blend_step(sample, model_output, clean_mixture(config_.prediction_type, NoiseLevel::from_alpha_bar(now)),
                          clip(), weights, drawn);
    }

    /// The clean sample that the model's output stands for, clipped as the configuration says: a preview of the result.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> predict_clean(const Tensor<T, B>& model_output, index_t timestep,
                                             const Tensor<T, B>& sample) const {
        detail::check_step("DDPMScheduler", model_output, sample);
        return blend_step(sample, model_output, clean_mixture(config_.prediction_type, schedule().level(timestep)),
                          clip(), {.clean = 1}, Tensor<T, B>{});
    }

private:
    [[nodiscard]] double deviation(double now, double next, double beta) const {
        const bool small = config_.variance_type == VarianceType::fixed_small ||
                           config_.variance_type == VarianceType::fixed_small_log;
        constexpr double floor = 1e-20; // what diffusers keeps a variance above, so that its logarithm exists
        return std::sqrt(small ? std::max((1 - next) / (1 - now) * beta, floor) : beta);
    }

    [[nodiscard]] std::optional<double> clip() const {
        return config_.clip_sample ? std::optional(config_.clip_sample_range) : std::nullopt;
    }

    DDPMConfig config_;
    std::vector<index_t> timesteps_;
};

} // namespace reel
