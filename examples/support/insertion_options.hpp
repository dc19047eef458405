#pragma once
// What insert_object is asked to do.

#include "config_options.hpp"
#include "demonstration.hpp"
#include "plan.hpp"
#include "tuning_identity.hpp"

namespace insertion {

struct Options {
    reel::TuneAVideoConfig config;
    plan::Options look_ahead;
    std::string config_file;
    std::string tuned;
    std::string save_tuned;
    std::string replay;
    std::string save_tensors;
    std::string backend = "cpu"; ///< as editing::open_device() takes it
    int threads = 0;
    bool reference_checkpointing = false;
    bool reference_inversion = false;
    std::string inverted_latents = "sample";
    std::string inversion_prompt = "empty";
    std::string guidance_prompt = "negative";
    std::string mask = "none";
    editing::MaskSettings mask_settings;
    editing::DeltaSettings delta_settings;
    bool overlay = false;
    std::string scheduler;
    std::string scheduler_config;
    std::string start = "inversion";
    std::optional<world::Scene> scene; ///< of the demonstration's clip
    std::uint64_t world_seed = 0;      ///< that the scene follows from

    [[nodiscard]] bool masked() const { return mask != "none"; }
    [[nodiscard]] bool drafted() const { return mask == "delta"; }
    [[nodiscard]] bool inverted() const { return start == "inversion"; }
};

/// All of them, for the manifest.
[[nodiscard]] inline nlohmann::json as_json(const Options& options, int threads) {
    const reel::TuneAVideoConfig& config = options.config;
    const reel::TuneTrainData& train = config.train_data;
    const reel::TuneValidationData& v = config.validation_data;
    nlohmann::json json{{"config", options.config_file},
                        {"model", config.pretrained_model_path},
                        {"video", train.video_path},
                        {"prompt", train.prompt},
                        {"edit", v.prompts},
                        {"output", config.output_dir},
                        {"n_sample_frames", train.n_sample_frames},
                        {"width", train.width},
                        {"height", train.height},
                        {"sample_start_idx", train.sample_start_idx},
                        {"sample_frame_rate", train.sample_frame_rate},
                        {"max_train_steps", config.max_train_steps},
                        {"use_8bit_adam", config.use_8bit_adam},
                        {"mixed_precision", reel::option_text(config.mixed_precision)},
                        {"trainable_modules", config.trainable_modules},
                        {"gradient_checkpointing", config.gradient_checkpointing},
                        {"num_inv_steps", v.num_inv_steps},
                        {"num_inference_steps", v.num_inference_steps},
                        {"guidance_scale", v.guidance_scale},
                        {"negative_prompt", v.negative_prompt.value_or("")},
                        {"eta", v.eta},
                        {"seed", *config.seed},
                        {"backend", options.backend},
                        {"threads", threads},
                        {"memory_limit", options.look_ahead.memory_limit},
                        {"tuned", options.tuned},
                        {"save_tuned", options.save_tuned},
                        {"replay", options.replay},
                        {"save_tensors", options.save_tensors},
                        {"reference_checkpointing", options.reference_checkpointing},
                        {"reference_inversion", options.reference_inversion},
                        {"inverted_latents", options.inverted_latents},
                        {"inversion_prompt", options.inversion_prompt},
                        {"guidance_prompt", options.guidance_prompt},
                        {"mask", options.mask},
                        {"overlay", options.overlay},
                        {"scheduler", options.scheduler},
                        {"scheduler_config", options.scheduler_config},
                        {"start", options.start}};
    json.update(editing::as_json(options.mask_settings));
    json.update(editing::optimizer_options_json(config));
    json.update(editing::as_json(options.delta_settings));
    return json;
}

} // namespace insertion
