#pragma once
// Inversions from scheduler_config.json. Needs nlohmann-json (target reel::io).

#include <string>

#include <reel/schedulers/config/multistep_config.hpp>
#include <reel/schedulers/ddim_inverse.hpp>
#include <reel/schedulers/dpm_solver_multistep_inverse.hpp>

namespace reel {

namespace detail {

template <class I>
struct InversionFile;

template <>
struct InversionFile<DDIMInverseScheduler> {
    using Sampler = DDIMScheduler;
    static constexpr const char* choices = "{}";
};

template <class T, class B>
struct InversionFile<DPMSolverMultistepInverseScheduler<T, B>> {
    using Sampler = DPMSolverMultistepScheduler<T, B>;
    static constexpr const char* choices = R"({"final_sigmas_type": "sigma_min"})"; // has no meaning on the way up
};

} // namespace detail

/// An inversion from a configuration: its own class's, its sampler's, or that of another class for the same kind of
/// model. See scheduler_from_config().
template <class I>
[[nodiscard]] I inversion_from_config(nlohmann::json config, const std::string& where) {
    using File = detail::InversionFile<I>;
    require(config.is_object(), where, ": expected a JSON object");
    config.update(nlohmann::json::parse(File::choices));
    return I(scheduler_from_config<typename File::Sampler>(config, where).config());
}

} // namespace reel
