#pragma once

namespace docs::schedulers_md {

inline void check() {
    reel::PipelineFacts facts;
    facts.sampling.schedule = reel::stable_diffusion_schedule();
    auto sampler = sampler_of({}, facts);
    CHECK(sampler.name() == "TenLines");
    sampler.set_timesteps(3);
    CHECK(sampler.timesteps().size() == 3);
}

} // namespace docs::schedulers_md
