// Compiled by check_first_error.cmake, once complete and once without each part: the first error must name the part.
#include <reel/schedulers/ddim_inverse.hpp>
#include <reel/schedulers/ddpm.hpp>
#include <reel/schedulers/edit_friendly.hpp>

using namespace reel;

struct Sampler {
#ifndef WITHOUT_SET_TIMESTEPS
    void set_timesteps(index_t) {}
#endif
#ifndef WITHOUT_TIMESTEPS
    std::vector<index_t> timesteps() const { return {}; }
#endif
#ifndef WITHOUT_INIT_NOISE_SIGMA
    double init_noise_sigma() const { return 1; }
#endif
#ifndef WITHOUT_SCALE_MODEL_INPUT
    template <class X>
    X scale_model_input(const X& x, index_t) const {
        return x;
    }
#endif
#ifndef WITHOUT_STEP
    template <class X, class Noise>
    X step(const X&, index_t, const X& x, Noise&&) const {
        return x;
    }
#endif
#ifndef WITHOUT_ADD_NOISE
    template <class X>
    X add_noise(const X& x, const X&, std::span<const index_t>) const {
        return x;
    }
#endif
};

template <class S>
void sample(S& scheduler) {
    static_assert(check_scheduler<S>());
    scheduler.set_timesteps(10);
}

int main() {
    Sampler sampler;
    sample(sampler);
#ifdef WRONG_PAIR
    static_assert(check_inversion_pair<DDIMInverseScheduler, DDPMScheduler>());
#endif
#ifdef WRONG_EDIT_FRIENDLY_PAIR
    const EditFriendlyTrace<DDPMScheduler> trace{};
    EditFriendlySampler<DDIMScheduler> edit(DDIMScheduler(), trace);
#endif
#ifdef WRONG_PAIR_OF_OBJECTS
    require_inversion_pair(DDIMInverseScheduler(DDIMConfig{.clip_sample = false}), DDPMScheduler());
#endif
}
