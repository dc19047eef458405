#pragma once
// scheduler_config.json of the samplers in sigma. Needs nlohmann-json (target reel::io).

#include <string_view>

#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/schedulers/edm_euler.hpp>
#include <reel/schedulers/euler_ancestral_discrete.hpp>
#include <reel/schedulers/heun_discrete.hpp>
#include <reel/schedulers/k_dpm_2_ancestral_discrete.hpp>
#include <reel/schedulers/lms_discrete.hpp>

namespace reel {

namespace detail {

/// What the configurations of samplers in sigma have in common.
template <class Config>
void read_sigma_config(ConfigReader& reader, Config& config) {
    config.schedule = read_noise_schedule(reader, config.schedule);
    config.prediction_type = read_prediction_type(reader);
    config.steps_offset = reader.get<index_t>("steps_offset", config.steps_offset);
    config.timestep_spacing = named_value(reader, "timestep_spacing", timestep_spacing_names, config.timestep_spacing);
    if constexpr (requires { config.sigma_spacing; }) {
        config.sigma_spacing = read_sigma_spacing(reader);
    }
}

template <class Config>
void write_sigma_config(nlohmann::json& json, const Config& config) {
    write_noise_schedule(json, config.schedule);
    json["prediction_type"] = name_in(prediction_type_names, config.prediction_type);
    json["steps_offset"] = config.steps_offset;
    json["timestep_spacing"] = name_in(timestep_spacing_names, config.timestep_spacing);
    if constexpr (requires { config.sigma_spacing; }) {
        write_sigma_spacing(json, config.sigma_spacing);
    }
}

template <class = void>
[[nodiscard]] std::optional<double> optional_number(ConfigReader& reader, std::string_view key) {
    return reader.has(key) ? std::optional(finite_number(reader, key, 0)) : reader.get_optional<double>(key);
}

} // namespace detail

template <>
struct SchedulerFile<EulerDiscreteScheduler> {
    static constexpr std::string_view class_name = "EulerDiscreteScheduler";

    static EulerDiscreteScheduler read(ConfigReader& reader) {
        EulerDiscreteConfig config;
        detail::read_sigma_config(reader, config);
        config.interpolation_type =
            detail::named_value(reader, "interpolation_type", sigma_interpolation_names, config.interpolation_type);
        config.timestep_type = detail::named_value(reader, "timestep_type", timestep_type_names, config.timestep_type);
        config.sigma_min = detail::optional_number(reader, "sigma_min");
        config.sigma_max = detail::optional_number(reader, "sigma_max");
        config.final_sigmas_type =
            detail::named_value(reader, "final_sigmas_type", final_sigma_names, config.final_sigmas_type);
        return EulerDiscreteScheduler(config);
    }

    static void write(nlohmann::json& json, const EulerDiscreteScheduler& scheduler) {
        const EulerDiscreteConfig& config = scheduler.config();
        detail::write_sigma_config(json, config);
        json["interpolation_type"] = name_in(sigma_interpolation_names, config.interpolation_type);
        json["timestep_type"] = name_in(timestep_type_names, config.timestep_type);
        json["sigma_min"] = config.sigma_min ? nlohmann::json(*config.sigma_min) : nlohmann::json();
        json["sigma_max"] = config.sigma_max ? nlohmann::json(*config.sigma_max) : nlohmann::json();
        json["final_sigmas_type"] = name_in(final_sigma_names, config.final_sigmas_type);
    }
};

template <>
struct SchedulerFile<EulerAncestralDiscreteScheduler> {
    static constexpr std::string_view class_name = "EulerAncestralDiscreteScheduler";

    static EulerAncestralDiscreteScheduler read(ConfigReader& reader) {
        EulerAncestralDiscreteConfig config;
        detail::read_sigma_config(reader, config);
        return EulerAncestralDiscreteScheduler(config);
    }

