#pragma once
// scheduler_config.json of PNDM, LCM and TCD. Needs nlohmann-json (target reel::io).

#include <string_view>

#include <reel/schedulers/lcm.hpp>
#include <reel/schedulers/pndm.hpp>
#include <reel/schedulers/scheduler_config.hpp>
#include <reel/schedulers/tcd.hpp>

namespace reel {

namespace detail {

[[nodiscard]] inline Thresholding read_thresholding(ConfigReader& reader) {
    Thresholding options;
    options.thresholding = reader.get<bool>("thresholding", options.thresholding);
    options.dynamic_thresholding_ratio =
        finite_number(reader, "dynamic_thresholding_ratio", options.dynamic_thresholding_ratio);
    options.sample_max_value = finite_number(reader, "sample_max_value", options.sample_max_value);
    return options;
}

inline void write_thresholding(nlohmann::json& json, const Thresholding& options) {
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

} // namespace reel
