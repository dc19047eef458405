#pragma once
// Tuning configurations as YAML files. Needs yaml-cpp (target reel::io).

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/config/options.hpp>
#include <reel/io/config/yaml_references.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/pipelines/tune_config.hpp>

namespace reel {

namespace detail {

/// The reference's sampling function takes these as well; only what changes nothing is supported.
inline constexpr std::array<std::string_view, 5> neutral_validation_keys{"num_videos_per_prompt", "output_type",
                                                                         "return_dict", "callback", "callback_steps"};

/// Keys that tell a configuration of a method that grew out of Tune-A-Video.
struct FollowerKey {
    std::string_view key;
    std::string_view method;
};
inline constexpr std::array<FollowerKey, 22> follower_keys{{{"train_dataset", "FateZero"},
                                                            {"validation_sample_logger_config", "FateZero"},
                                                            {"test_pipeline_config", "FateZero"},
                                                            {"model_config", "FateZero"},
                                                            {"is_word_swap", "Video-P2P"},
                                                            {"blend_word", "Video-P2P"},
                                                            {"eq_params", "Video-P2P"},
                                                            {"image_path", "Video-P2P"},
                                                            {"input_data", "vid2vid-zero"},
                                                            {"use_sc_attn", "vid2vid-zero"},
                                                            {"use_st_attn", "vid2vid-zero"},
                                                            {"st_attn_idx", "vid2vid-zero"},
                                                            {"input_images_path", "Ground-A-Video"},
                                                            {"source_phrases", "Ground-A-Video"},
                                                            {"phrases", "Ground-A-Video"},
                                                            {"dataset_types", "Text-To-Video-Finetuning"},
                                                            {"use_unet_lora", "Text-To-Video-Finetuning"},
                                                            {"offset_noise_strength", "Text-To-Video-Finetuning"},
                                                            {"extra_unet_params", "Text-To-Video-Finetuning"},
                                                            {"trainable_text_modules", "Text-To-Video-Finetuning"},
                                                            {"control_config", "ControlVideo"},
                                                            {"pretrained_controlnet_path", "ControlVideo"}}};

inline void refuse_followers(const YamlNode& root, const std::string& where) {
    for (const YamlNode::Key& key : root.keys) {
        const auto* const found = ranges::find(follower_keys, key.name, &FollowerKey::key);
        require(found == follower_keys.end(), where, ":", key.line, ": this is a configuration of ",
                found == follower_keys.end() ? "" : found->method, " (", key.name,
                "), another method than Tune-A-Video, whose keys are read here");
    }
}

/// Throws Error that names every key that no configuration has, before anything else: a misspelt name is a better
/// message than the missing key it leaves behind. Suggests the nearest key of the group, or the group that the key
/// belongs to.
inline void check_known_tune_keys(const YamlNode& root, const std::string& where) {
    refuse_followers(root, where);
    std::vector<std::string> validation = option_names<TuneValidationData>();
    validation.insert(validation.end(), neutral_validation_keys.begin(), neutral_validation_keys.end());
    const std::array<std::pair<std::string, std::vector<std::string>>, 3> groups{
        {{"", option_names<TuneAVideoConfig>()},
         {"train_data.", option_names<TuneTrainData>()},
         {"validation_data.", validation}}};
    const auto has = [](const std::vector<std::string>& names, const std::string& name) {
        return ranges::find(names, name) != names.end();
    };
    std::string unknown;
    for (const auto& [prefix, own] : groups) {
        const YamlNode* group = prefix.empty() ? &root : root.find(prefix.substr(0, prefix.size() - 1));
        if (group == nullptr) {
            continue;
        }
        for (const YamlNode::Key& key : group->keys) {
            if (has(own, key.name)) {
                continue;
            }
            std::string hint = did_you_mean(key.name, own);
            for (auto other = groups.rbegin(); other != groups.rend(); ++other) {
                if (other->first != prefix && has(other->second, key.name)) {
                    hint = concat_text(" (did you mean \"", other->first, key.name, "\"?)");
                }
            }
            unknown += concat_text(unknown.empty() ? "" : "; ", where, ":", key.line, ": ", prefix, key.name,
                                   ": unknown key", hint);
        }
    }
    require(unknown.empty(), unknown);
}

/// Gives a key path a value where the file does not have it.
inline void supply(YamlNode& root, std::string_view path, YamlNode value) {
    const std::size_t dot = path.find('.');
    const std::string name(path.substr(0, dot));
    auto key = ranges::find(root.keys, name, &YamlNode::Key::name);
    if (key == root.keys.end()) {
        root.keys.push_back({name, root.line});
        root.items.emplace_back(
            dot == std::string_view::npos ? value : YamlNode{YamlNode::Kind::map, root.line, false, {}, {}, {}});
        key = std::prev(root.keys.end());
    }
    YamlNode& item = root.items[static_cast<std::size_t>(key - root.keys.begin())];
    if (dot != std::string_view::npos && item.kind == YamlNode::Kind::map) {
        supply(item, path.substr(dot + 1), std::move(value));
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

/// Checks the neutral keys of validation_data and takes them out; negative_prompt may be a list in the reference,
/// which then must have an item per prompt: one.
inline void simplify_validation_data(YamlNode& group, const std::string& where) {
    YamlReader data(group, where, "validation_data");
    require(data.get("num_videos_per_prompt", 1) == 1, data.location("num_videos_per_prompt"),
            ": only 1 is supported; repeat the prompt for more");
    require(data.get<std::string>("output_type", "tensor") == "tensor", data.location("output_type"),
            ": only \"tensor\" is supported");
    require(data.get("return_dict", true), data.location("return_dict"), ": only True is supported");
    require(data.get("callback_steps", 1) >= 1, data.location("callback_steps"), ": expected at least 1");
    require(!data.get_optional<std::string>("callback"), data.location("callback"),
            ": a configuration cannot name a function; only null is supported");
    for (std::size_t i = group.keys.size(); i-- > 0;) {
        const auto at = static_cast<std::ptrdiff_t>(i);
        if (ranges::find(neutral_validation_keys, group.keys[i].name) != neutral_validation_keys.end()) {
            group.keys.erase(group.keys.begin() + at);
            group.items.erase(group.items.begin() + at);
        } else if (group.keys[i].name == "negative_prompt" && group.items[i].kind == YamlNode::Kind::list) {
            require(data.require<std::vector<std::string>>("negative_prompt").size() == 1,
                    data.location("negative_prompt"), ": expected one text, found ", describe(group.items[i]));
            group.items[i] = YamlNode(group.items[i].items.front());
        }
    }
}

} // namespace detail

/// Holds the place of a text that an option supplies.
inline constexpr std::string_view supplied_later = "(supplied by an option)";

/// Reads a tuning configuration, as Tune-A-Video's `--config` does. Keys that are absent keep their defaults, except
/// that the validation clip's length and size are then those of the training clip. Unknown keys are an error that
/// names all and suggests the nearest of each. Merges and interpolations are those of OmegaConf. Throws Error that
/// starts with "file:line: key path".
///
/// `supplied`: key paths that others give afterwards. Where the file does not have them, a text holds their place.
[[nodiscard]] inline TuneAVideoConfig parse_tune_config(YamlNode root, const std::string& where,
                                                        const std::vector<std::string>& supplied = {}) {
    resolve_merges(root, where);
    detail::check_known_tune_keys(root, where);
    resolve_interpolations(root, where);
    for (const std::string& path : root.kind == YamlNode::Kind::map ? supplied : std::vector<std::string>{}) {
        const bool group = path == "validation_data";
        detail::supply(root, path,
                       {group ? YamlNode::Kind::map : YamlNode::Kind::scalar,
                        root.line,
                        true,
                        group ? std::string() : std::string(supplied_later),
                        {},
                        {}});
    }
    std::map<std::string, int, std::less<>> lines;
    detail::collect_key_lines(root, {}, lines);
    const auto given = [&](std::string_view key) { return lines.contains(key); };
    {
        YamlReader file(root, where);
        static_cast<void>(file.require<std::string>("pretrained_model_path"));
        static_cast<void>(file.require<std::string>("output_dir"));
        YamlReader train = file.section("train_data");
        static_cast<void>(train.require<std::string>("video_path"));
        static_cast<void>(train.require<std::string>("prompt"));
    }
    for (std::size_t i = 0; i < root.keys.size(); ++i) {
        if (root.keys[i].name == "validation_data" && root.items[i].kind == YamlNode::Kind::map) {
            detail::simplify_validation_data(root.items[i], where);
        } else if (root.keys[i].name == "mixed_precision" && root.items[i].kind == YamlNode::Kind::null) {
            root.items[i].kind = YamlNode::Kind::scalar; // null: none
            root.items[i].text = "no";
        } else if (root.keys[i].name == "mixed_precision") { // as other trainers spell it
            const std::string& text = root.items[i].text;
            require(text != "fp32" && text != "float32", where, ":", root.keys[i].line,
                    ": mixed_precision: expected one of no, fp16, bf16, found \"", text, "\" (did you mean \"no\"?)");
        }
    }
    TuneAVideoConfig c;
    YamlReader file(std::move(root), where);
    read_options(file, c);
    file.finish();
    const TuneTrainData& train = c.train_data;
    c.validation_data.video_length =
        given("validation_data.video_length") ? c.validation_data.video_length : train.n_sample_frames;
    c.validation_data.width = given("validation_data.width") ? c.validation_data.width : train.width;
    c.validation_data.height = given("validation_data.height") ? c.validation_data.height : train.height;
    if (c.resume_from_checkpoint == "") {
        c.resume_from_checkpoint.reset(); // as in the reference
    }
    c.validate([&](std::string_view key) {
        const auto line = lines.find(key);
        return line == lines.end() ? concat_text(where, ": ", key) : concat_text(where, ":", line->second, ": ", key);
    });
    return c;
}

/// Reads a tuning configuration from a file. See parse_tune_config.
[[nodiscard]] inline TuneAVideoConfig read_tune_config(const std::filesystem::path& path) {
    return parse_tune_config(read_yaml(path), path.string());
}

/// read_tune_config() for a program: a file that does not say mixed_precision gets `no` and not the reference's fp16,
/// which is for GPUs. The slowest choice on a CPU shall be nobody's by default. `supplied`: key paths that options
/// give, see parse_tune_config().
[[nodiscard]] inline TuneAVideoConfig read_program_config(const std::filesystem::path& path,
                                                          const std::vector<std::string>& supplied = {}) {
    YamlNode root = read_yaml(path);
    resolve_merges(root, path.string());
    const bool chosen = root.find("mixed_precision") != nullptr;
    TuneAVideoConfig config = parse_tune_config(std::move(root), path.string(), supplied);
    if (!chosen) {
        config.mixed_precision = MixedPrecision::no;
    }
    return config;
}

/// The configuration as YAML, every key written out: what read_tune_config and the reference read back as the same
/// values.
[[nodiscard]] inline std::string tune_config_text(const TuneAVideoConfig& config) {
    return options_yaml(config);
}

/// Writes a configuration file, complete or not at all (see AtomicFile).
inline void write_tune_config(const std::filesystem::path& path, const TuneAVideoConfig& config) {
    write_file(path, tune_config_text(config));
}

} // namespace reel
