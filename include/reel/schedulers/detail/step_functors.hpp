#pragma once

#include <optional>

#include <reel/schedulers/schedule/prediction.hpp>

namespace reel {

namespace functors {

/// z = sample_weight x + output_weight o + noise_weight e; e may be null.
template <class T>
struct BlendStep {
    T sample_weight;
    const T* x;
    T output_weight;
    const T* o;
    T noise_weight;
    const T* e;
    T* z;
    constexpr void operator()(index_t i) const {
        const T value = sample_weight * x[i] + output_weight * o[i];
        z[i] = e == nullptr ? value : value + noise_weight * e[i];
    }
};

/// z = clean_weight clamp(clean_x x + clean_o o) + (what `rest` gives)
template <class T>
struct ClampedBlendStep {
    T clean_x;
    T clean_o;
    T limit;
    T clean_weight;
    BlendStep<T> rest;
    constexpr void operator()(index_t i) const {
        const T clean = clean_x * rest.x[i] + clean_o * rest.o[i];
        const T clamped = clean < -limit ? -limit : (clean > limit ? limit : clean);
        rest(i);
        rest.z[i] += clean_weight * clamped;
    }
};

} // namespace functors

/// What a one-step method computes: clean * predicted clean sample + sample * x + output * model_output + noise * e.
struct StepWeights {
    double clean = 0;
    double sample = 0;
    double output = 0;
    double noise = 0;
};

/// One step of a one-step method in one pass. `clean` says how the clean sample follows from x and the model's output;
/// with `clip`, it is clamped to [-clip, clip] first. `noise` may be undefined when its weight is 0. The weights are
/// combined in double, so that unclipped steps need two products per element and no cancellation happens in T.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> blend_step(const Tensor<T, B>& sample, const Tensor<T, B>& model_output, Mixture clean,
                                      std::optional<double> clip, StepWeights weights, const Tensor<T, B>& noise) {
    Tensor<T, B> result(sample.backend(), sample.shape());
    functors::BlendStep<T> step{static_cast<T>(weights.sample),
                                sample.data(),
                                static_cast<T>(weights.output),
                                model_output.data(),
                                static_cast<T>(weights.noise),
                                noise.defined() ? noise.data() : nullptr,
                                result.data()};
    if (clip) {
        sample.backend().for_each_index(
            sample.size(), functors::ClampedBlendStep<T>{static_cast<T>(clean.sample), static_cast<T>(clean.output),
                                                         static_cast<T>(*clip), static_cast<T>(weights.clean), step});
    } else {
        step.sample_weight = static_cast<T>(weights.sample + weights.clean * clean.sample);
        step.output_weight = static_cast<T>(weights.output + weights.clean * clean.output);
        sample.backend().for_each_index(sample.size(), step);
    }
    return result;
}

} // namespace reel
