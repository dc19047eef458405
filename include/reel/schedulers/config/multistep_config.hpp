#pragma once
// scheduler_config.json of PNDM, LCM, TCD, DPM-Solver, DEIS and UniPC. Needs nlohmann-json (target reel::io).

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>

#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/schedulers/deis_multistep.hpp>
#include <reel/schedulers/dpm_solver_multistep.hpp>
#include <reel/schedulers/dpm_solver_singlestep.hpp>
#include <reel/schedulers/lcm.hpp>
#include <reel/schedulers/pndm.hpp>
#include <reel/schedulers/tcd.hpp>
#include <reel/schedulers/unipc_multistep.hpp>

namespace reel {

namespace detail {

template <class = void>
[[nodiscard]] Thresholding read_thresholding(ConfigReader& reader) {
    Thresholding options;
    options.thresholding = reader.get<bool>("thresholding", options.thresholding);
    options.dynamic_thresholding_ratio =
        finite_number(reader, "dynamic_thresholding_ratio", options.dynamic_thresholding_ratio);
    options.sample_max_value = finite_number(reader, "sample_max_value", options.sample_max_value);
    return options;
}

template <class = void>
void write_thresholding(nlohmann::json& json, const Thresholding& options) {
    json["thresholding"] = options.thresholding;
    json["dynamic_thresholding_ratio"] = options.dynamic_thresholding_ratio;
    json["sample_max_value"] = options.sample_max_value;
}

/// What LCM's and TCD's configurations have in common.
template <class Config>
void read_distilled_config(ConfigReader& reader, Config& config) {
    config.schedule = read_noise_schedule(reader, config.schedule);
    config.prediction_type = read_prediction_type(reader);
    config.original_inference_steps = reader.get<index_t>("original_inference_steps", config.original_inference_steps);
    reader.ignore({"steps_offset", "timestep_spacing"}); // their runs are made of the distilled model's steps
}

template <class Config>
void write_distilled_config(nlohmann::json& json, const Config& config) {
    write_noise_schedule(json, config.schedule);
    json["prediction_type"] = name_in(prediction_type_names, config.prediction_type);
    json["original_inference_steps"] = config.original_inference_steps;
}

} // namespace detail

template <class T, class B>
struct SchedulerFile<PNDMScheduler<T, B>> {
    static constexpr std::string_view class_name = "PNDMScheduler";

    static PNDMScheduler<T, B> read(ConfigReader& reader) {
        PNDMConfig config;
        config.schedule = detail::read_noise_schedule(reader);
        config.prediction_type = detail::read_prediction_type(reader);
        config.skip_prk_steps = reader.get<bool>("skip_prk_steps", config.skip_prk_steps);
        config.set_alpha_to_one = reader.get<bool>("set_alpha_to_one", config.set_alpha_to_one);
        config.steps_offset = reader.get<index_t>("steps_offset", config.steps_offset);
        config.timestep_spacing =
            detail::named_value(reader, "timestep_spacing", timestep_spacing_names, config.timestep_spacing);
        return PNDMScheduler<T, B>(config);
    }

    static void write(nlohmann::json& json, const PNDMScheduler<T, B>& scheduler) {
        const PNDMConfig& config = scheduler.config();
        detail::write_noise_schedule(json, config.schedule);
        json.erase("rescale_betas_zero_snr"); // never true here, and not a key of diffusers' class
        json["prediction_type"] = name_in(prediction_type_names, config.prediction_type);
        json["skip_prk_steps"] = config.skip_prk_steps;
        json["set_alpha_to_one"] = config.set_alpha_to_one;
        json["steps_offset"] = config.steps_offset;
        json["timestep_spacing"] = name_in(timestep_spacing_names, config.timestep_spacing);
    }
};

template <>
struct SchedulerFile<LCMScheduler> {
    static constexpr std::string_view class_name = "LCMScheduler";
    static constexpr bool reads_thresholding = true;

    static LCMScheduler read(ConfigReader& reader) {
        LCMConfig config;
        detail::read_distilled_config(reader, config);
        config.clip_sample = reader.get<bool>("clip_sample", config.clip_sample);
        config.clip_sample_range = detail::finite_number(reader, "clip_sample_range", config.clip_sample_range);
        config.threshold = detail::read_thresholding(reader);
        config.timestep_scaling = detail::finite_number(reader, "timestep_scaling", config.timestep_scaling);
        return LCMScheduler(config);
    }

    static void write(nlohmann::json& json, const LCMScheduler& scheduler) {
        const LCMConfig& config = scheduler.config();
        detail::write_distilled_config(json, config);
        json["clip_sample"] = config.clip_sample;
        json["clip_sample_range"] = config.clip_sample_range;
        detail::write_thresholding(json, config.threshold);
        json["timestep_scaling"] = config.timestep_scaling;
    }
};

template <>
struct SchedulerFile<TCDScheduler> {
    static constexpr std::string_view class_name = "TCDScheduler";
    static constexpr bool reads_thresholding = true; // it has no effect on TCD, as in diffusers

