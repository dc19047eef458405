#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/call_position.hpp>
#include <reel/schedulers/detail/noise_blend.hpp>
#include <reel/schedulers/detail/step_functors.hpp>
#include <reel/schedulers/schedule/sigmas.hpp>

namespace reel {

/// The clean sample that a model's output stands for, as a mixture of x = clean + sigma noise and the output of the
/// model for scale_model_input(x) = x / sqrt(1 + sigma^2).
[[nodiscard]] inline Mixture sigma_clean_mixture(PredictionType type, double sigma) {
    switch (type) {
    case PredictionType::epsilon:
        return {1, -sigma};
    case PredictionType::v_prediction:
        return {1 / (sigma * sigma + 1), -sigma / std::sqrt(sigma * sigma + 1)};
    case PredictionType::sample:
        return {0, 1};
    }
    fail("PredictionType: no such value: ", static_cast<int>(type));
}

/// dx/dsigma = (x - clean) / sigma, the probability flow that samplers in sigma integrate (equation 1 of
/// arXiv:2206.00364 with sigma for time), for a clean sample of that mixture.
[[nodiscard]] inline Mixture sigma_derivative(Mixture clean, double sigma) {
    return {(1 - clean.sample) / sigma, -clean.output / sigma};
}

/// How a step from sigma, along the flow to a level `distance` away, mixes the sample and the clean one:
/// x + distance (x - clean) / sigma.
[[nodiscard]] inline StepWeights flow_weights(double sigma, double distance) {
    return {.clean = -distance / sigma, .sample = 1 + distance / sigma};
}

/// Ancestral sampling splits a step from one sigma to another: down to `down` along the flow, then up by noise of the
/// deviation `up`, with down^2 + up^2 = to^2 and up^2 = to^2 (from^2 - to^2) / from^2.
struct AncestralStep {
    double down;
    double up;
};
/// The split of the step from one sigma to another.
[[nodiscard]] inline AncestralStep ancestral_step(double from, double to) {
    return {to * to / from, to * std::sqrt(std::max(from * from - to * to, 0.0)) / from};
}

/// The half that samplers in sigma share: x = clean + sigma noise, the model is given x / sqrt(1 + sigma^2), timesteps
/// are fractional. Inherit from it, and add a constructor that names the scheduler, set_timesteps (which calls begin())
/// and step (which brackets its work with enter() and leave()).
class SigmaSpace {
public:
    [[nodiscard]] const NoiseSchedule& schedule() const { return schedule_; }

    /// The timestep of every model call, from the noisiest down; empty before set_timesteps().
    [[nodiscard]] const std::vector<double>& timesteps() const { return timesteps_; }

    /// The noise level before every step, and the one after the last: one more than steps.
    [[nodiscard]] const std::vector<double>& sigmas() const { return sigmas_; }

    /// Standard deviation of the noise that a run starts from: the highest sigma, or, with leading spacing, which does
    /// not begin at pure noise, that of signal and noise together. Before set_timesteps() that of the last training
    /// timestep.
    [[nodiscard]] double init_noise_sigma() const {
        const double top = sigmas_.empty() ? table_.back() : sigmas_.front();
        return spacing_ == TimestepSpacing::leading ? std::sqrt(top * top + 1) : top;
    }

    /// sample / sqrt(1 + sigma^2), for the model. Throws Error unless timestep is one of timesteps().
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> scale_model_input(const Tensor<T, B>& sample, double timestep) const {
        return scale(sample, static_cast<T>(level_of_sigma(call_sigma(find(timestep))).signal));
    }

    /// clean + sigma_t noise. The leading axis is shared out among the timesteps in order. They are timesteps() or,
    /// before set_timesteps(), training timesteps (fractions are interpolated). Throws Error for others, when the
    /// shapes differ, or when the number of timesteps does not divide the rows.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                         std::span<const double> timesteps) const {
        return detail::blend_noise("add_noise", clean, noise, timesteps,
                                   [&](double timestep) { return std::pair(1.0, noise_sigma(timestep)); });
    }

    /// The same with one timestep for everything.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise, double timestep) const {
        return add_noise(clean, noise, std::span<const double>(&timestep, 1));
    }

    /// The clean sample that the model's output stands for, clipped if the configuration says so: a preview of the
    /// result. To be called before the step. Throws Error as step() does.
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> predict_clean(const Tensor<T, B>& model_output, double timestep,
                                             const Tensor<T, B>& sample) const {
        return blend_step(sample, model_output, clean_at(enter(model_output, timestep, sample)), clip_, {.clean = 1},
                          Tensor<T, B>{});
    }

