#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <reel/schedulers/ddim.hpp>

namespace reel {

/// How an inversion step reads the model's output.
enum class InversionFormula {
    exact,         ///< undoes the DDIM step with the same output: right for every prediction type
    reference,     ///< Tune-A-Video's: takes any output for epsilon; wrong for v_prediction and sample
    current_level, ///< diffusers' DDIMInverseScheduler: converts the output with the level of the sample it is given,
                   ///< though the model was asked at the next, and clips as the configuration says; unclipped, equal to
                   ///< exact for epsilon and sample
};

inline constexpr std::array inversion_formula_names{
    NamedValue{"exact", InversionFormula::exact},
    NamedValue{"reference", InversionFormula::reference},
    NamedValue{"current_level", InversionFormula::current_level},
};

/// DDIM inversion (Dhariwal & Nichol 2021, arXiv:2105.05233, appendix F; Mokady et al. 2022, arXiv:2211.09794): from a
/// clean sample to the noise that deterministic DDIM sampling turns back into it. A step takes the sample from the
/// level that the sampler's step at t leads to, up to t; the model is asked at t, the level above:
///
///     for (const auto t : inversion.timesteps()) {
///         x = inversion.invert_step(model(x, t), t, x);
///     }
///
/// With x_p the sample, s and n the signal and noise of a level, the sampler's step is x_p = s_p x0 + n_p e, where x0
/// and e follow from x_t and the output; solved for x_t:
///
///     epsilon   x_t = s_t / s_p (x_p - n_p out) + n_t out
///     sample    x_t = s_t out + n_t / n_p (x_p - s_p out)
///     v         x_t = (x_p + (s_p n_t - n_p s_t) out) / (s_p s_t + n_p n_t)
class DDIMInverseScheduler {
public:
    static constexpr std::string_view class_name = "DDIMInverseScheduler";

    /// Throws Error when the configuration clips and the formula is exact: clipping cannot be undone. (As in their
    /// originals, reference ignores clip_sample, and current_level clips.)
    explicit DDIMInverseScheduler(const DDIMConfig& config, InversionFormula formula = InversionFormula::exact)
        : sampler_(config), formula_(formula) {
        require(
            formula != InversionFormula::exact || !config.clip_sample,
            "DDIMInverseScheduler: clip_sample is true, and a clipped step cannot be inverted; set it to false (see "
            "stable_diffusion_fixes())");
    }

    [[nodiscard]] const DDIMConfig& config() const { return sampler_.config(); }
    [[nodiscard]] InversionFormula formula() const { return formula_; }

    /// Prepares `count` steps. Throws Error when the schedule has no room for them; see spaced_timesteps().
    void set_timesteps(index_t count) {
        sampler_.set_timesteps(count);
        timesteps_.assign(sampler_.timesteps().rbegin(), sampler_.timesteps().rend());
    }

    /// From the cleanest up; empty before set_timesteps().
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return timesteps_; }

    /// The sample at level `timestep`, from the one below. `model_output` is the model's for that sample at `timestep`.
    /// Throws Error for unequal shapes, a timestep out of range, and where a step has no inverse: prediction type
    /// sample from a level without noise (set_alpha_to_one).
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> invert_step(const Tensor<T, B>& model_output, index_t timestep,
                                           const Tensor<T, B>& sample) const {
        detail::check_step("DDIMInverseScheduler", model_output, sample);
        const NoiseLevel low = NoiseLevel::from_alpha_bar(sampler_.previous_alpha_bar(timestep));
        const NoiseLevel high = sampler_.schedule().level(timestep);
        if (formula_ == InversionFormula::current_level && config().clip_sample) {
            const Mixture noise = noise_mixture(config().prediction_type, low);
            const StepWeights blend{
                .clean = high.signal, .sample = high.noise * noise.sample, .output = high.noise * noise.output};
            return blend_step(sample, model_output, clean_mixture(config().prediction_type, low),
                              config().clip_sample_range, blend, Tensor<T, B>{});
        }
        return mix(weights(low, high), sample, model_output);
    }

    /// Throws Error unless the sampler takes the steps that this undoes. After set_timesteps() of both.
    void check_sampler(const DDIMScheduler& sampler) const {
        require(sampler.config() == config(), class_name,
                ": the sampler has another configuration than the inversion; make both from one");
        require(sampler.options.eta == 0, class_name, ": the sampler's eta is ", sampler.options.eta,
                ", so that it draws noise and does not return to the clip; set it to 0");
        require(!timesteps_.empty() && sampler.timesteps() == sampler_.timesteps(), class_name, ": the sampler takes ",
                sampler.timesteps().size(), " steps and the inversion ", timesteps_.size(),
                "; give both the same number");
    }

private:
    [[nodiscard]] Mixture weights(NoiseLevel low, NoiseLevel high) const {
        const PredictionType type =
            formula_ == InversionFormula::reference ? PredictionType::epsilon : config().prediction_type;
        if (type == PredictionType::v_prediction && formula_ == InversionFormula::exact) {
            const double cosine = low.signal * high.signal + low.noise * high.noise;
            return {1 / cosine, (low.signal * high.noise - low.noise * high.signal) / cosine};
        }
        const Mixture clean = clean_mixture(type, low);
        const Mixture noise = noise_mixture(type, low);
        return {high.signal * clean.sample + high.noise * noise.sample,
                high.signal * clean.output + high.noise * noise.output};
    }

    DDIMScheduler sampler_;
    InversionFormula formula_;
    std::vector<index_t> timesteps_;
};

template <>
inline constexpr bool inverts<DDIMInverseScheduler, DDIMScheduler> = true;

} // namespace reel
