#pragma once
// The sampler of a run, chosen when it is built or when it is started. Light: a program that tries a sampler of its own
// includes this and compiles in seconds.

#include <filesystem>
#include <functional>
#include <string>

#include <reel/schedulers/any_scheduler.hpp>
#include <reel/schedulers/ddim.hpp>

namespace editing {

/// Whatever sampler a run has.
using Sampler = reel::AnyScheduler<float, reel::Cpu>;

/// What there is to choose a sampler by.
struct SamplerRequest {
    reel::DDIMConfig model;       ///< the model's noise schedule and prediction type
    std::filesystem::path folder; ///< the model's
    std::string name;             ///< asked for; empty: DDIM, or what the file says
    std::string config_file;      ///< scheduler_config.json or a folder with one; empty: the model's
    double eta = 0;
};

using ChooseSampler = std::function<Sampler(const SamplerRequest&)>;

/// The sampler that is asked for by name and configuration, any that reel has. Throws Error for one that wants another
/// prediction type than the model's, and whatever make_scheduler() refuses.
[[nodiscard]] Sampler named_sampler(const SamplerRequest& request);

/// The sampler's configuration as diffusers writes scheduler_config.json; of one that is not reel's, its name alone.
[[nodiscard]] std::string sampler_json(const Sampler& sampler);

} // namespace editing
