#pragma once
// Reading and writing diffusers' scheduler_config.json. Needs nlohmann-json (target reel::io).

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/io/config/config_reader.hpp>
#include <reel/schedulers/config/scheduler_json.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/schedulers/ddpm.hpp>
#include <reel/schedulers/schedule/sigmas.hpp>

namespace reel {

/// How a scheduler is read from a configuration and written to one. Specialise it for a scheduler of your own:
///
///     static constexpr std::string_view class_name;      // diffusers' _class_name
///     static S read(ConfigReader& config);               // get() what it uses; the rest is done for it
///     static void write(nlohmann::json& config, const S& scheduler);
///
/// `thresholding` must be false, unless there is also a member `static constexpr bool reads_thresholding = true;`.
/// Configurations of other classes are refused, and their keys unknown, with `static constexpr bool own_family =
/// true;`: for samplers of another kind of model.
template <class S>
struct SchedulerFile;

namespace detail {

/// Classes whose configurations describe the same kind of model, so that any of them can start any scheduler, as in
/// diffusers: Stable Diffusion 1.4 ships a PNDMScheduler's, from which Tune-A-Video makes its DDPM and DDIM.
inline constexpr std::array<std::string_view, 18> scheduler_classes{
    "DDIMScheduler",
    "DDIMInverseScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
};

/// Keys that some of those classes have and others do not. They choose among variants of one sampler and say nothing
/// about the model, so a scheduler that has no such choice passes over them.
template <class = void>
void ignore_sibling_keys(ConfigReader& config) {
    config.ignore({"_class_name", "_diffusers_version", "_name_or_path", "_use_default_values"});
    config.ignore({"clip_sample", "clip_sample_range", "set_alpha_to_one", "variance_type"});       // DDIM, DDPM
    config.ignore({"skip_prk_steps"});                                                              // PNDM
    config.ignore({"interpolation_type", "timestep_type", "sigma_min", "sigma_max"});               // Euler
    config.ignore({"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"});              // sigma-based
    config.ignore({"final_sigmas_type", "solver_order", "algorithm_type", "solver_type"});          // DPM-Solver, DEIS
    config.ignore({"lower_order_final", "euler_at_final", "use_lu_lambdas", "lambda_min_clipped"}); // DPM-Solver
    config.ignore({"noise_sampler_seed"});                                                          // DPM-Solver SDE
    config.ignore({"sigma_timesteps"});                                // reel's own, of those
    config.ignore({"predict_x0", "disable_corrector", "solver_p"});    // UniPC
    config.ignore({"original_inference_steps", "timestep_scaling"});   // LCM, TCD
    config.ignore({"dynamic_thresholding_ratio", "sample_max_value"}); // of thresholding, which must be off
    config.ignore(
        {"use_flow_sigmas", "flow_shift", "use_dynamic_shifting", "time_shift_type", "shift_terminal"}); // UniPC
}

/// A number that is finite: JSON cannot say otherwise, but 1e999 reads as infinity.
template <class = void>
[[nodiscard]] double finite_number(ConfigReader& config, std::string_view key, double otherwise) {
    const double value = config.get<double>(key, otherwise);
    require(std::isfinite(value), config.where(), ": \"", key, "\" is not a finite number");
    return value;
}

template <class Table, class E>
[[nodiscard]] E named_value(ConfigReader& config, std::string_view key, const Table& table, E otherwise) {
    const auto name = config.get<std::string>(key, std::string(name_in(table, otherwise)));
    return value_in(table, name, concat_text(config.where(), ": \"", key, "\""));
}

/// What every scheduler's configuration says of the model. Absent keys keep the values of `schedule`.
template <class = void>
[[nodiscard]] NoiseScheduleConfig read_noise_schedule(ConfigReader& config, NoiseScheduleConfig schedule = {}) {
    schedule.num_train_timesteps = config.get<index_t>("num_train_timesteps", schedule.num_train_timesteps);
    schedule.beta_start = finite_number(config, "beta_start", schedule.beta_start);
    schedule.beta_end = finite_number(config, "beta_end", schedule.beta_end);
    schedule.beta_schedule = named_value(config, "beta_schedule", beta_schedule_names, schedule.beta_schedule);
    schedule.trained_betas = config.get_optional<std::vector<double>>("trained_betas").value_or(schedule.trained_betas);
    schedule.rescale_betas_zero_snr = config.get<bool>("rescale_betas_zero_snr", schedule.rescale_betas_zero_snr);
    return schedule;
}

/// Also understands `predict_epsilon`, which diffusers had before 0.12 in place of prediction_type.
template <class = void>
[[nodiscard]] PredictionType read_prediction_type(ConfigReader& config) {
    const auto old = config.get_optional<bool>("predict_epsilon");
    const auto old_type = old.value_or(true) ? PredictionType::epsilon : PredictionType::sample;
    const auto type = named_value(config, "prediction_type", prediction_type_names, old_type);
    require(!old || type == old_type, config.where(), ": \"prediction_type\" is \"",
            name_in(prediction_type_names, type), "\", but \"predict_epsilon\" is ",
            old.value_or(true) ? "true" : "false", "; remove one of them");
    return type;
}

template <class = void>
void write_noise_schedule(nlohmann::json& config, const NoiseScheduleConfig& schedule) {
    config["num_train_timesteps"] = schedule.num_train_timesteps;
    config["beta_start"] = schedule.beta_start;
    config["beta_end"] = schedule.beta_end;
    config["beta_schedule"] = name_in(beta_schedule_names, schedule.beta_schedule);
    config["trained_betas"] = nullptr;
    if (!schedule.trained_betas.empty()) {
        config["trained_betas"] = schedule.trained_betas;
    }
    config["rescale_betas_zero_snr"] = schedule.rescale_betas_zero_snr;
}

/// diffusers' three flags; at most one may be set.
template <class = void>
[[nodiscard]] SigmaSpacing read_sigma_spacing(ConfigReader& config) {
    SigmaSpacing spacing = SigmaSpacing::timesteps;
    std::string_view chosen;
    for (const auto& [key, value] : {NamedValue{"use_karras_sigmas", SigmaSpacing::karras},
                                     {"use_exponential_sigmas", SigmaSpacing::exponential},
                                     {"use_beta_sigmas", SigmaSpacing::beta}}) {
        if (config.get_optional<bool>(key).value_or(false)) {
            require(chosen.empty(), config.where(), ": \"", chosen, "\" and \"", key,
                    "\" are both true; set one of them to false");
            chosen = key;
            spacing = value;
        }
    }
    return spacing;
}

template <class = void>
void write_sigma_spacing(nlohmann::json& config, SigmaSpacing spacing) {
    config["use_karras_sigmas"] = spacing == SigmaSpacing::karras;
    config["use_exponential_sigmas"] = spacing == SigmaSpacing::exponential;
    config["use_beta_sigmas"] = spacing == SigmaSpacing::beta;
}

/// What DDIM's and DDPM's configurations have in common.
template <class Config>
void read_one_step_config(ConfigReader& reader, Config& config) {
    config.schedule = read_noise_schedule(reader);
    config.prediction_type = read_prediction_type(reader);
    config.clip_sample = reader.get<bool>("clip_sample", config.clip_sample);
    config.clip_sample_range = finite_number(reader, "clip_sample_range", config.clip_sample_range);
    config.steps_offset = reader.get<index_t>("steps_offset", config.steps_offset);
    config.timestep_spacing = named_value(reader, "timestep_spacing", timestep_spacing_names, config.timestep_spacing);
}

template <class Config>
void write_one_step_config(nlohmann::json& json, const Config& config) {
    write_noise_schedule(json, config.schedule);
    json["prediction_type"] = name_in(prediction_type_names, config.prediction_type);
    json["clip_sample"] = config.clip_sample;
    json["clip_sample_range"] = config.clip_sample_range;
    json["steps_offset"] = config.steps_offset;
    json["timestep_spacing"] = name_in(timestep_spacing_names, config.timestep_spacing);
}

} // namespace detail

template <>
struct SchedulerFile<DDIMScheduler> {
    static constexpr std::string_view class_name = "DDIMScheduler";

