#pragma once // Needs reel::text and reel::io.
// The sampler of a run, chosen by name when the program is started. Light: link reel::pipelines for its functions.

#include <array>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include <reel/pipelines/any_pipeline.hpp>

namespace reel {

/// Which timesteps a run visits: those that the configuration says, or of one's own choice (TimestepSpacing).
enum class SamplerSpacing { own, leading, trailing, linspace };

inline constexpr std::array sampler_spacing_names{
    NamedValue{"own", SamplerSpacing::own}, NamedValue{"leading", SamplerSpacing::leading},
    NamedValue{"trailing", SamplerSpacing::trailing}, NamedValue{"linspace", SamplerSpacing::linspace}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(SamplerSpacing) {
    return sampler_spacing_names;
}

/// What there is to choose a sampler by.
struct SamplerRequest {
    std::string scheduler;        ///< diffusers' class name or a short one; empty: DDIM, or what the file says
    std::string scheduler_config; ///< scheduler_config.json or a folder with one; empty: the model's
    SamplerSpacing timestep_spacing = SamplerSpacing::own;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"scheduler", "the sampler, by diffusers' class name or a short one [DDIMScheduler]"},
              self.scheduler);
        visit(Option{"scheduler_config", "scheduler_config.json, or a folder with one [the model's]"},
              self.scheduler_config);
        visit(Option{"timestep_spacing", "which timesteps are visited: leading, trailing or linspace; own: as the "
                                         "configuration says"},
              self.timestep_spacing);
    }
};

/// The sampler that is asked for by name and configuration, any that reel has. Throws Error for one that wants another
/// prediction type or noise schedule than the model's, where a spacing is asked for that the sampler has no choice of,
/// and whatever make_scheduler() refuses.
[[nodiscard]] Sampler named_sampler(const SamplerRequest& request, const PipelineFacts& model, double eta);

/// DDIM with the model's schedule, as the reference samples.
[[nodiscard]] inline Sampler ddim_sampler(const PipelineFacts& model, double eta = 0) {
    DDIMScheduler scheduler(model.sampling);
    scheduler.options.eta = eta;
    return {"DDIMScheduler", std::move(scheduler)};
}

/// The sampler's configuration as diffusers writes scheduler_config.json; of one that is not reel's, its name alone.
[[nodiscard]] nlohmann::json sampler_json(const Sampler& sampler);

/// The sampler for an edit, found out before the work whether it can do what is asked for: with start `inversion` it
/// stops at the levels that its inversion visits, a mask wants a level after every call at which the clip is known, and
/// the noise schedule must have room for the steps. Messages name `--start`, `--mask` and the like. Returned after
/// set_timesteps().
[[nodiscard]] Sampler sampler_for_edit(Sampler sampler, SamplingOptions sampling, const EditOptions& edit);

/// Throws Error, naming the option, where the noise schedule has no room for the steps asked for.
void check_steps(Sampler sampler, const SamplingOptions& sampling);

} // namespace reel