    static TCDScheduler read(ConfigReader& reader) {
        TCDConfig config;
        detail::read_distilled_config(reader, config);
        reader.ignore({"thresholding"});
        return TCDScheduler(config);
    }

    static void write(nlohmann::json& json, const TCDScheduler& scheduler) {
        detail::write_distilled_config(json, scheduler.config());
    }
};

namespace detail {

/// The value of a key whose values other classes' configurations also use: theirs stand for `own`.
template <class Table, class E>
[[nodiscard]] E sibling_value(ConfigReader& reader, std::string_view key, const Table& table, E own,
                              std::initializer_list<std::string_view> theirs) {
    const auto name = reader.get<std::string>(key, std::string(name_in(table, own)));
    return std::find(theirs.begin(), theirs.end(), name) != theirs.end() ? own : named_value(reader, key, table, own);
}

/// What the configurations of DPM-Solver, DEIS and UniPC have in common; of the rest, what `Config` has.
template <class Config>
void read_solver_config(ConfigReader& reader, Config& config) {
    config.schedule = read_noise_schedule(reader);
    config.prediction_type = read_prediction_type(reader);
    config.solver_order = reader.get<index_t>("solver_order", config.solver_order);
    config.lower_order_final = reader.get<bool>("lower_order_final", config.lower_order_final);
    config.sigma_spacing = read_sigma_spacing(reader);
    config.sigma_timesteps = named_value(reader, "sigma_timesteps", sigma_timesteps_names, config.sigma_timesteps);
    config.threshold = read_thresholding(reader);
    config.use_flow_sigmas = reader.get<bool>("use_flow_sigmas", config.use_flow_sigmas);
    if (config.use_flow_sigmas) {
        config.flow_shift = finite_number(reader, "flow_shift", config.flow_shift);
        reader.expect("use_dynamic_shifting", false); // by a number that set_timesteps() is not given
        reader.expect("shift_terminal", nullptr);
    }
    if constexpr (requires { config.timestep_spacing; }) {
        config.timestep_spacing =
            named_value(reader, "timestep_spacing", timestep_spacing_names, config.timestep_spacing);
        config.steps_offset = reader.get<index_t>("steps_offset", config.steps_offset);
    } else {
        reader.ignore({"timestep_spacing", "steps_offset"});
    }
    if constexpr (requires { config.final_sigmas_type; }) {
        config.final_sigmas_type =
            named_value(reader, "final_sigmas_type", final_sigma_names, config.final_sigmas_type);
    }
    if constexpr (requires { config.lambda_min_clipped; }) {
        config.lambda_min_clipped =
            reader.get_optional<double>("lambda_min_clipped").value_or(config.lambda_min_clipped);
        const auto variance = reader.get_optional<std::string>("variance_type").value_or("");
        require(!variance.starts_with("learned"), reader.where(), ": \"variance_type\" is \"", variance,
                "\", but models that also predict variances are not supported");
    }
}

template <class Config>
void write_solver_config(nlohmann::json& json, const Config& config) {
    write_noise_schedule(json, config.schedule);
    json["prediction_type"] = name_in(prediction_type_names, config.prediction_type);
    json["solver_order"] = config.solver_order;
    json["lower_order_final"] = config.lower_order_final;
    write_sigma_spacing(json, config.sigma_spacing);
    if (config.sigma_timesteps != SigmaTimesteps::diffusers) { // a key of reel's own
        json["sigma_timesteps"] = name_in(sigma_timesteps_names, config.sigma_timesteps);
    }
    write_thresholding(json, config.threshold);
    if (config.use_flow_sigmas) { // a key that diffusers 0.11.1 lacks
        json["use_flow_sigmas"] = true;
        json["flow_shift"] = config.flow_shift;
    }
    if constexpr (requires { config.timestep_spacing; }) {
        json["timestep_spacing"] = name_in(timestep_spacing_names, config.timestep_spacing);
        json["steps_offset"] = config.steps_offset;
    }
    if constexpr (requires { config.final_sigmas_type; }) {
        json["final_sigmas_type"] = name_in(final_sigma_names, config.final_sigmas_type);
    }
    if constexpr (requires { config.lambda_min_clipped; }) {
        if (config.lambda_min_clipped > -std::numeric_limits<double>::infinity()) { // JSON has no infinity
            json["lambda_min_clipped"] = config.lambda_min_clipped;
        }
    }
}

/// What both DPM-Solvers' configurations have in common beside that.
template <class Config>
void read_dpm_solver_config(ConfigReader& reader, Config& config) {
    read_solver_config(reader, config);
    config.algorithm_type =
        sibling_value(reader, "algorithm_type", solver_algorithm_names, config.algorithm_type, {"deis"});
    config.solver_type =
        sibling_value(reader, "solver_type", solver_type_names, config.solver_type, {"logrho", "bh1", "bh2"});
}

template <class Config>
void write_dpm_solver_config(nlohmann::json& json, const Config& config) {
    write_solver_config(json, config);
    json["algorithm_type"] = name_in(solver_algorithm_names, config.algorithm_type);
    json["solver_type"] = name_in(solver_type_names, config.solver_type);
}

} // namespace detail

template <class T, class B>
struct SchedulerFile<DPMSolverMultistepScheduler<T, B>> {
    static constexpr std::string_view class_name = "DPMSolverMultistepScheduler";
    static constexpr bool reads_thresholding = true;