    static DDIMScheduler read(ConfigReader& reader) {
        DDIMConfig config;
        detail::read_one_step_config(reader, config);
        config.set_alpha_to_one = reader.get<bool>("set_alpha_to_one", config.set_alpha_to_one);
        return DDIMScheduler(config);
    }

    static void write(nlohmann::json& json, const DDIMScheduler& scheduler) {
        detail::write_one_step_config(json, scheduler.config());
        json["set_alpha_to_one"] = scheduler.config().set_alpha_to_one;
    }
};

template <>
struct SchedulerFile<DDPMScheduler> {
    static constexpr std::string_view class_name = "DDPMScheduler";

    static DDPMScheduler read(ConfigReader& reader) {
        DDPMConfig config;
        detail::read_one_step_config(reader, config);
        if (reader.has("variance_type")) { // DPM-Solver's, of diffusers 0.42, is null: then DDPM takes fixed_small
            config.variance_type =
                detail::named_value(reader, "variance_type", variance_type_names, config.variance_type);
        } else {
            reader.ignore({"variance_type"});
        }
        return DDPMScheduler(config);
    }

    static void write(nlohmann::json& json, const DDPMScheduler& scheduler) {
        detail::write_one_step_config(json, scheduler.config());
        json["variance_type"] = name_in(variance_type_names, scheduler.config().variance_type);
    }
};

/// A scheduler from a configuration of diffusers 0.11.1 or a recent release, its own or that of another class for the
/// same kind of model. `where` (a file) starts messages. Throws Error for a key that no such class has (with the
/// nearest that one has), for a value that is not supported (thresholding, learned variances, flow_prediction) and for
/// numbers that make no schedule.
template <class S>
[[nodiscard]] S scheduler_from_config(const nlohmann::json& config, const std::string& where) {
    ConfigReader reader(config, where);
    const auto name = reader.get<std::string>("_class_name", std::string(SchedulerFile<S>::class_name));
    if constexpr (requires { SchedulerFile<S>::own_family; }) {
        require(name == SchedulerFile<S>::class_name, where, ": \"_class_name\" is \"", name.substr(0, 80),
                "\", whose configuration describes another kind of model than a ", SchedulerFile<S>::class_name, "'s");
        reader.ignore({"_diffusers_version", "_name_or_path", "_use_default_values"});
    } else {
        const auto& known = detail::scheduler_classes;
        require(std::find(known.begin(), known.end(), name) != known.end(), where, ": \"_class_name\" is \"",
                name.substr(0, 80), "\", whose configuration cannot make a ", SchedulerFile<S>::class_name,
                did_you_mean(name, known));
        if constexpr (!requires { SchedulerFile<S>::reads_thresholding; }) {
            reader.expect("thresholding", false);
        }
        detail::ignore_sibling_keys(reader);
    }
    try {
        S scheduler = SchedulerFile<S>::read(reader);
        reader.finish();
        return scheduler;
    } catch (const Error& error) {
        const std::string_view message = error.what();
        if (message.starts_with(where)) {
            throw;
        }
        fail(where, ": ", message);
    }
}

/// A scheduler from `folder`/scheduler_config.json; see scheduler_from_config(). The folder is a model's scheduler/.
template <class S>
[[nodiscard]] S scheduler_from_pretrained(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "scheduler_config.json";
    return scheduler_from_config<S>(read_scheduler_json(file), file.string());
}

/// The scheduler's configuration, as diffusers reads it.
template <class S>
[[nodiscard]] nlohmann::json scheduler_to_config(const S& scheduler) {
    nlohmann::json config = {{"_class_name", SchedulerFile<S>::class_name}, {"_diffusers_version", "0.11.1"}};
    SchedulerFile<S>::write(config, scheduler);
    return config;
}

/// Writes `folder`/scheduler_config.json, complete or not at all; makes the folder. Throws Error naming what failed.
template <class S>
void save_scheduler(const S& scheduler, const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    require(!error, "cannot make the folder ", folder.string(), ": ", error.message());
    write_json(folder / "scheduler_config.json", scheduler_to_config(scheduler));
}

} // namespace reel
