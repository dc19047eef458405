#pragma once

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/dpm_solver_multistep.hpp>

namespace reel {

/// DPM-Solver and DPM-Solver++ run upwards, from a clean sample to noise: the probability flow integrated by the same
/// multistep formulas as in DPMSolverMultistepScheduler, with a negative step in lambda. diffusers' class of this name;
/// arXiv:2211.01095. The model is asked at the sample's own level, so that a run begins with timestep 0:
///
///     for (const auto t : inversion.timesteps()) {
///         x = inversion.invert_step(model(x, t), t, x);
///     }
///     DPMSolverMultistepScheduler<> sampler(inversion.sampler_config());
///
/// Both directions follow one flow, so that sampling returns to the start but for the methods' error, which is of order
/// solver_order in the step. (DDIMInverseScheduler undoes a step algebraically, given the same output; its error, of
/// first order, comes from the outputs.)
template <Real T = float, Backend B = Cpu>
class DPMSolverMultistepInverseScheduler {
public:
    static constexpr std::string_view class_name = "DPMSolverMultistepInverseScheduler";

    DPMSolverMultistepInverseScheduler() : DPMSolverMultistepInverseScheduler(DPMSolverMultistepConfig{}) {}

    /// A configuration of the sampler's; final_sigmas_type has no meaning here. Throws Error for what has no inverse:
    /// algorithms that draw noise, thresholding; and for use_lu_lambdas, which diffusers' class lacks.
    explicit DPMSolverMultistepInverseScheduler(const DPMSolverMultistepConfig& config)
        : config_(config), schedule_(config.schedule) {
        require(!draws_noise(config.algorithm_type), class_name, ": algorithm_type ",
                name_in(solver_algorithm_names, config.algorithm_type),
                " draws noise, and cannot be run backwards; use dpmsolver++, or edit-friendly inversion");
        require(!config.threshold.thresholding, class_name, ": thresholding cannot be undone; set it to false");
        require(!config.use_lu_lambdas, class_name, ": use_lu_lambdas is not supported");
        require(!config.use_flow_sigmas, class_name, ": use_flow_sigmas is not supported");
        require(config.solver_order >= 1 && config.solver_order <= 3, class_name, ": solver_order is ",
                config.solver_order, "; expected 1 to 3");
    }

    [[nodiscard]] const DPMSolverMultistepConfig& config() const { return config_; }

    /// Of a sampler that visits the same levels on the way down: linspace spacing, ending at timestep 0's level.
    [[nodiscard]] DPMSolverMultistepConfig sampler_config() const {
        DPMSolverMultistepConfig config = config_;
        config.final_sigmas_type = FinalSigma::sigma_min;
        config.timestep_spacing = TimestepSpacing::linspace;
        return config;
    }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them.
    void set_timesteps(index_t count) {
        require(count >= 1 && count < schedule_.size(), class_name, ": ", count, " steps asked for; expected 1 to ",
                schedule_.size() - 1, " (fewer than num_train_timesteps)");
        const std::vector<double> table = training_sigmas(schedule_);
        const index_t end = std::count_if(table.begin(), table.end(),
                                          [&](double sigma) { return -std::log(sigma) >= config_.lambda_min_clipped; });
        require(end >= 1, class_name, ": lambda_min_clipped is ", config_.lambda_min_clipped,
                ", which leaves out every training timestep");
        std::vector<index_t> timesteps = spaced(end, count);
        std::vector<double> sigmas;
        if (config_.sigma_spacing == SigmaSpacing::timesteps) {
            require(timesteps.back() < schedule_.size(), class_name, ": ", count, " steps with steps_offset ",
                    config_.steps_offset, " lead past the last training timestep");
            for (const index_t timestep : timesteps) {
                sigmas.push_back(table[static_cast<std::size_t>(timestep)]);
            }
            sigmas.push_back(table[static_cast<std::size_t>(end - 1)]);
        } else {
            sigmas = spread_sigmas(config_.sigma_spacing, {table.back(), table.front()}, count);
            std::reverse(sigmas.begin(), sigmas.end());
            timesteps.clear();
            for (const double sigma : sigmas) {
                const double timestep = config_.sigma_timesteps == SigmaTimesteps::exact
                                            ? timestep_of_sigma(table, sigma)
                                            : rounded_timestep_of_sigma(table, sigma);
                const bool nearest = config_.sigma_spacing == SigmaSpacing::karras;
                timesteps.push_back(static_cast<index_t>(nearest ? std::nearbyint(timestep) : timestep));
            }
            round_to_float(sigmas);
            sigmas.push_back(sigmas.back());
        }
        require(std::adjacent_find(timesteps.begin(), timesteps.end(), std::greater_equal<>()) == timesteps.end(),
                class_name, ": ", count, " steps of this spacing come to one timestep twice; use fewer");
        reached_.assign(timesteps.begin() + 1, timesteps.end());
        reached_.push_back(config_.sigma_spacing == SigmaSpacing::timesteps ? end - 1 : timesteps.back());
        run_.restart(std::move(timesteps));
        sigmas_ = std::move(sigmas);
        outputs_.clear();
    }

    /// From the cleanest up; empty before set_timesteps().
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return run_.timesteps(); }

