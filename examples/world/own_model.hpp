#pragma once
// Where the model that comes with reel is, and how drawn clips are edited with it.

#include <filesystem>
#include <system_error>

#include <reel/core/system/process.hpp>
#include <reel/pipelines/presets.hpp>
#include <reel/pipelines/tune_config.hpp>

#include "words.hpp"

#ifndef REEL_MODEL_FOLDER // the build says where the source tree is
#define REEL_MODEL_FOLDER "examples/model"
#endif

namespace world {

/// Where the model that comes with reel is: beside the installed program, or in the source tree it was built from.
/// Throws Error that says what was looked for when it is in neither.
[[nodiscard]] inline std::filesystem::path own_model() {
    std::error_code error;
    const std::filesystem::path installed =
        reel::program_path().parent_path().parent_path() / "share" / "reel" / "model";
    const std::filesystem::path source = REEL_MODEL_FOLDER;
    for (const std::filesystem::path& folder : {installed, source}) {
        if (std::filesystem::exists(folder / "model_index.json", error)) {
            return folder;
        }
    }
    reel::fail("the model that comes with reel is missing: no model_index.json in ", source.string(), " or ",
               installed.string(), "; get the whole repository, or give a diffusers folder with --model");
}

/// Settings for drawn clips and that model, which are insert_object's without a clip, and evaluate_insertion's.
struct EditSettings {
    int frames = 8;
    int size = 64; ///< pixels a side
    double fps = 8;
    int max_train_steps = 60;
    double learning_rate = 2e-4;
    int steps = 20;                      ///< of inversion and of sampling
    double guidance_scale = 3;           ///< with the source's caption in place of the empty one
    double reference_guidance_scale = 5; ///< with the empty one
    reel::MaskOptions mask = reel::edit_options_of(reel::Preset::insert).mask_options;
    reel::DeltaOptions delta = reel::edit_options_of(reel::Preset::insert).delta;
};

/// A configuration with these settings.
[[nodiscard]] inline reel::TuneAVideoConfig config_of(const EditSettings& settings) {
    reel::TuneAVideoConfig config;
    config.train_data.n_sample_frames = settings.frames;
    config.train_data.width = settings.size;
    config.train_data.height = settings.size;
    config.max_train_steps = settings.max_train_steps;
    config.learning_rate = settings.learning_rate;
    config.gradient_checkpointing = false; // the model is small
    config.mixed_precision = reel::MixedPrecision::no;
    config.validation_data.num_inv_steps = settings.steps;
    config.validation_data.num_inference_steps = settings.steps;
    config.validation_data.guidance_scale = settings.guidance_scale;
    return config;
}

} // namespace world
