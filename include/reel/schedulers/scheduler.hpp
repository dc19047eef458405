#pragma once

#include <concepts>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

#include <reel/schedulers/schedule/noise_schedule.hpp>
#include <reel/tensor.hpp>

/// What a sampler must offer, as small concepts with names, so that an error says which one is missing.
///
///     scheduler.set_timesteps(50);
///     x = scale(noise, scheduler.init_noise_sigma());
///     for (const auto t : scheduler.timesteps()) {
///         const auto output = model(scheduler.scale_model_input(x, t), t);
///         x = scheduler.step(output, t, x, noise_source);
///     }
///
/// A scheduler does not depend on the element type or backend: what touches tensors is a template. Noise is always an
/// argument: a tensor, or a callable that gets a Shape and returns a tensor, which is called only when the step draws.
namespace reel {

/// The fourth argument of a step that draws no noise.
struct NoNoise {};

/// What a step takes its noise from: a tensor, or a source called with the shape.
template <class N, class T, class B>
concept NoiseFor =
    std::same_as<std::remove_cvref_t<N>, Tensor<T, B>> || std::is_invocable_r_v<Tensor<T, B>, N&, const Shape&>;

/// `set_timesteps(n)`: prepares a run of n steps and forgets the last one.
template <class S>
concept HasSetTimesteps = requires(S& scheduler) {
    scheduler.set_timesteps(index_t{});
};

/// `timesteps()`: a range of numbers, the timestep of every model call in order; what `step` takes.
template <class S>
concept HasTimesteps = requires(const S& scheduler) {
    { scheduler.timesteps() } -> std::ranges::forward_range;
    requires std::is_arithmetic_v<std::ranges::range_value_t<decltype(scheduler.timesteps())>>;
};

namespace detail {

template <class S>
struct TimestepOf {
    using type = index_t;
};
template <HasTimesteps S>
struct TimestepOf<S> {
    using type = std::ranges::range_value_t<decltype(std::declval<const S&>().timesteps())>;
};

/// Stands for a noise source in the concepts.
template <class T, class B>
struct NoiseSourceArchetype {
    Tensor<T, B> operator()(const Shape&) const;
};

} // namespace detail

/// The number type of a scheduler's timesteps.
template <class S>
using timestep_t = typename detail::TimestepOf<S>::type;

/// `init_noise_sigma()`: standard deviation of the noise that a run starts from.
template <class S>
concept HasInitNoiseSigma = requires(const S& scheduler) {
    { scheduler.init_noise_sigma() } -> std::convertible_to<double>;
};

/// `scale_model_input(sample, timestep)`: what the model is given for a sample.
template <class S, class T = float, class B = Cpu>
concept HasScaleModelInput = requires(S& scheduler, const Tensor<T, B>& sample, timestep_t<S> timestep) {
    { scheduler.scale_model_input(sample, timestep) } -> std::convertible_to<Tensor<T, B>>;
};

/// `step(model_output, timestep, sample, noise)`: the sample at the next timestep. `noise` is a source or a tensor.
template <class S, class T = float, class B = Cpu>
concept HasStep = requires(S& scheduler, const Tensor<T, B>& tensor, timestep_t<S> timestep,
                           detail::NoiseSourceArchetype<T, B> source) {
    { scheduler.step(tensor, timestep, tensor, source) } -> std::convertible_to<Tensor<T, B>>;
    { scheduler.step(tensor, timestep, tensor, tensor) } -> std::convertible_to<Tensor<T, B>>;
};

/// `add_noise(clean, noise, timesteps)`: clean samples brought to a noise level.
template <class S, class T = float, class B = Cpu>
concept HasAddNoise = requires(const S& scheduler, const Tensor<T, B>& tensor,
                               std::span<const timestep_t<S>> timesteps) {
    { scheduler.add_noise(tensor, tensor, timesteps) } -> std::convertible_to<Tensor<T, B>>;
};

/// `get_velocity(clean, noise, timesteps)`: what a v-prediction model is trained to give. Optional.
template <class S, class T = float, class B = Cpu>
concept HasGetVelocity = requires(const S& scheduler, const Tensor<T, B>& tensor,
                                  std::span<const timestep_t<S>> timesteps) {
    { scheduler.get_velocity(tensor, tensor, timesteps) } -> std::convertible_to<Tensor<T, B>>;
};

/// `invert_step(model_output, timestep, sample)`: the sample at a higher noise level. Optional.
template <class S, class T = float, class B = Cpu>
concept HasInvertStep = requires(S& scheduler, const Tensor<T, B>& tensor, timestep_t<S> timestep) {
    { scheduler.invert_step(tensor, timestep, tensor) } -> std::convertible_to<Tensor<T, B>>;
};

/// What sampling needs.
template <class S, class T = float, class B = Cpu>
concept Scheduler = HasSetTimesteps<S> && HasTimesteps<S> && HasInitNoiseSigma<S> && HasScaleModelInput<S, T, B> &&
    HasStep<S, T, B> && HasAddNoise<S, T, B>;

/// What training needs: noisy samples and both kinds of target.
template <class S, class T = float, class B = Cpu>
concept TrainingScheduler = HasAddNoise<S, T, B> && HasGetVelocity<S, T, B>;

/// What inversion needs.
template <class S, class T = float, class B = Cpu>
concept InverseScheduler = HasSetTimesteps<S> && HasTimesteps<S> && HasInvertStep<S, T, B>;

/// Fails to compile, with the missing requirement in the error's first line, unless S is a Scheduler. For templates
/// that take one: `static_assert(check_scheduler<S, T, B>());` at the top. Prefer it to a constrained parameter, whose
/// error starts with "no matching function".
template <class S, class T = float, class B = Cpu>
[[nodiscard]] consteval bool check_scheduler() {
    static_assert(HasSetTimesteps<S>,
                  "reel: not a Scheduler: HasSetTimesteps is not met: it needs set_timesteps(index_t count)");
    static_assert(HasTimesteps<S>, "reel: not a Scheduler: HasTimesteps is not met: it needs timesteps() const, a "
                                   "range of numbers such as const std::vector<index_t>&");
    static_assert(HasInitNoiseSigma<S>,
                  "reel: not a Scheduler: HasInitNoiseSigma is not met: it needs double init_noise_sigma() const");
    static_assert(HasScaleModelInput<S, T, B>, "reel: not a Scheduler: HasScaleModelInput is not met: it needs "
                                               "Tensor<T, B> scale_model_input(sample, timestep)");
    static_assert(HasStep<S, T, B>,
                  "reel: not a Scheduler: HasStep is not met: it needs Tensor<T, B> step(model_output, timestep, "
                  "sample, noise) where noise is a tensor or a callable that takes a Shape");
    static_assert(HasAddNoise<S, T, B>, "reel: not a Scheduler: HasAddNoise is not met: it needs Tensor<T, B> "
                                        "add_noise(clean, noise, std::span<const timestep>) const");
    return Scheduler<S, T, B>;
}

/// Whether samples from S may start where the inversion I ends. Specialise to true for a pair that belongs together.
template <class I, class S>
inline constexpr bool inverts = false;

/// Fails to compile, with both facts in the error's first line, unless the inversion's result suits the sampler.
template <class I, class S>
[[nodiscard]] consteval bool check_inversion_pair() {
    static_assert(inverts<I, S>, "reel: this inversion's result does not suit this sampler: reel::inverts<Inversion, "
                                 "Sampler> is false");
    return inverts<I, S>;
}

/// The same for two objects: fails to compile for a wrong pair of types, and throws Error, saying what differs, for
/// configurations that do not fit each other. An inversion says so in check_sampler(). After set_timesteps() of both.
template <class I, class S>
void require_inversion_pair(const I& inversion, const S& sampler) {
    static_assert(check_inversion_pair<I, S>());
    inversion.check_sampler(sampler);
}

/// The noise of a step, from a tensor or a source, for the step of a scheduler to call when it draws. Throws Error that
/// starts with the scheduler's name when the caller gave NoNoise, or noise that has not the sample's shape.
template <class T, class B, class Noise, class Timestep>
[[nodiscard]] Tensor<T, B> take_noise(std::string_view scheduler, Noise& noise, const Tensor<T, B>& sample,
                                      Timestep timestep) {
    if constexpr (std::same_as<std::remove_cvref_t<Noise>, NoNoise>) {
        fail(scheduler, ": the step at timestep ", timestep,
             " draws noise: pass a tensor or a noise source as the fourth argument of step()");
    } else {
        static_assert(NoiseFor<Noise, T, B>, "reel: the noise of a step is a tensor of the sample's type or a callable "
                                             "that takes a Shape and returns one");
        const Tensor<T, B> given = [&]() -> Tensor<T, B> {
            if constexpr (std::same_as<std::remove_cvref_t<Noise>, Tensor<T, B>>) {
                return noise;
            } else {
                return noise(sample.shape());
            }
        }();
        require(given.defined() && given.shape() == sample.shape(), scheduler, ": noise of shape ", given.shape(),
                given.defined() ? "" : " (undefined)", " for a sample of shape ", sample.shape());
        return given;
    }
}

namespace detail {

/// A step's tensors must have one shape.
template <class T, class B>
void check_step(std::string_view scheduler, const Tensor<T, B>& model_output, const Tensor<T, B>& sample) {
    require(model_output.defined() && sample.defined() && model_output.shape() == sample.shape(), scheduler,
            ": model output of shape ", model_output.shape(), " for a sample of shape ", sample.shape(),
            "; expected equal shapes");
}

} // namespace detail

} // namespace reel
