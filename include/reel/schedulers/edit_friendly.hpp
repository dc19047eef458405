#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/any_scheduler.hpp>
#include <reel/schedulers/scheduler.hpp>

namespace reel {

/// What edit_friendly_inversion() found: the noise of every step that leads a sampler of type S to the source.
template <class S, Real T = float, Backend B = Cpu>
struct EditFriendlyTrace {
    std::vector<S> schedulers;         ///< before every step: what a sampler of several steps remembers is in it
    index_t steps = 0;                 ///< what set_timesteps() was given
    std::vector<Tensor<T, B>> samples; ///< before every step
    std::vector<Tensor<T, B>> noise;   ///< of every step; zeros for a last step that adds none
    Tensor<T, B> rest;                 ///< what the last step lacks to the source
};

namespace detail {

template <class S>
[[nodiscard]] std::string scheduler_text(const S& scheduler) {
    if constexpr (requires {
                      { scheduler.name() } -> std::convertible_to<std::string>;
                  }) {
        return scheduler.name();
    } else {
        return "the sampler";
    }
}

/// How much of its noise every step of a run adds. Steps are linear in it, so that steps of zeros with noise 1 tell,
/// one after the other, because a step may depend on those before.
template <Real T, Backend B, class S>
[[nodiscard]] std::vector<double> noise_weights(S scheduler, index_t steps, B& backend) {
    scheduler.set_timesteps(steps);
    const std::vector<timestep_t<S>> timesteps(scheduler.timesteps().begin(), scheduler.timesteps().end());
    for (std::size_t i = 1; i < timesteps.size(); ++i) {
        require(timesteps[i] < timesteps[i - 1], "edit-friendly inversion: ", scheduler_text(scheduler),
                " asks the model twice at timestep ", timesteps[i], "; use a sampler with one model call per step");
    }
    std::vector<double> weights;
    const auto zero = Tensor<T, B>::zeros(backend, {1});
    const auto one = [&](const Shape& shape) { return Tensor<T, B>::full(backend, shape, T(1)); };
    for (const auto timestep : timesteps) {
        weights.push_back(static_cast<double>(Tensor<T, B>(scheduler.step(zero, timestep, zero, one)).to_host()[0]));
        require(weights.size() == timesteps.size() || weights.back() > 0,
                "edit-friendly inversion: ", scheduler_text(scheduler), " draws no noise at timestep ", timestep,
                "; use one that does (DDPM, DDIM with eta above 0, an ancestral sampler, sde-dpmsolver++)");
    }
    return weights;
}

/// The same on a Cpu of its own, because that of a rehearsal computes nothing.
template <Real T, class S>
[[nodiscard]] std::vector<double> noise_weights(S scheduler, index_t steps, Cpu& /*backend*/) {
    Cpu ordinary(1);
    return noise_weights<T, Cpu, S>(std::move(scheduler), steps, ordinary);
}

} // namespace detail

/// Throws Error, with what to do, unless edit-friendly inversion can be made with the sampler: before the work.
template <Real T, Backend B, class S>
void check_edit_friendly(const S& scheduler, index_t steps, B& backend) {
    static_cast<void>(detail::noise_weights<T>(scheduler, steps, backend));
}

/// The second half of edit_friendly_inversion(), for `samples` that are there: those of the sampler's levels, the
/// noisiest first. With the outputs that were kept of an inversion as `model` it is that inversion again.
template <class S, Real T, Backend B, class Model>
[[nodiscard]] EditFriendlyTrace<S, T, B> edit_friendly_trace(S scheduler, index_t steps,
                                                             std::vector<Tensor<T, B>> samples,
                                                             const Tensor<T, B>& source, const Model& model) {
    static_assert(check_scheduler<S, T, B>());
    scheduler.set_timesteps(steps);
    const std::vector<timestep_t<S>> timesteps(scheduler.timesteps().begin(), scheduler.timesteps().end());
    require(samples.size() == timesteps.size(), "edit-friendly inversion: ", samples.size(), " samples for the ",
            timesteps.size(), " levels of ", detail::scheduler_text(scheduler));
    B& backend = source.backend();
    const std::vector<double> weights = detail::noise_weights<T>(scheduler, steps, backend);
    EditFriendlyTrace<S, T, B> trace{{}, steps, std::move(samples), {}, {}};
    for (std::size_t i = 0; i < timesteps.size(); ++i) {
        const auto timestep = timesteps[i];
        const double weight = weights[i];
        const bool last = i + 1 == timesteps.size();
        const Tensor<T, B>& sample = trace.samples[i];
        const Tensor<T, B> output = model(scheduler.scale_model_input(sample, timestep), static_cast<double>(timestep));
        trace.schedulers.push_back(scheduler);
        S quiet = scheduler;
        const auto silence = [&](const Shape& shape) { return Tensor<T, B>::zeros(backend, shape); };
        const Tensor<T, B> mean = quiet.step(output, timestep, sample, silence);
        const Tensor<T, B> target = last ? source : trace.samples[i + 1];
        trace.noise.push_back(weight > 0 ? axpby(static_cast<T>(1 / weight), target, static_cast<T>(-1 / weight), mean)
                                         : Tensor<T, B>::zeros(backend, source.shape()));
        // What the sampler itself makes of that noise, so that rounding does not add up.
        const auto found = [&](const Shape&) { return trace.noise.back(); };
        const Tensor<T, B> reached = scheduler.step(output, timestep, sample, found);
        if (last) {
            trace.rest = axpby(T(1), source, T(-1), reached);
        } else {
            trace.samples[i + 1] = reached;
        }
    }
    return trace;
}

/// Edit-friendly DDPM inversion (Huberman-Spiegelglas et al. 2023, arXiv:2304.06140, algorithm 1). The samples x_t of
/// all levels are the source with independent noise each, unlike those of a run; the noise z_t of every step follows
/// from its two ends,
///
///     z_t = (x_p - step(x_t with no noise)) / (the step's weight of noise),
///
/// and leads the sampler to exactly the source, given the same outputs. With the outputs for another prompt it keeps
/// the source's structure, which is in the z_t. What a last step without noise lacks is kept too (`rest`).
///
/// `model(input, timestep)` gives the outputs for the source's own prompt; `noise` is a source of the independent
/// noise. For every Scheduler with one model call per step whose steps draw noise: DDPM, DDIM with eta > 0, the
/// ancestral ones, sde-dpmsolver++. Throws Error when steps draw none, and when timesteps repeat.
template <class S, Real T, Backend B, class Model, class Noise>
[[nodiscard]] EditFriendlyTrace<S, T, B> edit_friendly_inversion(S scheduler, index_t steps, const Tensor<T, B>& source,
                                                                 const Model& model, Noise&& noise) {
    static_assert(check_scheduler<S, T, B>());
    static_cast<void>(detail::noise_weights<T>(scheduler, steps, source.backend()));
    scheduler.set_timesteps(steps);
    std::vector<Tensor<T, B>> samples;
    for (const timestep_t<S> timestep : scheduler.timesteps()) {
        const Tensor<T, B> independent = noise(source.shape());
        samples.push_back(scheduler.add_noise(source, independent, std::span<const timestep_t<S>>(&timestep, 1)));
    }
    return edit_friendly_trace(std::move(scheduler), steps, std::move(samples), source, model);
}

/// The sampler that goes with an edit-friendly inversion: S with the noise of the trace. A Scheduler.
///
///     auto trace = reel::edit_friendly_inversion(sampler, 50, latents, model_of_the_source_prompt, noise);
///     reel::EditFriendlySampler edit(trace, 18); // begin 18 steps down: closer to the source
///     edit.set_timesteps(50);
///     auto x = edit.start();
///     for (const auto t : edit.timesteps()) {
///         x = edit.step(model_of_the_edited_prompt(edit.scale_model_input(x, t), t), t, x);
///     }
template <class S, Real T = float, Backend B = Cpu>
class EditFriendlySampler {
public:
    /// `skip` steps are left out, those of the noisiest levels. Throws Error unless at least one is left.
    explicit EditFriendlySampler(EditFriendlyTrace<S, T, B> trace, index_t skip = 0)
        : trace_(std::move(trace)), skip_(static_cast<std::size_t>(skip)), scheduler_(trace_.schedulers.at(0)) {
        require(skip >= 0 && skip < static_cast<index_t>(trace_.noise.size()), "EditFriendlySampler: ", skip,
                " steps to skip of ", trace_.noise.size(), "; expected 0 to ", trace_.noise.size() - 1);
        set_timesteps(trace_.steps);
    }

