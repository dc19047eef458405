#pragma once

namespace docs::schedulers_md {

inline void check() {
    auto sampler = sampler_of(
        {.model = {.schedule = reel::stable_diffusion_schedule()}, .folder = {}, .name = {}, .config_file = {}});
    CHECK(sampler.name() == "TenLines");
    sampler.set_timesteps(3);
    CHECK(sampler.timesteps().size() == 3);
}

} // namespace docs::schedulers_md
