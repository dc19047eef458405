#include <reel/core/ranges.hpp>
#include <reel/pipelines/named_sampler.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

#include <reel/pipelines/inversion.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

namespace reel {

namespace {

/// Throws Error unless the configuration in `file` is of a model with this noise schedule. Zero-terminal-SNR rescaling
/// may differ: it is tried on models that were trained without.
void check_noise_schedule(const Sampler& sampler, const DDIMConfig& model, const std::string& file) {
    const nlohmann::json found = scheduler_to_config(sampler);
    const nlohmann::json expected = scheduler_to_config(DDIMScheduler(model));
    for (const char* key : {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"}) {
        require(found.at(key) == expected.at(key), file, ": \"", key, "\" is ", found.at(key).dump().substr(0, 80),
                ", but the model was trained with ", expected.at(key).dump().substr(0, 80),
                "; give the configuration that belongs to the model");
    }
}

/// Throws Error unless every model call leads to a level at which the clip is known, so that it can be put back
/// outside a mask, or looked at, and latents can be led to words there. `levels`: those of the inversion, upwards;
/// without one the clip is noised as the sampler wants.
void check_levels(const Sampler& sampler, int steps, const EditOptions& edit, std::vector<double> levels) {
    const std::string what = edit.trajectory_text([](std::string_view name) { return concat_text("--", name); });
    const auto calls = static_cast<int>(sampler.timesteps().size());
    const std::string none =
        edit.masked() ? "no mask" : concat_text("no --", edit.control.given() ? "control" : "excite_word");
    require(calls == steps, what, ": ", sampler.name(), " calls the model ", calls, " times for ", steps,
            " steps, and ",
            edit.masked()          ? "the clip cannot be put back outside the mask between calls of one step"
            : edit.control.given() ? "the clip is not known between calls of one step"
                                   : "latents cannot be led to words between calls of one step",
            "; use a sampler with one call a step, or ", none);
    ranges::reverse(levels);
    require(!edit.inverted() || !(edit.masked() || edit.control.given()) || levels == sampler.timesteps(), what, ": ",
            sampler.name(), " with this configuration passes noise levels that its inversion does not; ",
            "do not spread the sigmas (use_karras_sigmas and the like), or ",
            edit.masked() ? "use --start noise or " : "use ", none);
}

} // namespace

Sampler named_sampler(const SamplerRequest& request, const PipelineFacts& model, double eta) {
    const bool spaced = request.timestep_spacing != SamplerSpacing::own;
    const bool unnamed = request.scheduler.empty() && request.scheduler_config.empty();
    if (unnamed && !spaced) {
        return ddim_sampler(model, eta);
    }
    std::filesystem::path file = request.scheduler_config;
    const bool models_own = file.empty() || file == model.folder / "scheduler";
    std::error_code ignored;
    if (models_own || std::filesystem::is_directory(file, ignored)) {
        file /= "scheduler_config.json";
    }
    nlohmann::json config;
    if (models_own) {
        file = model.scheduler.file;
        config = model.scheduler.config;
    } else {
        config = read_scheduler_json(file);
    }
    require(!config.is_object() || config.value("_class_name", nlohmann::json()) != "EDMEulerScheduler", file.string(),
            ": an EDMEulerScheduler is for models with EDM's preconditioning, and ", model.folder.string(),
            " is a Stable Diffusion");
    config = stable_diffusion_fixes(std::move(config));
    const std::string spacing(option_text(request.timestep_spacing));
    if (spaced && config.is_object()) {
        config["timestep_spacing"] = spacing;
    }
    Sampler sampler = make_scheduler<float>(unnamed ? "DDIMScheduler" : request.scheduler, config, file.string());
    require(!spaced || scheduler_to_config(sampler).contains("timestep_spacing"), "--timestep_spacing ", spacing, ": ",
            sampler.name(), " has no choice of timesteps; leave the option out");
    const auto wanted = sampler.prediction_type();
    require(!wanted || *wanted == model.sampling.prediction_type, file.string(), ": ", sampler.name(),
            " expects a model of prediction type ", wanted ? name_in(prediction_type_names, *wanted) : "", ", but ",
            model.folder.string(), " is of type ", name_in(prediction_type_names, model.sampling.prediction_type),
            "; give the configuration that belongs to the model");
    check_noise_schedule(sampler, model.sampling, file.string());
    sampler.set_eta(eta);
    return sampler;
}

nlohmann::json sampler_json(const Sampler& sampler) {
    try {
        return scheduler_to_config(sampler);
    } catch (const Error&) { // not one of reel's
        return {{"_class_name", sampler.name()}};
    }
}

void check_steps(Sampler sampler, const SamplingOptions& sampling) {
    for (const auto& [key, steps] : {std::pair{"num_inference_steps", sampling.num_inference_steps},
                                     std::pair{"num_inv_steps", sampling.num_inv_steps}}) {
        try {
            sampler.set_timesteps(steps);
        } catch (const Error& error) {
            fail(key, " ", steps, ": ", error.what());
        }
    }
}

Sampler sampler_for_edit(Sampler sampler, SamplingOptions sampling, const EditOptions& edit) {
    if (edit.edit_friendly()) {
        check_steps(sampler, sampling);
    }
    if (edit.inverted()) {
        try {
            Cpu cpu(1);
            require_inversion<float>(sampler, edit.inversion, sampling.num_inv_steps, cpu);
            sampler = edit.edit_friendly() ? sampler : with_levels_of_inversion(sampler);
        } catch (const Error& error) {
            const bool own = edit.inversion == InversionKind::own;
            fail(own ? "--start inversion: " : "--inversion ", own ? "" : option_text(edit.inversion), own ? "" : ": ",
                 error.what());
        }
        require(!edit.reference.reference_inversion || sampler.as<DDIMScheduler>() != nullptr,
                "--reference_inversion: it is of DDIM's inversion, and the sampler is ", sampler.name());
    } else {
        sampling.num_inv_steps = sampling.num_inference_steps; // not used
    }
    check_steps(sampler, sampling);
    sampler.set_timesteps(sampling.num_inference_steps);
    std::vector<double> levels;
    if (edit.edit_friendly()) {
        levels.assign(sampler.timesteps().rbegin(), sampler.timesteps().rend());
    } else if (edit.inverted()) {
        levels = levels_of_inversion(sampler, sampling.num_inv_steps);
    }
    if (edit.masked() || edit.steered()) {
        check_levels(sampler, sampling.num_inference_steps, edit, levels);
    }
    return sampler;
}

} // namespace reel