    static DPMSolverMultistepScheduler<T, B> read(ConfigReader& reader) {
        DPMSolverMultistepConfig config;
        detail::read_dpm_solver_config(reader, config);
        config.euler_at_final = reader.get<bool>("euler_at_final", config.euler_at_final);
        config.use_lu_lambdas = reader.get<bool>("use_lu_lambdas", config.use_lu_lambdas);
        return DPMSolverMultistepScheduler<T, B>(config);
    }

    static void write(nlohmann::json& json, const DPMSolverMultistepScheduler<T, B>& scheduler) {
        detail::write_dpm_solver_config(json, scheduler.config());
        json["euler_at_final"] = scheduler.config().euler_at_final;
        json["use_lu_lambdas"] = scheduler.config().use_lu_lambdas;
    }
};

template <class T, class B>
struct SchedulerFile<DPMSolverSinglestepScheduler<T, B>> {
    static constexpr std::string_view class_name = "DPMSolverSinglestepScheduler";
    static constexpr bool reads_thresholding = true;

    static DPMSolverSinglestepScheduler<T, B> read(ConfigReader& reader) {
        DPMSolverSinglestepConfig config;
        detail::read_dpm_solver_config(reader, config);
        return DPMSolverSinglestepScheduler<T, B>(config);
    }

    static void write(nlohmann::json& json, const DPMSolverSinglestepScheduler<T, B>& scheduler) {
        detail::write_dpm_solver_config(json, scheduler.config());
    }
};

template <class T, class B>
struct SchedulerFile<DEISMultistepScheduler<T, B>> {
    static constexpr std::string_view class_name = "DEISMultistepScheduler";
    static constexpr bool reads_thresholding = true;

    static DEISMultistepScheduler<T, B> read(ConfigReader& reader) {
        DEISMultistepConfig config;
        detail::read_solver_config(reader, config);
        return DEISMultistepScheduler<T, B>(config); // algorithm_type and solver_type have one value each
    }

    static void write(nlohmann::json& json, const DEISMultistepScheduler<T, B>& scheduler) {
        detail::write_solver_config(json, scheduler.config());
        json["algorithm_type"] = "deis";
        json["solver_type"] = "logrho";
    }
};

template <class T, class B>
struct SchedulerFile<UniPCMultistepScheduler<T, B>> {
    static constexpr std::string_view class_name = "UniPCMultistepScheduler";
    static constexpr bool reads_thresholding = true;

    static UniPCMultistepScheduler<T, B> read(ConfigReader& reader) {
        UniPCMultistepConfig config;
        detail::read_solver_config(reader, config);
        config.predict_x0 = reader.get<bool>("predict_x0", config.predict_x0);
        config.solver_type = detail::sibling_value(reader, "solver_type", unipc_solver_type_names, config.solver_type,
                                                   {"midpoint", "heun", "logrho"});
        config.disable_corrector = reader.get<std::vector<index_t>>("disable_corrector", config.disable_corrector);
        config.sigma_min = reader.get_optional<double>("sigma_min");
        config.sigma_max = reader.get_optional<double>("sigma_max");
        reader.expect("solver_p", nullptr);
        return UniPCMultistepScheduler<T, B>(config);
    }

    static void write(nlohmann::json& json, const UniPCMultistepScheduler<T, B>& scheduler) {
        const UniPCMultistepConfig& config = scheduler.config();
        detail::write_solver_config(json, config);
        json["predict_x0"] = config.predict_x0;
        json["solver_type"] = name_in(unipc_solver_type_names, config.solver_type);
        json["disable_corrector"] = config.disable_corrector;
        json["sigma_min"] = config.sigma_min ? nlohmann::json(*config.sigma_min) : nlohmann::json();
        json["sigma_max"] = config.sigma_max ? nlohmann::json(*config.sigma_max) : nlohmann::json();
    }
};

} // namespace reel
