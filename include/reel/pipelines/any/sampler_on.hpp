#pragma once // Needs reel::text and reel::io.
// A sampler on the backend where its tensors are.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

namespace reel {

/// A sampler of the CPU for tensors that lie elsewhere: what it works on is copied there and back, at every step.
template <Backend B>
class CopyingSampler {
public:
    /// Both backends must outlive it.
    CopyingSampler(B& backend, Cpu& cpu, Sampler sampler)
        : backend_(&backend), cpu_(&cpu), sampler_(std::move(sampler)) {}

    void set_timesteps(index_t count) { sampler_.set_timesteps(count); }
    [[nodiscard]] const std::vector<double>& timesteps() const { return sampler_.timesteps(); }
    [[nodiscard]] double init_noise_sigma() const { return sampler_.init_noise_sigma(); }
    [[nodiscard]] Tensor<float, B> scale_model_input(const Tensor<float, B>& sample, double timestep) {
        return there(sampler_.scale_model_input(here(sample), timestep));
    }
    template <class Noise>
    [[nodiscard]] Tensor<float, B> step(const Tensor<float, B>& output, double timestep, const Tensor<float, B>& sample,
                                        Noise&& noise) {
        return there(sampler_.step(here(output), timestep, here(sample), [&](const Shape& shape) {
            if constexpr (requires { noise(shape); }) {
                return here(noise(shape));
            } else {
                return here(noise);
            }
        }));
    }
    [[nodiscard]] Tensor<float, B> add_noise(const Tensor<float, B>& clean, const Tensor<float, B>& noise,
                                             std::span<const double> timesteps) const {
        return there(sampler_.add_noise(here(clean), here(noise), timesteps));
    }

private:
    [[nodiscard]] Tensor<float, Cpu> here(const Tensor<float, B>& x) const {
        const std::vector<float> values = x.to_host();
        return Tensor<float, Cpu>::from_host(*cpu_, x.shape(), std::span<const float>(values));
    }
    [[nodiscard]] Tensor<float, B> there(const Tensor<float, Cpu>& x) const {
        const std::vector<float> values = x.to_host();
        return Tensor<float, B>::from_host(*backend_, x.shape(), std::span<const float>(values));
    }

    B* backend_;
    Cpu* cpu_;
    Sampler sampler_;
};

/// The same sampler for tensors on B: itself on Cpu; elsewhere one of reel's made anew from its configuration, and one
/// of one's own as a CopyingSampler.
template <Backend B>
[[nodiscard]] AnyScheduler<float, B> sampler_on(B& backend, const PipelineHost& host, const Sampler& sampler) {
    if constexpr (std::same_as<B, Cpu>) {
        return sampler;
    } else {
        const nlohmann::json config = host.describe(sampler);
        if (config.size() > 1) { // of one that reel does not know there is the name alone
            AnyScheduler<float, B> made = make_scheduler<float, B>(sampler.name(), config, sampler.name());
            made.set_eta(sampler.eta());
            return made;
        }
        return {sampler.name(), CopyingSampler<B>(backend, host.cpu, sampler)};
    }
}

} // namespace reel
