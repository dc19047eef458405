#pragma once

#include <array>
#include <cmath>
#include <string_view>

#include <reel/core/named_values.hpp>
#include <reel/ops/elementwise.hpp>

namespace reel {

/// What a model was trained to give for a noisy sample x = s clean + n noise, with s^2 + n^2 = 1.
enum class PredictionType {
    epsilon,      ///< the noise (Ho et al. 2020, arXiv:2006.11239)
    v_prediction, ///< s noise - n clean (Salimans & Ho 2022, arXiv:2202.00512)
    sample        ///< the clean sample
};

inline constexpr std::array prediction_type_names{
    NamedValue{"epsilon", PredictionType::epsilon},
    NamedValue{"v_prediction", PredictionType::v_prediction},
    NamedValue{"sample", PredictionType::sample},
};

/// How much of a noisy sample is signal and how much is noise. Made from alpha_bar, the signal's share of the variance.
struct NoiseLevel {
    double signal; ///< sqrt(alpha_bar)
    double noise;  ///< sqrt(1 - alpha_bar)

    [[nodiscard]] static NoiseLevel from_alpha_bar(double alpha_bar) {
        return {std::sqrt(alpha_bar), std::sqrt(1 - alpha_bar)};
    }
    [[nodiscard]] double alpha_bar() const { return signal * signal; }
};

/// A value that is linear in the noisy sample and the model's output: sample * x + output * model_output.
struct Mixture {
    double sample;
    double output;
};

/// The clean sample that a model's output stands for at a noise level. Throws Error for epsilon at zero signal, where
/// the noise says nothing about the sample.
[[nodiscard]] inline Mixture clean_mixture(PredictionType type, NoiseLevel level) {
    switch (type) {
    case PredictionType::epsilon:
        require(level.signal > 0, "prediction type epsilon: at a noise level without signal (zero terminal SNR) the "
                                  "predicted noise does not determine the sample; such a model must predict "
                                  "v_prediction or sample");
        return {1 / level.signal, -level.noise / level.signal};
    case PredictionType::v_prediction:
        return {level.signal, -level.noise};
    case PredictionType::sample:
        return {0, 1};
    }
    fail("PredictionType: no such value: ", static_cast<int>(type));
}

/// The noise that a model's output stands for at a noise level. Throws Error for sample at a level without noise.
[[nodiscard]] inline Mixture noise_mixture(PredictionType type, NoiseLevel level) {
    switch (type) {
    case PredictionType::epsilon:
        return {0, 1};
    case PredictionType::v_prediction:
        return {level.noise, level.signal};
    case PredictionType::sample:
        require(level.noise > 0, "prediction type sample: at a level without noise the noise cannot be told from the "
                                 "predicted sample");
        return {1 / level.noise, -level.signal / level.noise};
    }
    fail("PredictionType: no such value: ", static_cast<int>(type));
}

/// The velocity s noise - n clean that a model's output stands for at a noise level.
[[nodiscard]] inline Mixture velocity_mixture(PredictionType type, NoiseLevel level) {
    const Mixture clean = clean_mixture(type, level);
    const Mixture noise = noise_mixture(type, level);
    return {level.signal * noise.sample - level.noise * clean.sample,
            level.signal * noise.output - level.noise * clean.output};
}

/// Evaluates a mixture; shapes must be equal.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> mix(Mixture mixture, const Tensor<T, B>& sample, const Tensor<T, B>& model_output) {
    return axpby(static_cast<T>(mixture.sample), sample, static_cast<T>(mixture.output), model_output);
}

} // namespace reel
