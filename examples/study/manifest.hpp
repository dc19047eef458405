#pragma once
// A study's manifest: objects x clips x captions x samplers x seeds x whatever is varied, in one YAML file.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>

#include "cells.hpp"

namespace study {

namespace detail {

using reel::YamlNode;
using reel::YamlReader;

/// A scalar as JSON has it: a boolean, a number or text; lists of them.
[[nodiscard]] inline nlohmann::json as_json(const YamlNode& node) {
    if (node.kind == YamlNode::Kind::list) {
        nlohmann::json list = nlohmann::json::array();
        for (const YamlNode& item : node.items) {
            list.push_back(as_json(item));
        }
        return list;
    }
    if (node.kind == YamlNode::Kind::null) {
        return nullptr;
    }
    if (!node.quoted) {
        if (const auto boolean = reel::detail::yaml_bool(node.text)) {
            return *boolean;
        }
        if (const auto integer = reel::detail::yaml_number<std::int64_t>(node.text)) {
            return *integer;
        }
        if (const auto number = reel::detail::yaml_number<double>(node.text)) {
            return *number;
        }
    }
    return node.text;
}

/// A value for tables.
[[nodiscard]] inline std::string as_text(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::list) {
        return node.kind == YamlNode::Kind::null ? "none" : node.text;
    }
    std::string text;
    for (const YamlNode& item : node.items) {
        text += (text.empty() ? "" : " ") + as_text(item);
    }
    return text;
}

class ManifestReader {
public:
    explicit ManifestReader(const std::filesystem::path& path)
        : where_(path.string()), folder_(path.parent_path()), top_(YamlReader::from_file(path)) {}

    [[nodiscard]] Study read() {
        study_.title = top_.get<std::string>("title", "");
        study_.model = resolved(top_.get<std::string>("model", ""));
        reel::detail::read_option(top_, "mixed_precision", study_.mixed_precision);
        reel::read_options(top_, study_.lora);
        for (std::string& lora : study_.lora.lora) {
            const reel::LoraUse use = reel::lora_use(lora, top_.location("lora"));
            lora = reel::concat_text(resolved(use.file.string()).string(), ":", reel::option_text(use.scale));
        }
        study_.output = resolved(top_.get<std::string>("output", ""));
        study_.seed = top_.get("seed", study_.seed);
        seeds_ = top_.get("seeds", std::vector<std::uint64_t>{study_.seed});
        require_list(top_, "seeds", seeds_);
        apply(top_, all_, {});
        read_vary();
        read_samplers();
        YamlReader objects = top_.section("objects");
        top_.finish();
        reel::require(!objects.node().keys.empty(), where_, ": objects: expected at least one");
        for (const YamlNode::Key& object : objects.node().keys) {
            read_object(object, objects.section(object.name));
        }
        check_cells();
        return std::move(study_);
    }

private:
    /// Options and who has set them, so that a value is never silently replaced by a varied one.
    struct Layer {
        Options options;
        std::vector<std::string> keys;
    };

    [[nodiscard]] std::filesystem::path resolved(const std::string& path) const {
        const std::filesystem::path whole = (folder_ / path).lexically_normal();
        return path.empty() ? std::filesystem::path() : whole.has_filename() ? whole : whole.parent_path();
    }

    [[nodiscard]] std::string place(int line) const { return reel::concat_text(where_, ":", line, ": "); }

    template <class Items>
    static void require_list(const YamlReader& reader, const char* key, const Items& items) {
        reel::require(!items.empty(), reader.location(key), ": expected at least one item");
        for (std::size_t i = 0; i < items.size(); ++i) {
            for (std::size_t j = 0; j < i; ++j) {
                reel::require(items[i] != items[j], reader.location(key), ": ", items[i], " is there twice (items ",
                              j + 1, " and ", i + 1, "); every cell would be made twice");
            }
        }
    }

    void check_name(const std::string& name, int line, const char* what) const {
        reel::require(!name.empty() && name.size() <= 80, place(line), what, " \"", name.substr(0, 80),
                      "\": expected a name of 1 to 80 bytes");
    }

    /// Reads a group's `options`, if it has them, over `layer`.
    void apply(YamlReader& reader, Layer& layer, const Layer& below) {
        layer = below;
        if (reader.raw("options") == nullptr) {
            return;
        }
        YamlReader group = reader.section("options");
        for (const YamlNode::Key& key : group.node().keys) {
            layer.keys.push_back(key.name);
            const auto varied = reel::ranges::find(study_.varied, key.name);
            reel::require(varied == study_.varied.end(), place(key.line), "options.", key.name,
                          ": this option is varied in \"vary\"; give it in one place");
        }
        read_options(group, layer.options);
    }

