#include "samplers.hpp"

#include <reel/schedulers/scheduler_registry.hpp>

namespace editing {

Sampler named_sampler(const SamplerRequest& request) {
    if (request.name.empty() && request.config_file.empty()) {
        reel::DDIMScheduler scheduler(request.model);
        scheduler.options.eta = request.eta;
        return {"DDIMScheduler", std::move(scheduler)};
    }
    std::filesystem::path file = request.folder / "scheduler";
    std::string name = request.name;
    if (!request.config_file.empty()) {
        file = request.config_file;
    }
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored)) {
        file /= "scheduler_config.json";
    }
    Sampler sampler =
        reel::make_scheduler<float>(name, reel::stable_diffusion_fixes(reel::read_scheduler_json(file)), file.string());
    const auto wanted = sampler.prediction_type();
    reel::require(!wanted || *wanted == request.model.prediction_type, file.string(), ": ", sampler.name(),
                  " expects a model of prediction type ", wanted ? name_in(reel::prediction_type_names, *wanted) : "",
                  ", but ", request.folder.string(), " is of type ",
                  name_in(reel::prediction_type_names, request.model.prediction_type),
                  "; give the configuration that belongs to the model");
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
