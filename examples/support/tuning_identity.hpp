#pragma once
// What one tuning has in common with another that it may be continued as.

#include <nlohmann/json.hpp>

#include <reel/pipelines/tune_config_file.hpp>

namespace editing {

/// The options of a tuning's optimizer, by name.
[[nodiscard]] inline nlohmann::json optimizer_options_json(const reel::TuneAVideoConfig& config) {
    return {{"learning_rate", config.learning_rate},
            {"scale_lr", config.scale_lr},
            {"lr_scheduler", reel::option_text(config.lr_scheduler)},
            {"lr_warmup_steps", config.lr_warmup_steps},
            {"adam_beta1", config.adam_beta1},
            {"adam_beta2", config.adam_beta2},
            {"adam_weight_decay", config.adam_weight_decay},
            {"adam_epsilon", config.adam_epsilon},
            {"max_grad_norm", config.max_grad_norm},
            {"gradient_accumulation_steps", config.gradient_accumulation_steps}};
}

/// The options that decide what a step of tuning does, by name; the clip, its prompt, the model, the seed and the
/// number of steps are not among them. What came later is named where it is used, so that what was tuned before goes
/// on.
[[nodiscard]] inline nlohmann::json tuning_options_json(const reel::TuneAVideoConfig& config,
                                                        bool reference_checkpointing) {
    nlohmann::json options = optimizer_options_json(config);
    options.update({{"trainable_modules", config.trainable_modules},
                    {"gradient_checkpointing", config.gradient_checkpointing},
                    {"reference_checkpointing", reference_checkpointing}});
    if (config.use_8bit_adam) {
        options["use_8bit_adam"] = true;
    }
    if (config.mixed_precision != reel::MixedPrecision::no) {
        options["mixed_precision"] = reel::option_text(config.mixed_precision);
    }
    return options;
}

} // namespace editing