    void read_vary() {
        if (top_.raw("vary") == nullptr) {
            return;
        }
        const YamlReader vary = top_.section("vary");
        for (std::size_t i = 0; i < vary.node().keys.size(); ++i) {
            const YamlNode::Key& key = vary.node().keys[i];
            const YamlNode& values = vary.node().items[i];
            reel::require(reel::ranges::find(all_.keys, key.name) == all_.keys.end(), place(key.line), "vary.",
                          key.name, ": this option is also in \"options\"; give it in one place");
            reel::require(values.kind == YamlNode::Kind::list && !values.items.empty(), place(key.line), "vary.",
                          key.name, ": expected a list of values, found ", reel::describe(values));
            std::vector<YamlNode> groups;
            for (const YamlNode& value : values.items) {
                YamlNode group;
                group.kind = YamlNode::Kind::map;
                group.line = value.line;
                group.keys.push_back(key);
                group.items.push_back(value);
                Options trial = all_.options; // says at once what is wrong with the value
                read_options({group, where_, "vary"}, trial);
                for (const YamlNode& other : groups) {
                    reel::require(as_json(other.items.front()) != as_json(value), place(value.line), "vary.", key.name,
                                  ": ", as_text(value), " is there twice; every cell would be made twice");
                }
                groups.push_back(std::move(group));
            }
            study_.varied.push_back(key.name);
            vary_.push_back(std::move(groups));
        }
    }

    void read_samplers() {
        const YamlNode* list = top_.raw("samplers");
        if (list == nullptr) {
            samplers_.push_back({{"ddim", "ddim"}, std::nullopt});
            return;
        }
        reel::require(list->kind == YamlNode::Kind::list && !list->items.empty(), top_.location("samplers"),
                      ": expected a list of samplers, found ", reel::describe(*list));
        for (const YamlNode& item : list->items) {
            Entry entry;
            if (item.kind == YamlNode::Kind::scalar) {
                entry.sampler = {item.text, item.text};
            } else {
                YamlReader reader(item, where_, "samplers");
                entry.sampler.scheduler = reader.require<std::string>("scheduler");
                entry.sampler.name = reader.get("name", entry.sampler.scheduler);
                read_config(reader, entry.sampler);
                static_cast<void>(reader.raw("options"));
                reader.finish();
                entry.reader = std::move(reader);
            }
            check_name(entry.sampler.name, item.line, "samplers:");
            for (const Entry& other : samplers_) {
                reel::require(other.sampler.name != entry.sampler.name, place(item.line), "samplers: \"",
                              entry.sampler.name, "\" is there twice; give one of them another name");
            }
            if (entry.reader) {
                Layer trial; // says at once what is wrong with its options
                apply(*entry.reader, trial, all_);
            }
            samplers_.push_back(std::move(entry));
        }
    }

    void read_config(YamlReader& reader, SamplerChoice& sampler) const {
        if (reader.raw("config") != nullptr) {
            const YamlReader config = reader.section("config");
            for (std::size_t i = 0; i < config.node().keys.size(); ++i) {
                sampler.config[config.node().keys[i].name] = as_json(config.node().items[i]);
            }
        }
    }

    void read_object(const YamlNode::Key& object, YamlReader reader) {
        check_name(object.name, object.line, "objects:");
        Layer layer;
        apply(reader, layer, all_);
        Cell cell;
        cell.object = object.name;
        cell.prompt = reader.get<std::string>("prompt", "");
        const auto captions = reader.get("captions", std::vector<std::string>{});
        YamlReader clips = reader.section("clips");
        reader.finish();
        reel::require(!clips.node().keys.empty(), reader.location("clips"), ": expected at least one clip");
        for (std::size_t i = 0; i < clips.node().keys.size(); ++i) {
            const YamlNode::Key& key = clips.node().keys[i];
            check_name(key.name, key.line, "clips:");
            cell.clip = key.name;
            read_clip(clips, key, cell, captions, layer);
        }
    }