    /// Samples with a scheduler of one's own. Fails to compile unless the trace was made for its type, and throws Error
    /// unless it was made for one of the same configuration.
    template <class Other>
    EditFriendlySampler(S scheduler, EditFriendlyTrace<Other, T, B> trace, index_t skip = 0)
        : EditFriendlySampler(paired(scheduler, std::move(trace)), skip) {}

    /// Throws Error unless `count` is that of the inversion.
    void set_timesteps(index_t count) {
        require(count == trace_.steps, "EditFriendlySampler: ", count, " steps asked for, but the inversion had ",
                trace_.steps);
        scheduler_ = trace_.schedulers[skip_];
        timesteps_.assign(scheduler_.timesteps().begin(), scheduler_.timesteps().end());
        timesteps_.erase(timesteps_.begin(), timesteps_.begin() + static_cast<index_t>(skip_));
        next_ = 0;
        begun_ = false;
    }
    [[nodiscard]] const std::vector<timestep_t<S>>& timesteps() const { return timesteps_; }
    [[nodiscard]] double init_noise_sigma() const { return scheduler_.init_noise_sigma(); }

    /// The sample to begin with.
    [[nodiscard]] const Tensor<T, B>& start() const { return trace_.samples[skip_]; }

    [[nodiscard]] Tensor<T, B> scale_model_input(const Tensor<T, B>& sample, timestep_t<S> timestep) {
        begin(timestep);
        return scheduler_.scale_model_input(sample, timestep);
    }