    /// The timestep of the level that every step leads to. (Of other inversions that is the one that the step has.)
    [[nodiscard]] const std::vector<index_t>& reached() const { return reached_; }

    /// The noise level before every step, as noise / signal, and the one after the last.
    [[nodiscard]] const std::vector<double>& sigmas() const { return sigmas_; }

    /// The sample at the next level up. `model_output` is the model's for that sample at `timestep`. Throws Error for
    /// unequal shapes and for any timestep but the next one.
    [[nodiscard]] Tensor<T, B> invert_step(const Tensor<T, B>& model_output, index_t timestep,
                                           const Tensor<T, B>& sample) {
        detail::check_step(class_name, model_output, sample);
        const std::size_t at = run_.find(class_name, timestep);
        const NoiseLevel here = level_of_sigma(sigmas_[at]);
        outputs_.insert(outputs_.begin(),
                        mix(integrates_clean(config_.algorithm_type) ? clean_mixture(config_.prediction_type, here)
                                                                     : noise_mixture(config_.prediction_type, here),
                            sample, model_output));
        outputs_.resize(std::min(outputs_.size(), static_cast<std::size_t>(config_.solver_order)));
        const ExponentialStep step(config_.algorithm_type, level(at), level(at + 1));
        std::vector<WeightedTensor<T, B>> terms{{step.sample, &sample}};
        const OutputWeights weights = weights_of(step, at);
        for (std::size_t k = 0; k < outputs_.size(); ++k) {
            terms.push_back({-step.scale * weights[k], &outputs_[k]});
        }
        Tensor<T, B> result = linear_combination<T, B>(terms);
        run_.advance(at);
        return result;
    }

    /// Throws Error unless the sampler goes down the levels that this came up. After set_timesteps() of both.
    void check_sampler(const DPMSolverMultistepScheduler<T, B>& sampler) const {
        const DPMSolverMultistepConfig& theirs = sampler.config();
        require(theirs.schedule == config_.schedule && theirs.prediction_type == config_.prediction_type, class_name,
                ": the sampler has another noise schedule or prediction type than the inversion; make it from "
                "sampler_config()");
        require(!draws_noise(theirs.algorithm_type), class_name, ": the sampler's algorithm_type ",
                name_in(solver_algorithm_names, theirs.algorithm_type),
                " draws noise, so that it would not return to the clip; make it from sampler_config()");
        const std::vector<double> up = distinct(sigmas_);
        std::vector<double> down = distinct(sampler.sigmas());
        std::reverse(down.begin(), down.end());
        require(!up.empty() && up == down, class_name, ": the sampler does not visit the inversion's ", up.size(),
                " noise levels in reverse (it has ", down.size(),
                "); make it from sampler_config() and give both the same number of steps");
    }

private:
    [[nodiscard]] std::vector<index_t> spaced(index_t end, index_t count) const {
        std::vector<index_t> timesteps;
        if (config_.timestep_spacing == TimestepSpacing::trailing) {
            timesteps = solver_timesteps(TimestepSpacing::trailing, schedule_.size(), end, count, 0);
            std::reverse(timesteps.begin(), timesteps.end());
            return timesteps;
        }
        for (index_t i = 0; i < count; ++i) {
            const double step = static_cast<double>(end - 1) / static_cast<double>(count);
            timesteps.push_back(config_.timestep_spacing == TimestepSpacing::leading
                                    ? i * (end / (count + 1)) + config_.steps_offset
                                    : static_cast<index_t>(std::nearbyint(static_cast<double>(i) * step)));
        }
        return timesteps;
    }

    [[nodiscard]] SolverLevel level(std::size_t at) const { return solver_level(sigmas_[at]); }

    [[nodiscard]] OutputWeights weights_of(const ExponentialStep& step, std::size_t at) const {
        const std::size_t left = run_.size() - at;
        const bool lower = config_.lower_order_final && run_.size() < 15;
        const int highest = left == 1 && (lower || config_.euler_at_final) ? 1 : left == 2 && lower ? 2 : 3;
        const int order = std::min(static_cast<int>(outputs_.size()), highest);
        const double h0 = order > 1 ? level(at).lambda - level(at - 1).lambda : 0;
        const double h1 = order > 2 ? level(at - 1).lambda - level(at - 2).lambda : 0;
        const bool midpoint = order == 2 && config_.solver_type == SolverType::midpoint;
        return multistep_weights(order, {step.h, h0, h1}, step.constant(),
                                 midpoint ? step.constant() / 2 : step.linear(), step.quadratic());
    }

    /// Without repetitions: a last step that goes nowhere counts for nothing.
    [[nodiscard]] static std::vector<double> distinct(std::vector<double> sigmas) {
        sigmas.erase(std::unique(sigmas.begin(), sigmas.end()), sigmas.end());
        return sigmas;
    }

    DPMSolverMultistepConfig config_;
    NoiseSchedule schedule_;
    RunPosition run_;
    std::vector<index_t> reached_;
    std::vector<double> sigmas_;
    std::vector<Tensor<T, B>> outputs_;
};

template <class T, class B>
inline constexpr bool inverts<DPMSolverMultistepInverseScheduler<T, B>, DPMSolverMultistepScheduler<T, B>> = true;

} // namespace reel
