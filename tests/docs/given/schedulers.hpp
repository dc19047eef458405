#pragma once
#include <reel/core/random.hpp>
#include <reel/pipelines/insert_options.hpp>
#include <reel/schedulers/config/inversion_config.hpp>
#include <reel/schedulers/config/multistep_config.hpp>
#include <reel/schedulers/config/sigma_config.hpp>
#include <reel/schedulers/ddim_inverse.hpp>
#include <reel/schedulers/edit_friendly.hpp>

#include "docs/here.hpp"

namespace docs::schedulers_md {

using reel::index_t;

inline reel::Cpu backend(1);
inline const fs::path model_folder = "stable-diffusion-v1-4";
inline const auto noise = reel::Tensor<float>::full(backend, {1, 4, 4, 4}, 0.5F);
inline const auto latents = reel::Tensor<float>::full(backend, {1, 4, 4, 4}, 0.25F);

struct Model {
    reel::Tensor<float> operator()(const reel::Tensor<float>& x, auto /*timestep*/) const {
        return reel::scale(x, 0.5F);
    }
};
inline constexpr Model model;
inline constexpr Model model_of_the_source_prompt;
inline constexpr Model model_of_the_edited_prompt;

struct NoiseSource {
    reel::Tensor<float> operator()() const { return noise; }
    template <class... A>
    reel::Tensor<float> operator()(const A&...) const {
        return noise;
    }
};
inline constexpr NoiseSource noise_source;

/// Stable Diffusion's schedule, in whatever a sampler is configured with.
struct Config {
    template <class C>
    requires requires(C c) { c.schedule = reel::stable_diffusion_schedule(); } && std::is_aggregate_v<C>
    operator C() const { return {.schedule = reel::stable_diffusion_schedule()}; }
};
inline constexpr Config config;

inline void prepare() {
    fs::copy(root / "tests/golden/sd1_tiny/scheduler/scheduler_config.json", "my_scheduler_config.json");
}

} // namespace docs::schedulers_md
