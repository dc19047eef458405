#pragma once
// What a study is made of: its cells, each with everything that it is made from.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/pipelines/lora_options.hpp>

#include "study_options.hpp"

namespace study {

/// A clip that is drawn (examples/world/world.hpp) in place of one that is read.
struct DrawnClip {
    std::uint64_t world_seed = 0;
    std::string act = "swinging";
    std::string colour = "red";
};

/// The captions of a drawn clip: without the object, and with it. Throws Error for an unknown act or colour.
[[nodiscard]] std::pair<std::string, std::string> captions_of(const DrawnClip& drawn);

struct Cell;

/// The SHA-256 of a drawn cell's clip, which is drawn for it. Throws Error where it cannot be.
[[nodiscard]] std::string drawing_hash(const Cell& cell);

/// How edits are sampled.
struct SamplerChoice {
    std::string name;                                 ///< as tables show it
    std::string scheduler;                            ///< a name that make_scheduler() knows
    nlohmann::json config = nlohmann::json::object(); ///< laid over the model's scheduler_config.json
};

/// One edit.
struct Cell {
    std::string object;
    std::string clip;
    std::filesystem::path video; ///< empty for a drawn clip
    std::optional<DrawnClip> drawn;
    std::string prompt;  ///< what the clip shows
    std::string caption; ///< what the edit shall show
    SamplerChoice sampler;
    std::uint64_t seed = 0; ///< of sampling
    Options options;
    std::vector<std::string> varied; ///< values of Study::varied, as text
};

struct Study {
    std::string title;
    std::filesystem::path model;                                     ///< empty: the one that comes with reel
    reel::MixedPrecision mixed_precision = reel::MixedPrecision::no; ///< that it is loaded with
    reel::LoraOptions lora;                                          ///< merged into it
    std::filesystem::path output;                                    ///< empty: not given
    std::uint64_t seed = 33; ///< of tuning, and of the parameters that inflation adds
    std::vector<std::string> varied;
    std::vector<Cell> cells; ///< in the manifest's order: clips, captions, samplers, varied options, seeds
};

} // namespace study
