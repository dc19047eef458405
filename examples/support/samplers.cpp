#include "samplers.hpp"

#include <reel/schedulers/scheduler_registry.hpp>

namespace editing {

namespace {

/// Throws Error unless the configuration in `file` is of a model with this noise schedule. Zero-terminal-SNR rescaling
/// may differ: it is tried on models that were trained without.
void check_noise_schedule(const Sampler& sampler, const reel::DDIMConfig& model, const std::string& file) {
    const nlohmann::json found = reel::scheduler_to_config(sampler);
    const nlohmann::json expected = reel::scheduler_to_config(reel::DDIMScheduler(model));
    for (const char* key : {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"}) {
        reel::require(found.at(key) == expected.at(key), file, ": \"", key, "\" is ",
                      found.at(key).dump().substr(0, 80), ", but the model was trained with ",
                      expected.at(key).dump().substr(0, 80), "; give the configuration that belongs to the model");
    }
}

} // namespace

Sampler named_sampler(const SamplerRequest& request) {
    if (request.name.empty() && request.config_file.empty()) {
        reel::DDIMScheduler scheduler(request.model);
        scheduler.options.eta = request.eta;
        return {"DDIMScheduler", std::move(scheduler)};
    }
    std::filesystem::path file = request.folder / "scheduler";
    if (!request.config_file.empty()) {
        file = request.config_file;
    }
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored)) {
        file /= "scheduler_config.json";
    }
    const nlohmann::json config = reel::read_scheduler_json(file);
    reel::require(!config.is_object() || config.value("_class_name", nlohmann::json()) != "EDMEulerScheduler",
                  file.string(), ": an EDMEulerScheduler is for models with EDM's preconditioning, and ",
                  request.folder.string(), " is a Stable Diffusion");
    Sampler sampler = reel::make_scheduler<float>(request.name, reel::stable_diffusion_fixes(config), file.string());
    const auto wanted = sampler.prediction_type();
    reel::require(!wanted || *wanted == request.model.prediction_type, file.string(), ": ", sampler.name(),
                  " expects a model of prediction type ", wanted ? name_in(reel::prediction_type_names, *wanted) : "",
                  ", but ", request.folder.string(), " is of type ",
                  name_in(reel::prediction_type_names, request.model.prediction_type),
                  "; give the configuration that belongs to the model");
    check_noise_schedule(sampler, request.model, file.string());
    sampler.set_eta(request.eta);
    return sampler;
}

std::string sampler_json(const Sampler& sampler) {
    try {
        return reel::scheduler_to_config(sampler).dump();
    } catch (const reel::Error&) { // not one of reel's
        return nlohmann::json{{"_class_name", sampler.name()}}.dump();
    }
}

} // namespace editing