    void read_clip(YamlReader& clips, const YamlNode::Key& key, Cell cell, std::vector<std::string> captions,
                   const Layer& below) {
        const std::string here = clips.location(key.name);
        Layer layer = below;
        if (clips.node().find(key.name)->kind == YamlNode::Kind::scalar) {
            cell.video = resolved(clips.require<std::string>(key.name));
        } else {
            YamlReader reader = clips.section(key.name);
            cell.video = resolved(reader.get<std::string>("video", ""));
            cell.prompt = reader.get("prompt", cell.prompt);
            captions = reader.get("captions", captions);
            if (reader.raw("draw") != nullptr) {
                read_drawn(reader.section("draw"), cell, captions);
            }
            apply(reader, layer, below);
            reader.finish();
        }
        reel::require(cell.drawn.has_value() == cell.video.empty(), here,
                      ": expected a file (\"video\") or something to draw (\"draw\"), and not both");
        reel::require(!cell.prompt.empty(), here,
                      ": \"prompt\" is missing, here and in the object: what the clip shows");
        reel::require(!captions.empty(), here,
                      ": \"captions\" is missing, here and in the object: what edits shall show");
        for (std::size_t i = 0; i < captions.size(); ++i) {
            reel::require(!captions[i].empty(), here, ": caption ", i + 1, " is empty");
            const auto first = reel::ranges::find(captions, captions[i]) - captions.begin();
            reel::require(first == static_cast<std::ptrdiff_t>(i), here, ": the caption \"", captions[i],
                          "\" is there twice; every cell would be made twice");
            cell.caption = captions[i];
            for (Entry& entry : samplers_) {
                Layer own = layer;
                if (entry.reader) {
                    apply(*entry.reader, own, layer);
                }
                cell.sampler = entry.sampler;
                cell.options = own.options;
                vary(cell, 0);
            }
        }
    }

    void read_drawn(YamlReader reader, Cell& cell, std::vector<std::string>& captions) const {
        DrawnClip drawn;
        drawn.world_seed = reader.get("world_seed", drawn.world_seed);
        drawn.act = reader.get("act", drawn.act);
        drawn.colour = reader.get("colour", drawn.colour);
        reader.finish();
        std::pair<std::string, std::string> words;
        try {
            words = captions_of(drawn);
        } catch (const reel::Error& error) {
            reel::fail(place(reader.node().line), "draw: ", error.what());
        }
        cell.drawn = drawn;
        cell.prompt = cell.prompt.empty() ? words.first : cell.prompt;
        if (captions.empty()) {
            captions = {words.second};
        }
    }

    /// Every combination of the varied options from number `depth` on, and of the seeds.
    void vary(Cell cell, std::size_t depth) {
        if (depth == vary_.size()) {
            std::string& mask = cell.options.edit.user_mask.file;
            mask = resolved(mask).string();
            for (const std::uint64_t seed : seeds_) {
                cell.seed = seed;
                reel::require(study_.cells.size() < 100'000, where_, ": more than 100000 cells");
                study_.cells.push_back(cell);
            }
            return;
        }
        for (const YamlNode& group : vary_[depth]) {
            Cell next = cell;
            read_options({group, where_, "vary"}, next.options);
            next.varied.push_back(as_text(group.items.front()));
            vary(std::move(next), depth + 1);
        }
    }

    void check_cells() const {
        for (const Cell& cell : study_.cells) {
            std::string where = reel::concat_text(where_, ": ", cell.object, ", ", cell.clip, ", ", cell.sampler.name);
            for (std::size_t i = 0; i < cell.varied.size(); ++i) {
                where += ", " + study_.varied[i] + " " + cell.varied[i];
            }
            check_options(cell.options, where);
            if (cell.drawn) {
                check_drawn_options(cell.options, where);
            }
        }
    }

    struct Entry {
        SamplerChoice sampler;
        std::optional<YamlReader> reader; ///< with its options
    };

    std::string where_;
    std::filesystem::path folder_;
    YamlReader top_;
    Study study_;
    Layer all_;
    std::vector<std::uint64_t> seeds_;
    std::vector<Entry> samplers_;
    std::vector<std::vector<YamlNode>> vary_; ///< one-key groups, for every varied option
};

} // namespace detail

/// Reads a manifest; docs/study.md describes it. Paths are relative to its folder. Throws Error with file and line for
/// unknown keys, values of other types or out of range, and what would make a cell twice.
[[nodiscard]] inline Study read_manifest(const std::filesystem::path& path) {
    return detail::ManifestReader(path).read();
}

} // namespace study
