#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include <reel/schedulers/detail/linear_combination.hpp>
#include <reel/schedulers/detail/run_position.hpp>
#include <reel/schedulers/detail/variance_preserving.hpp>
#include <reel/schedulers/schedule/timesteps.hpp>
#include <reel/schedulers/scheduler.hpp>

namespace reel {

/// Names and defaults are diffusers'.
struct PNDMConfig {
    NoiseScheduleConfig schedule{};
    PredictionType prediction_type = PredictionType::epsilon;
    bool skip_prk_steps = false;   ///< begin with one step of Heun's method instead of three Runge-Kutta steps
    bool set_alpha_to_one = false; ///< the last step ends without noise; otherwise at timestep 0's level
    index_t steps_offset = 0;
    TimestepSpacing timestep_spacing = TimestepSpacing::leading;

    friend bool operator==(const PNDMConfig&, const PNDMConfig&) = default;
};

/// Pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv:2202.09778): DDIM's step (equation 11) with an
/// output combined from several: by a linear multistep method of order 4 (equation 12), which is started by three
/// fourth-order Runge-Kutta steps (equation 13, four model calls each) or, with skip_prk_steps, by lower orders, the
/// first step being repeated with the mean of the outputs at both its ends. So a run of n steps takes n + 9 model
/// calls, or n + 1, and some timesteps come twice.
///
/// As in diffusers, outputs are combined as the model gives them and converted to noise afterwards, and a step goes
/// from t to t - N / n (whole number) for every spacing.
template <Real T = float, Backend B = Cpu>
class PNDMScheduler : public VariancePreserving {
public:
    PNDMScheduler() : PNDMScheduler(PNDMConfig{}) {}

    /// Throws Error naming a value that makes no sense.
    explicit PNDMScheduler(const PNDMConfig& config) : VariancePreserving(config.schedule), config_(config) {
        require(config.steps_offset >= 0, "PNDMScheduler: steps_offset is ", config.steps_offset,
                "; expected 0 or more");
        require(!config.schedule.rescale_betas_zero_snr,
                "PNDMScheduler: rescale_betas_zero_snr is true, but its steps cannot leave a level without signal; use "
                "another sampler, such as DDIM");
    }

    [[nodiscard]] const PNDMConfig& config() const { return config_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them (see spaced_timesteps()) and, with
    /// Runge-Kutta steps, for fewer than 4.
    void set_timesteps(index_t count) {
        const auto levels = spaced_timesteps(config_.timestep_spacing, schedule().size(), count, config_.steps_offset);
        stride_ = schedule().size() / count;
        std::vector<index_t> visits;
        runge_kutta_calls_ = 0;
        if (config_.skip_prk_steps) {
            visits = levels;
            if (count > 1) {
                visits.insert(visits.begin() + 1, levels[1]);
            }
        } else {
            require(count >= 4, "PNDMScheduler: ", count,
                    " steps asked for; with Runge-Kutta steps it takes 4 or more (or set skip_prk_steps)");
            for (std::size_t i = 0; i < 3; ++i) {
                const index_t middle = levels[i + 1] + stride_ / 2;
                visits.insert(visits.end(), {levels[i], middle, middle, levels[i + 1]});
            }
            runge_kutta_calls_ = visits.size();
            visits.insert(visits.end(), levels.begin() + 3, levels.end());
        }
        run_.restart(std::move(visits));
        outputs_.clear();
        start_ = {};
    }

    /// The timestep of every model call; empty before set_timesteps().
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return run_.timesteps(); }

    /// The sample for the next model call. Draws no noise. Throws Error for unequal shapes and for any timestep but the
    /// next one of timesteps().
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, index_t timestep, const Tensor<T, B>& sample,
                                    Noise&& /*noise*/ = {}) {
        detail::check_step("PNDMScheduler", model_output, sample);
        const std::size_t call = run_.find("PNDMScheduler", timestep);
        require(!run_.at_start() || call == 0, "PNDMScheduler: a run begins at timestep ", timesteps().front(),
                ", not in the middle, at ", timestep);
        Tensor<T, B> result = call < runge_kutta_calls_ ? runge_kutta_step(call, model_output, timestep, sample)
                                                        : multistep(call, model_output, timestep, sample);
        run_.advance(call);
        return result;
    }

private:
    [[nodiscard]] Tensor<T, B> runge_kutta_step(std::size_t call, const Tensor<T, B>& output, index_t timestep,
                                                const Tensor<T, B>& sample) {
        const std::size_t stage = call % 4;
        const index_t from = timesteps()[call - stage];
        if (stage == 0) {
            start_ = sample;
            stages_ = {};
            remember(output);
        }
        if (stage < 3) {
            stages_[stage] = output.clone();
            const index_t to = stage % 2 == 0 ? timestep - stride_ / 2 : timestep;
            return transfer(from, to, start_, {{1, &output}});
        }
        return transfer(from, timestep, start_,
                        {{1.0 / 6, &stages_[0]}, {1.0 / 3, &stages_[1]}, {1.0 / 3, &stages_[2]}, {1.0 / 6, &output}});
    }

    [[nodiscard]] Tensor<T, B> multistep(std::size_t call, const Tensor<T, B>& output, index_t timestep,
                                         const Tensor<T, B>& sample) {
        if (call == 1) { // the first step once more, now that the output at its end is known
            const Tensor<T, B> start = std::move(start_);
            start_ = {};
            return transfer(timestep + stride_, timestep, start, {{0.5, &output}, {0.5, &outputs_[0]}});
        }
        if (call == 0) {
            start_ = sample;
        }
        remember(output);
        // Adams-Bashforth, newest first
        static constexpr double weights[4][4] = {
            {1}, {3.0 / 2, -1.0 / 2}, {23.0 / 12, -16.0 / 12, 5.0 / 12}, {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}};
        std::vector<WeightedTensor<T, B>> terms;
        for (std::size_t k = 0; k < outputs_.size(); ++k) {
            terms.push_back({weights[outputs_.size() - 1][k], &outputs_[k]});
        }
        return transfer(timestep, timestep - stride_, sample, terms);
    }

    /// Keeps the last four outputs, newest first.
    void remember(const Tensor<T, B>& output) {
        outputs_.insert(outputs_.begin(), output.clone());
        outputs_.resize(std::min<std::size_t>(outputs_.size(), 4));
    }

    /// DDIM's step between two timesteps, with a combination of outputs.
    [[nodiscard]] Tensor<T, B> transfer(index_t from, index_t to, const Tensor<T, B>& sample,
                                        std::vector<WeightedTensor<T, B>> terms) const {
        const NoiseLevel now = schedule().level(from);
        const NoiseLevel next = to >= 0                    ? schedule().level(to)
                                : config_.set_alpha_to_one ? NoiseLevel{1, 0}
                                                           : schedule().level(0);
        const Mixture noise = noise_mixture(config_.prediction_type, now);
        const double ratio = next.signal / now.signal;
        const double direction = next.noise - ratio * now.noise;
        for (auto& term : terms) {
            term.weight *= direction * noise.output;
        }
        terms.push_back({ratio + direction * noise.sample, &sample});
        return linear_combination<T, B>(terms);
    }

    PNDMConfig config_;
    RunPosition run_;
    index_t stride_ = 0;
    std::size_t runge_kutta_calls_ = 0;
    std::vector<Tensor<T, B>> outputs_;
    std::array<Tensor<T, B>, 3> stages_;
    Tensor<T, B> start_; ///< where the current Runge-Kutta step, or the repeated first step, began
};

} // namespace reel
