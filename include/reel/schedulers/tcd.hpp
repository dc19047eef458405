#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include <reel/schedulers/detail/consistency_steps.hpp>
#include <reel/schedulers/detail/step_functors.hpp>
#include <reel/schedulers/detail/variance_preserving.hpp>
#include <reel/schedulers/scheduler.hpp>

namespace reel {

/// Names and defaults are diffusers'. Its clipping and thresholding, set_alpha_to_one, steps_offset, timestep_spacing
/// and timestep_scaling have no effect there and do not exist here.
struct TCDConfig {
    NoiseScheduleConfig schedule = stable_diffusion_schedule();
    PredictionType prediction_type = PredictionType::epsilon;
    index_t original_inference_steps = 50; ///< steps of the sampler that the model was distilled from

    friend bool operator==(const TCDConfig&, const TCDConfig&) = default;
};

/// Choices of a run that are no part of a configuration file.
struct TCDOptions {
    double eta = 0.3; ///< gamma of the paper, 0: deterministic, to 1: down to the cleanest level and all noise anew
};

/// Trajectory consistency distillation (Zheng et al. 2024, arXiv:2402.19159): strategic stochastic sampling (algorithm
/// 2). The model's step from t goes below the next timestep p, to s = (1 - eta) p (rounded down), and noise brings the
/// sample up to p; with the clean sample x0 and the noise e that the model's output stands for:
///
///     x_s = sqrt(a_s) x0 + sqrt(1 - a_s) e,    x_p = sqrt(a_p / a_s) x_s + sqrt(1 - a_p / a_s) z
///
/// After the last timestep, p = s = 0: what is left is the noise of timestep 0.
class TCDScheduler : public VariancePreserving {
public:
    TCDScheduler() : TCDScheduler(TCDConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit TCDScheduler(const TCDConfig& config) : VariancePreserving(config.schedule), config_(config) {
        require(config.original_inference_steps >= 1 && config.original_inference_steps <= schedule().size(),
                "TCDScheduler: original_inference_steps is ", config.original_inference_steps, "; expected 1 to ",
                schedule().size(), " (num_train_timesteps)");
    }

    TCDOptions options{};

    [[nodiscard]] const TCDConfig& config() const { return config_; }

    /// Prepares `count` steps; see distilled_timesteps().
    void set_timesteps(index_t count, double strength = 1) {
        timesteps_ =
            distilled_timesteps("TCDScheduler", schedule().size(), config_.original_inference_steps, count, strength);
    }

    /// From the noisiest down; empty before set_timesteps().
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return timesteps_; }

    /// The sample at the timestep after `timestep`. Noise is drawn when options.eta > 0, by every step but the last.
    /// Throws Error for unequal shapes, a timestep that is none of timesteps(), eta outside [0, 1], and missing noise.
    template <Real T, Backend B, class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) const {
        detail::check_step("TCDScheduler", model_output, sample);
        require(options.eta >= 0 && options.eta <= 1, "TCDScheduler: eta is ", options.eta, "; expected 0 to 1");
        const auto after = next_timestep("TCDScheduler", timesteps_, timestep);
        const index_t next = after.value_or(0);
        // float, as the reference computes it: a product that is just below a whole number there is one here
        const auto target = static_cast<index_t>(static_cast<float>(1 - options.eta) * static_cast<float>(next));
        const double kept = schedule().alpha_bar(next) / schedule().alpha_bar(target);
        const bool draws = options.eta > 0 && after;
        const NoiseLevel now = schedule().level(timestep);
        const NoiseLevel low = schedule().level(target);
        const Mixture clean = clean_mixture(config_.prediction_type, now);
        const Mixture predicted_noise = noise_mixture(config_.prediction_type, now);
        const double scale = std::sqrt(kept);
        const StepWeights weights{.clean = scale * low.signal,
                                  .sample = scale * low.noise * predicted_noise.sample,
                                  .output = scale * low.noise * predicted_noise.output,
                                  .noise = draws ? std::sqrt(1 - kept) : 0};
        const Tensor<T, B> drawn = draws ? take_noise("TCDScheduler", noise, sample, timestep) : Tensor<T, B>{};
        return blend_step(sample, model_output, clean, std::nullopt, weights, drawn);
    }

private:
    TCDConfig config_;
    std::vector<index_t> timesteps_;
};

} // namespace reel