    /// The scheduler's step with the trace's noise; none is taken from the caller. A run may begin with any of its
    /// steps, as if those before were skipped. Throws Error for a timestep that is not the next one.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, timestep_t<S> timestep,
                                    const Tensor<T, B>& sample, Noise&& /*noise*/ = {}) {
        begin(timestep);
        require(next_ < timesteps_.size() && timesteps_[next_] == timestep, "EditFriendlySampler: timestep ", timestep,
                " is not the next one of the run; call set_timesteps() to begin anew");
        const auto stored = [&](const Shape&) { return trace_.noise[skip_ + next_]; };
        Tensor<T, B> result = scheduler_.step(model_output, timestep, sample, stored);
        begun_ = true;
        ++next_;
        return next_ < timesteps_.size() ? result : axpby(T(1), result, T(1), trace_.rest);
    }

    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                         std::span<const timestep_t<S>> timesteps) const {
        return scheduler_.add_noise(clean, noise, timesteps);
    }

private:
    /// Puts a run that has not begun where the timestep is, with what the sampler remembers there.
    void begin(timestep_t<S> timestep) {
        const auto found = std::find(timesteps_.begin(), timesteps_.end(), timestep);
        if (!begun_ && found != timesteps_.end()) {
            next_ = static_cast<std::size_t>(found - timesteps_.begin());
            scheduler_ = trace_.schedulers[skip_ + next_];
        }
    }

    template <class Other>
    [[nodiscard]] static EditFriendlyTrace<S, T, B> paired(const S& scheduler, EditFriendlyTrace<Other, T, B> trace) {
        static_assert(std::same_as<Other, S>, "reel: this inversion's result does not suit this sampler: an "
                                              "EditFriendlyTrace is for the scheduler type that it was made with");
        if constexpr (std::same_as<S, AnyScheduler<T, B>>) {
            require(trace.schedulers.at(0).name() == scheduler.name(),
                    "EditFriendlySampler: the inversion was made for ", trace.schedulers.at(0).name(),
                    ", and its noise does not suit ", scheduler.name());
            require(trace.schedulers.at(0).same_configuration(scheduler),
                    "EditFriendlySampler: the inversion was made for a ", scheduler.name(),
                    " of another configuration");
        } else if constexpr (requires {
                                 { scheduler.config() == scheduler.config() } -> std::convertible_to<bool>;
                             }) {
            require(trace.schedulers.at(0).config() == scheduler.config(),
                    "EditFriendlySampler: the inversion was made for a sampler of another configuration");
        }
        return trace;
    }

    EditFriendlyTrace<S, T, B> trace_;
    std::size_t skip_;
    S scheduler_;
    std::vector<timestep_t<S>> timesteps_;
    std::size_t next_ = 0;
    bool begun_ = false;
};

template <class S, class T, class B>
inline constexpr bool inverts<EditFriendlyTrace<S, T, B>, S> = true;

} // namespace reel
