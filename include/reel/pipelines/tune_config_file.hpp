#pragma once
// Tuning configurations as YAML files. Needs yaml-cpp (target reel::io).

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/io/config/options.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/pipelines/tune_config.hpp>

namespace reel {

namespace detail {

/// The reference's sampling function takes these as well; only what changes nothing is supported.
inline constexpr std::array<std::string_view, 5> neutral_validation_keys{"num_videos_per_prompt", "output_type",
                                                                         "return_dict", "callback", "callback_steps"};

/// Throws Error for a key that no configuration has, before anything else: a misspelt name is a better message than
/// the missing key it leaves behind. Suggests the nearest key of the group, or the group that the key belongs to.
inline void check_known_tune_keys(const YamlNode& root, const std::string& where) {
    std::vector<std::string> validation = option_names<TuneValidationData>();
    validation.insert(validation.end(), neutral_validation_keys.begin(), neutral_validation_keys.end());
    const std::array<std::pair<std::string, std::vector<std::string>>, 3> groups{
        {{"", option_names<TuneAVideoConfig>()},
         {"train_data.", option_names<TuneTrainData>()},
         {"validation_data.", validation}}};
    const auto has = [](const std::vector<std::string>& names, const std::string& name) {
        return std::ranges::find(names, name) != names.end();
    };
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
            fail(where, ":", key.line, ": ", prefix, key.name, ": unknown key", hint);
        }
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
        if (std::ranges::find(neutral_validation_keys, group.keys[i].name) != neutral_validation_keys.end()) {
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

/// Reads a tuning configuration, as Tune-A-Video's `--config` does. Keys that are absent keep their defaults, except
/// that the validation clip's length and size are then those of the training clip. An unknown key is an error that
/// suggests the nearest. Throws Error that starts with "file:line: key path".
[[nodiscard]] inline TuneAVideoConfig parse_tune_config(YamlNode root, const std::string& where) {
    detail::check_known_tune_keys(root, where);
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
/// which is for GPUs. The slowest choice on a CPU shall be nobody's by default.
[[nodiscard]] inline TuneAVideoConfig read_program_config(const std::filesystem::path& path) {
    TuneAVideoConfig config = read_tune_config(path);
    if (read_yaml(path).find("mixed_precision") == nullptr) {
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
