#pragma once
// A sampler of one's own, for insert_object.

#include <reel/schedulers/ddim.hpp>

/// Takes the predicted clean sample, and noises it again to the next level with the predicted noise.
struct Renoise : reel::VariancePreserving {
    explicit Renoise(const reel::DDIMConfig& model) : VariancePreserving(model.schedule), type(model.prediction_type) {}
    reel::PredictionType type;
    std::vector<reel::index_t> steps;
    void set_timesteps(reel::index_t n) {
        steps = reel::spaced_timesteps(reel::TimestepSpacing::trailing, schedule().size(), n, 0);
    }
    const std::vector<reel::index_t>& timesteps() const { return steps; }
    template <class X, class Noise>
    X step(const X& output, reel::index_t t, const X& x, Noise&& /*noise*/) const {
        const X clean = mix(clean_mixture(type, schedule().level(t)), x, output);
        const X noise = mix(noise_mixture(type, schedule().level(t)), x, output);
        return t == steps.back() ? clean : add_noise(clean, noise, *std::next(std::ranges::find(steps, t)));
    }
};