    static void write(nlohmann::json& json, const EulerAncestralDiscreteScheduler& scheduler) {
        detail::write_sigma_config(json, scheduler.config());
    }
};

template <class T, class B>
struct SchedulerFile<LMSDiscreteScheduler<T, B>> {
    static constexpr std::string_view class_name = "LMSDiscreteScheduler";

    static LMSDiscreteScheduler<T, B> read(ConfigReader& reader) {
        LMSDiscreteConfig config;
        detail::read_sigma_config(reader, config);
        return LMSDiscreteScheduler<T, B>(config);
    }

    static void write(nlohmann::json& json, const LMSDiscreteScheduler<T, B>& scheduler) {
        detail::write_sigma_config(json, scheduler.config());
    }
};

template <class T, class B>
struct SchedulerFile<HeunDiscreteScheduler<T, B>> {
    static constexpr std::string_view class_name = "HeunDiscreteScheduler";

    static HeunDiscreteScheduler<T, B> read(ConfigReader& reader) {
        HeunDiscreteConfig config;
        detail::read_sigma_config(reader, config);
        config.clip_sample = reader.get<bool>("clip_sample", config.clip_sample);
        config.clip_sample_range = detail::finite_number(reader, "clip_sample_range", config.clip_sample_range);
        return HeunDiscreteScheduler<T, B>(config);
    }

    static void write(nlohmann::json& json, const HeunDiscreteScheduler<T, B>& scheduler) {
        detail::write_sigma_config(json, scheduler.config());
        json["clip_sample"] = scheduler.config().clip_sample;
        json["clip_sample_range"] = scheduler.config().clip_sample_range;
    }
};

template <bool ancestral, class T, class B>
struct SchedulerFile<MidpointScheduler<ancestral, T, B>> {
    static constexpr std::string_view class_name = MidpointScheduler<ancestral, T, B>::class_name;

    static MidpointScheduler<ancestral, T, B> read(ConfigReader& reader) {
        KDPM2DiscreteConfig config;
        detail::read_sigma_config(reader, config);
        return MidpointScheduler<ancestral, T, B>(config);
    }

    static void write(nlohmann::json& json, const MidpointScheduler<ancestral, T, B>& scheduler) {
        detail::write_sigma_config(json, scheduler.config());
    }
};

template <>
struct SchedulerFile<EDMEulerScheduler> {
    static constexpr std::string_view class_name = "EDMEulerScheduler";
    static constexpr bool own_family = true;

    static EDMEulerScheduler read(ConfigReader& reader) {
        EDMEulerConfig config;
        config.sigma_min = detail::finite_number(reader, "sigma_min", config.sigma_min);
        config.sigma_max = detail::finite_number(reader, "sigma_max", config.sigma_max);
        config.sigma_data = detail::finite_number(reader, "sigma_data", config.sigma_data);
        config.sigma_schedule =
            detail::named_value(reader, "sigma_schedule", edm_sigma_schedule_names, config.sigma_schedule);
        config.num_train_timesteps = reader.get<index_t>("num_train_timesteps", config.num_train_timesteps);
        config.prediction_type =
            detail::named_value(reader, "prediction_type", prediction_type_names, config.prediction_type);
        config.rho = detail::finite_number(reader, "rho", config.rho);
        config.final_sigmas_type =
            detail::named_value(reader, "final_sigmas_type", final_sigma_names, config.final_sigmas_type);
        return EDMEulerScheduler(config);
    }

    static void write(nlohmann::json& json, const EDMEulerScheduler& scheduler) {
        const EDMEulerConfig& config = scheduler.config();
        json["sigma_min"] = config.sigma_min;
        json["sigma_max"] = config.sigma_max;
        json["sigma_data"] = config.sigma_data;
        json["sigma_schedule"] = name_in(edm_sigma_schedule_names, config.sigma_schedule);
        json["num_train_timesteps"] = config.num_train_timesteps;
        json["prediction_type"] = name_in(prediction_type_names, config.prediction_type);
        json["rho"] = config.rho;
        json["final_sigmas_type"] = name_in(final_sigma_names, config.final_sigmas_type);
    }
};

} // namespace reel
