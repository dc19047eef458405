#pragma once
// How a UNet is tuned on one clip.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <reel/core/options.hpp>
#include <reel/optim/lr_scheduler.hpp>

namespace reel {

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(LrScheduleKind) {
    return lr_schedule_names;
}

/// Of the frozen weights and of activations; what trains, its optimizer, latents and the loss are float.
enum class MixedPrecision { no, fp16, bf16 };

inline constexpr std::array mixed_precision_names{
    NamedValue{"no", MixedPrecision::no},
    NamedValue{"fp16", MixedPrecision::fp16},
    NamedValue{"bf16", MixedPrecision::bf16},
};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(MixedPrecision) {
    return mixed_precision_names;
}

/// What a tuning changes: the weights of modules, as the reference does, or low-rank factors beside them.
enum class TuneKind { full, lora };

inline constexpr std::array tune_kind_names{NamedValue{"full", TuneKind::full}, NamedValue{"lora", TuneKind::lora}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(TuneKind) {
    return tune_kind_names;
}

/// Layers that a LoRA has factors for: all projections of attention, those within frames and to the text, those along
/// frames (MotionDirector's two paths, Zhao et al. 2023, arXiv:2310.08465), or what trainable_modules names.
enum class LoraLayers { attention, spatial, temporal, trainable_modules };

inline constexpr std::array lora_layers_names{
    NamedValue{"attention", LoraLayers::attention},
    NamedValue{"spatial", LoraLayers::spatial},
    NamedValue{"temporal", LoraLayers::temporal},
    NamedValue{"trainable_modules", LoraLayers::trainable_modules},
};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(LoraLayers) {
    return lora_layers_names;
}

/// Whose names a LoRA's file has: sd-scripts' (kohya), or those of PEFT as diffusers writes them.
enum class LoraNaming { kohya, peft };

inline constexpr std::array lora_naming_names{NamedValue{"kohya", LoraNaming::kohya},
                                              NamedValue{"peft", LoraNaming::peft}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(LoraNaming) {
    return lora_naming_names;
}

/// Names and defaults are Tune-A-Video's (showlab/Tune-A-Video at 7d4a89a, train_tuneavideo.py), in the order of its
/// files; the last four are reel's.
struct TuneOptions {
    std::vector<std::string> trainable_modules{"attn1.to_q", "attn2.to_q", "attn_temp"};
    int train_batch_size = 1;
    int max_train_steps = 500;
    double learning_rate = 3e-5;
    bool scale_lr = false;
    LrScheduleKind lr_scheduler = LrScheduleKind::constant;
    int lr_warmup_steps = 0;
    double adam_beta1 = 0.9;
    double adam_beta2 = 0.999;
    double adam_weight_decay = 1e-2;
    double adam_epsilon = 1e-8;
    double max_grad_norm = 1.0;
    int gradient_accumulation_steps = 1; ///< noise draws per update, whose gradients are averaged
    bool gradient_checkpointing = true;
    int checkpointing_steps = 500;
    std::optional<std::string> resume_from_checkpoint{}; ///< "latest", or a checkpoint's name
    MixedPrecision mixed_precision = MixedPrecision::fp16;
    bool use_8bit_adam = false;
    TuneKind tune = TuneKind::full;
    int rank = 4;
    LoraLayers lora_layers = LoraLayers::attention;
    LoraNaming lora_names = LoraNaming::kohya;

    bool operator==(const TuneOptions&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"trainable_modules", "endings of the names of the modules that train", {}, "module name"},
              self.trainable_modules);
        visit(Option{"train_batch_size", "1: one clip is one item; gradient_accumulation_steps makes larger batches"},
              self.train_batch_size);
        visit(Option{"max_train_steps", "tuning steps; 0 leaves the model as it is", at_least(0)},
              self.max_train_steps);
        visit(Option{"learning_rate", "of AdamW", from_to(0, 1)}, self.learning_rate);
        visit(Option{"scale_lr", "multiply the learning rate by gradient_accumulation_steps"}, self.scale_lr);
        visit(Option{"lr_scheduler", "how the learning rate goes"}, self.lr_scheduler);
        visit(Option{"lr_warmup_steps", "in which it rises", at_least(0)}, self.lr_warmup_steps);
        visit(Option{"adam_beta1", "AdamW's mean of gradients", from_below(0, 1)}, self.adam_beta1);
        visit(Option{"adam_beta2", "and of their squares", from_below(0, 1)}, self.adam_beta2);
        visit(Option{"adam_weight_decay", "of AdamW", from_to(0, 1e6)}, self.adam_weight_decay);
        visit(Option{"adam_epsilon", "of AdamW", from_to(0, 1)}, self.adam_epsilon);
        visit(Option{"max_grad_norm", "gradients are scaled down to this norm", above(0)}, self.max_grad_norm);
        visit(
            Option{"gradient_accumulation_steps", "noise draws per update, whose gradients are averaged", at_least(1)},
            self.gradient_accumulation_steps);
        visit(Option{"gradient_checkpointing", "less memory for one more forward pass"}, self.gradient_checkpointing);
        visit(Option{"checkpointing_steps", "checkpoint after every so many steps", at_least(1)},
              self.checkpointing_steps);
        visit(Option{"resume_from_checkpoint", "latest, or a checkpoint's name; nothing: start afresh"},
              self.resume_from_checkpoint);
        visit(Option{"mixed_precision", "16 bits for frozen weights and activations; what trains stays float32"},
              self.mixed_precision);
        visit(Option{"use_8bit_adam", "AdamW's moments in 8 bits"}, self.use_8bit_adam);
        visit(Option{"tune", "full: the weights of trainable_modules; lora: low-rank factors beside weights"},
              self.tune);
        visit(Option{"rank", "of a LoRA's factors", from_to(1, 1024)}, self.rank);
        visit(Option{"lora_layers", "layers that have factors: attention (all), its halves spatial and temporal, or "
                                    "trainable_modules"},
              self.lora_layers);
        visit(Option{"lora_names", "names in the LoRA's file: kohya or peft"}, self.lora_names);
    }

    /// What must fit together, beyond ranges.
    void check(const KeyLocator& locate) const {
        require(train_batch_size == 1, locate("train_batch_size"), ": expected 1, found ", train_batch_size,
                "; one clip is one item, use gradient_accumulation_steps for larger batches");
        const TuneOptions usual;
        const auto only_lora = [&](const char* name, bool set) {
            require(tune == TuneKind::lora || !set, locate(name), ": is of a LoRA, and what is tuned is full; give ",
                    locate("tune"), " lora");
        };
        only_lora("rank", rank != usual.rank);
        only_lora("lora_layers", lora_layers != usual.lora_layers);
        only_lora("lora_names", lora_names != usual.lora_names);
        require(tune == TuneKind::full || lora_layers == LoraLayers::trainable_modules ||
                    trainable_modules == usual.trainable_modules,
                locate("trainable_modules"), ": of a LoRA ", locate("lora_layers"), " says what trains; give ",
                locate("lora_layers"), " trainable_modules for these");
    }

    /// Endings of the names of the modules whose layers a LoRA has factors for.
    [[nodiscard]] std::vector<std::string> lora_modules() const {
        switch (lora_layers) {
        case LoraLayers::spatial:
            return {"attn1", "attn2"};
        case LoraLayers::temporal:
            return {"attn_temp"};
        case LoraLayers::trainable_modules:
            return trainable_modules;
        case LoraLayers::attention:
            break;
        }
        return {"attn1", "attn2", "attn_temp"};
    }

    /// With scale_lr, times the items of an update.
    [[nodiscard]] double scaled_learning_rate() const {
        return scale_lr ? learning_rate * gradient_accumulation_steps * train_batch_size : learning_rate;
    }
};

/// Where the reference does something else than it says, reel does what it says, unless these are set.
struct ReferenceOptions {
    bool reference_checkpointing = false;
    bool reference_inversion = false;

    bool operator==(const ReferenceOptions&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"reference_checkpointing",
                     "leave the down blocks untrained, as the reference's gradient checkpointing does"},
              self.reference_checkpointing);
        visit(Option{"reference_inversion",
                     "invert with the epsilon formula whatever the model predicts, as the reference does"},
              self.reference_inversion);
    }
};

} // namespace reel
