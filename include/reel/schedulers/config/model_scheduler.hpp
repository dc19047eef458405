#pragma once
// The scheduler that comes with a model, also where reel has not its class. Needs nlohmann-json (target reel::io).

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include <reel/core/error.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/schedulers/config/scheduler_json.hpp>

namespace reel {

/// A model's scheduler_config.json as reel's schedulers read it.
struct ModelSchedulerConfig {
    nlohmann::json config;
    std::string file; ///< where it was read, for messages
    std::string note; ///< a line for the user where a class that reel lacks was replaced, else empty
};

namespace detail {

/// The keys of diffusers' DDIMScheduler, which its from_config() takes from any other class's configuration.
inline constexpr std::array<std::string_view, 15> ddim_keys{
    "num_train_timesteps", "beta_start",       "beta_end",
    "beta_schedule",       "trained_betas",    "clip_sample",
    "clip_sample_range",   "set_alpha_to_one", "steps_offset",
    "thresholding",        "prediction_type",  "dynamic_thresholding_ratio",
    "sample_max_value",    "timestep_spacing", "rescale_betas_zero_snr"};

/// Whether scheduler_from_config() or make_scheduler() says better what is to be said of this class.
[[nodiscard]] inline bool keeps_scheduler_class(const nlohmann::json& config) {
    const auto entry = config.find("_class_name");
    if (entry == config.end() || !entry->is_string()) {
        return true;
    }
    const auto& name = entry->get_ref<const std::string&>();
    const bool known = std::find(scheduler_classes.begin(), scheduler_classes.end(), name) != scheduler_classes.end();
    const bool flow = name.find("Flow") != std::string::npos; // another kind of model
    return (known && name != "DPMSolverSDEScheduler") || name == "EDMEulerScheduler" || flow ||
           !name.ends_with("Scheduler");
}

} // namespace detail

/// Reads `folder`/scheduler_config.json, a model's scheduler/. Of a class that reel lacks DDIMScheduler takes the
/// place, with those values that it has keys for, as diffusers' DDIMScheduler.from_config() does it; `note` says so.
/// Classes for flow matching stay as they are, to be refused by name. Throws Error for a file that is missing or no
/// JSON object.
[[nodiscard]] inline ModelSchedulerConfig read_model_scheduler(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "scheduler_config.json";
    ModelSchedulerConfig result{read_scheduler_json(path), path.string(), ""};
    require(result.config.is_object(), result.file, ": expected a JSON object");
    if (detail::keeps_scheduler_class(result.config)) {
        return result;
    }
    const auto name = result.config["_class_name"].get<std::string>();
    nlohmann::json known = {{"_class_name", "DDIMScheduler"}};
    for (const std::string_view key : detail::ddim_keys) {
        if (const auto entry = result.config.find(key); entry != result.config.end()) {
            known[std::string(key)] = *entry;
        }
    }
    result.note = concat_text(result.file, ": reel has no ", name.substr(0, 80),
                              "; a DDIMScheduler of the same noise schedule takes its place");
    result.config = std::move(known);
    return result;
}

} // namespace reel