protected:
    /// `name` starts messages; for `stages` and `ordered` see CallPosition. A step's last model call may be missing
    /// from the last step, which leads to no noise. Throws Error for a negative steps_offset and a clip_sample_range
    /// that is not above 0.
    template <class Config>
    SigmaSpace(std::string_view name, const Config& config, index_t stages = 1, bool ordered = false)
        : schedule_(config.schedule), table_(training_sigmas(schedule_)), spacing_(config.timestep_spacing),
          prediction_type_(config.prediction_type), name_(name), position_(stages, ordered) {
        require(config.steps_offset >= 0, name, ": steps_offset is ", config.steps_offset, "; expected 0 or more");
        if constexpr (requires { config.clip_sample; }) {
            require(!config.clip_sample || config.clip_sample_range > 0, name, ": clip_sample_range is ",
                    config.clip_sample_range, "; expected a number above 0");
            clip_ = config.clip_sample ? std::optional(config.clip_sample_range) : std::nullopt;
        }
    }

    /// Begins a run: sigmas of the steps, and timestep and sigma of every model call.
    void begin(std::vector<double> sigmas, std::vector<double> timesteps, std::vector<double> call_sigmas) {
        sigmas_ = std::move(sigmas);
        timesteps_ = std::move(timesteps);
        call_sigmas_ = std::move(call_sigmas);
        position_.reset();
    }

    /// Throws Error unless the run's sigmas descend, one more of them than timesteps, the last alone may be 0.
    void check_run(const SigmaRun& run) const {
        require(!run.timesteps.empty() && run.sigmas.size() == run.timesteps.size() + 1, name_, ": a run of ",
                run.timesteps.size(), " timesteps with ", run.sigmas.size(),
                " sigmas; expected one or more timesteps and "
                "one sigma more");
        for (std::size_t k = 0; k + 1 < run.sigmas.size(); ++k) {
            require(std::isfinite(run.sigmas[k]) && run.sigmas[k] > 0 && run.sigmas[k] >= run.sigmas[k + 1] &&
                        run.sigmas[k + 1] >= 0,
                    name_, ": sigmas ", run.sigmas[k], " and ", run.sigmas[k + 1], " of steps ", k, " and ", k + 1,
                    "; expected finite descending numbers above 0, the last alone may be 0");
        }
    }

    /// The same with one model call per step.
    void begin(SigmaRun run) {
        check_run(run);
        std::vector<double> call_sigmas(run.sigmas.begin(), run.sigmas.end() - 1);
        begin(std::move(run.sigmas), std::move(run.timesteps), std::move(call_sigmas));
    }

    /// Index of the model call that a step is for. Throws Error when the shapes differ and as CallPosition::find().
    template <Real T, Backend B>
    [[nodiscard]] index_t enter(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample) const {
        detail::check_step(name_, model_output, sample);
        return find(timestep);
    }
    void leave(index_t call) { position_.done(call); }

    /// The sigma of step k, up to and including the number of steps.
    [[nodiscard]] double sigma(index_t k) const { return sigmas_[static_cast<std::size_t>(k)]; }
    [[nodiscard]] double call_sigma(index_t call) const { return call_sigmas_[static_cast<std::size_t>(call)]; }
    /// The clean sample of a model call.
    [[nodiscard]] Mixture clean_at(index_t call) const {
        return sigma_clean_mixture(prediction_type_, call_sigma(call));
    }
    [[nodiscard]] const std::optional<double>& clip() const { return clip_; }
    [[nodiscard]] index_t find(double timestep) const { return position_.find(name_, timesteps_, timestep); }
    /// training_sigmas() of the schedule.
    [[nodiscard]] const std::vector<double>& table() const { return table_; }
    [[nodiscard]] std::string_view name() const { return name_; }

private:
    [[nodiscard]] double noise_sigma(double timestep) const {
        if (!timesteps_.empty()) { // anywhere in the run, whatever the next step is
            const auto found = std::find(timesteps_.begin(), timesteps_.end(), timestep);
            require(found != timesteps_.end(), name_, ": timestep ", timestep, " is not one of this run's ",
                    timesteps_.size(), " timesteps");
            return call_sigmas_[static_cast<std::size_t>(found - timesteps_.begin())];
        }
        require(timestep >= 0 && timestep <= static_cast<double>(table_.size() - 1), name_, ": timestep ", timestep,
                " is outside the training timesteps 0 to ", table_.size() - 1);
        return interpolate(table_, timestep);
    }

    NoiseSchedule schedule_;
    std::vector<double> table_;
    TimestepSpacing spacing_;
    PredictionType prediction_type_;
    std::optional<double> clip_;
    std::string_view name_;
    std::vector<double> sigmas_;
    std::vector<double> timesteps_;
    std::vector<double> call_sigmas_;
    CallPosition position_;
};

} // namespace reel
