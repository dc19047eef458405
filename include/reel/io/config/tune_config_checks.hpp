#pragma once
// What tune_config.hpp checks with: ranges, known keys, places. Needs yaml-cpp (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/nearest_name.hpp>
#include <reel/io/config/yaml.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// Turns a key path such as "train_data.width" into the start of a message.
using KeyLocator = std::function<std::string(std::string_view)>;

/// The key path itself: for values that came from no file.
[[nodiscard]] inline std::string bare_key(std::string_view key) {
    return std::string(key);
}

namespace detail {

struct TuneConfigChecks {
    const KeyLocator& locate;

    template <class... Parts>
    void that(bool condition, std::string_view key, const Parts&... parts) const {
        if (!condition) {
            fail(locate(key), ": ", parts...);
        }
    }

    void not_empty(std::string_view key, const std::string& value) const {
        that(!value.empty(), key, "expected a path, found nothing");
    }

    /// OmegaConf, which reads these files in the reference, gives `${...}` and `???` a meaning: not here, so not
    /// silently.
    void literal(std::string_view key, std::string_view value) const {
        that(value.find("${") == std::string_view::npos, key, "holds an interpolation ${...}, which is not supported; ",
             "write the value itself");
        that(value != "???", key, "is ???, which stands for a missing value");
    }

    void at_least(std::string_view key, int value, int least) const {
        that(value >= least, key, "expected at least ", least, ", found ", value);
    }

    /// The VAE makes one latent of 8 x 8 pixels.
    void picture_side(std::string_view key, int value) const {
        that(value >= 8 && value % 8 == 0 && value <= 16384, key,
             "expected a multiple of 8 from 8 to 16384 (pixels), found ", value);
    }

    void within(std::string_view key, double value, double low, double high) const { // NaN is not within
        that(value >= low && value <= high, key, "expected a number from ", low, " to ", high, ", found ", value);
    }

    void below(std::string_view key, double value, double low, double limit) const {
        that(value >= low && value < limit, key, "expected a number from ", low, " and below ", limit, ", found ",
             value);
    }

    void equal(std::string_view key, int value, std::string_view other_key, int other) const {
        that(value == other, key, "expected ", other, " as in ", other_key, ", found ", value,
             "; with use_inv_latent, sampling starts from the training clip's latent");
    }

    template <class Names>
    void one_of(std::string_view key, const std::string& value, const Names& names) const {
        std::string listed;
        for (const std::string_view name : names) {
            if (name == value) {
                return;
            }
            listed += (listed.empty() ? "" : ", ") + std::string(name);
        }
        that(false, key, "expected one of ", listed, ", found \"", value, "\"", did_you_mean(value, names));
    }
};

inline constexpr std::array<std::string_view, 7> train_data_keys{
    "video_path", "prompt", "n_sample_frames", "width", "height", "sample_start_idx", "sample_frame_rate"};

inline constexpr std::array<std::string_view, 15> validation_data_keys{
    "prompts",         "video_length", "width",          "height",        "num_inference_steps",   "guidance_scale",
    "negative_prompt", "eta",          "use_inv_latent", "num_inv_steps", "num_videos_per_prompt", "output_type",
    "return_dict",     "callback",     "callback_steps"};

inline constexpr std::array<std::string_view, 25> tune_config_keys{"pretrained_model_path",
                                                                   "output_dir",
                                                                   "train_data",
                                                                   "validation_data",
                                                                   "validation_steps",
                                                                   "trainable_modules",
                                                                   "train_batch_size",
                                                                   "max_train_steps",
                                                                   "learning_rate",
                                                                   "scale_lr",
                                                                   "lr_scheduler",
                                                                   "lr_warmup_steps",
                                                                   "adam_beta1",
                                                                   "adam_beta2",
                                                                   "adam_weight_decay",
                                                                   "adam_epsilon",
                                                                   "max_grad_norm",
                                                                   "gradient_accumulation_steps",
                                                                   "gradient_checkpointing",
                                                                   "checkpointing_steps",
                                                                   "resume_from_checkpoint",
                                                                   "mixed_precision",
                                                                   "use_8bit_adam",
                                                                   "enable_xformers_memory_efficient_attention",
                                                                   "seed"};

/// Throws Error for a key that no configuration has, before anything else: a misspelt name is a better message than
/// the missing key it leaves behind. Suggests the nearest key of the group, or the group that the key belongs to.
inline void check_known_tune_keys(const YamlNode& root, const std::string& where) {
    const auto check = [&](const YamlNode& group, std::string_view prefix, const auto& own) {
        for (const YamlNode::Key& key : group.keys) {
            if (std::ranges::find(own, key.name) != own.end()) {
                continue;
            }
            std::string hint = did_you_mean(key.name, own);
            const auto belongs = [&](std::string_view other_prefix, const auto& keys) {
                if (prefix != other_prefix && std::ranges::find(keys, key.name) != keys.end()) {
                    hint = concat_text(" (did you mean \"", other_prefix, key.name, "\"?)");
                }
            };
            belongs("validation_data.", validation_data_keys);
            belongs("train_data.", train_data_keys);
            belongs("", tune_config_keys);
            fail(where, ":", key.line, ": ", prefix, key.name, ": unknown key", hint);
        }
    };
    check(root, "", tune_config_keys);
    if (const YamlNode* data = root.find("train_data")) {
        check(*data, "train_data.", train_data_keys);
    }
    if (const YamlNode* data = root.find("validation_data")) {
        check(*data, "validation_data.", validation_data_keys);
    }
}

/// The line of every key, by key path.
inline void collect_key_lines(const YamlNode& node, const std::string& prefix,
                              std::map<std::string, int, std::less<>>& lines) {
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
        const std::string path = prefix + node.keys[i].name;
        lines.emplace(path, node.keys[i].line);
        collect_key_lines(node.items[i], path + ".", lines);
    }
}

[[nodiscard]] inline std::map<std::string, int, std::less<>> key_lines(const YamlNode& root) {
    std::map<std::string, int, std::less<>> lines;
    collect_key_lines(root, {}, lines);
    return lines;
}

} // namespace detail

} // namespace reel
