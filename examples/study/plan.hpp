#pragma once
// What a study has to do: clips to tune on, inversions of them, and the cells that are sampled from those. Everything
// has a name that follows from all that its result depends on, so that a folder of that name is the result, whichever
// process made it and whenever.

#include <filesystem>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/io/files/file_name.hpp>
#include <reel/io/files/sha256.hpp>
#include <reel/io/video/picture_files.hpp>

#include "cells.hpp"

namespace study {

/// One clip under one set of the options that tuning depends on.
struct Tuning {
    std::string name; ///< of its folder
    nlohmann::json key;
    Cell cell; ///< the first that needs it: clip, prompt and options
};

/// One inversion of a tuned model's clip.
struct Inversion {
    std::string name;
    nlohmann::json key;
    std::size_t tuning = 0;
    bool keeps_all = false; ///< every step's latents, for masks and edit-friendly noise
    Cell cell;
};

struct Edit {
    std::string name;
    nlohmann::json key;
    std::size_t inversion = 0;
    Cell cell;
};

struct Plan {
    std::vector<Tuning> tunings;
    std::vector<Inversion> inversions;
    std::vector<Edit> edits; ///< the study's cells, in its order
};

namespace detail {

/// A part of a folder's name.
[[nodiscard]] inline std::string slug(std::string_view text) {
    return reel::file_name_of(text, 32);
}

[[nodiscard]] inline std::string named(const std::string& words, const nlohmann::json& key) {
    const std::string text = reel::json_text(key, "study");
    return words + "." + reel::sha256_hex(std::as_bytes(std::span(text))).substr(0, 10);
}

/// Of a clip's bytes: those of its file, or of its pictures in their order.
[[nodiscard]] inline std::string clip_hash(const std::filesystem::path& clip) {
    const auto pictures = reel::picture_files(clip);
    if (!pictures) {
        return reel::sha256_file(clip);
    }
    std::string hashes;
    for (const std::filesystem::path& picture : *pictures) {
        hashes += reel::sha256_file(picture) + "\n";
    }
    return reel::sha256_hex(std::as_bytes(std::span(hashes)));
}

/// What a clip is: its files' bytes, or the pixels that are drawn.
[[nodiscard]] inline nlohmann::json clip_key(const Cell& cell, std::map<std::string, std::string>& hashes) {
    const reel::TuneTrainData& data = cell.options.clip;
    auto [hash, fresh] = hashes.try_emplace(cell.drawn ? reel::concat_text(cell.drawn->world_seed, " ", cell.drawn->act,
                                                                           " ", cell.drawn->colour, " ",
                                                                           data.n_sample_frames, " ", data.width)
                                                       : cell.video.string());
    if (fresh) {
        try {
            hash->second = cell.drawn ? drawing_hash(cell) : clip_hash(cell.video);
        } catch (const reel::Error&) {
            hash->second = "cannot be read"; // its tuning says why
        }
    }
    if (cell.drawn) {
        return {{"world_seed", cell.drawn->world_seed},
                {"act", cell.drawn->act},
                {"colour", cell.drawn->colour},
                {"pixels", hash->second}};
    }
    return hash->second;
}

/// Puts what a cell's mask file holds in place of its name.
inline void put_mask_hash(nlohmann::json& key, const char* part, const Cell& cell,
                          std::map<std::string, std::string>& hashes) {
    const std::string& file = cell.options.edit.user_mask.file;
    if (file.empty() || !key.contains(part)) {
        return;
    }
    auto [hash, fresh] = hashes.try_emplace(file);
    if (fresh) {
        try {
            hash->second = clip_hash(file);
        } catch (const reel::Error&) {
            hash->second = "cannot be read"; // its edit says why
        }
    }
    key[part]["mask_file"] = hash->second;
}

/// The sampler's part in an inversion: inversions undo the steps of one sampler.
[[nodiscard]] inline nlohmann::json sampler_key(const SamplerChoice& sampler) {
    return {{"scheduler", sampler.scheduler}, {"config", sampler.config}};
}

} // namespace detail

/// What tells a study's models apart, and whether they are shown the masks.
struct StudyModel {
    std::string fingerprint;
    bool inpaints = false;
};

/// Groups the cells of a study. Throws Error when two cells are the same.
[[nodiscard]] inline Plan make_plan(const Study& study, const StudyModel& model) {
    Plan plan;
    std::map<std::string, std::string> hashes;
    std::map<std::string, std::size_t> tunings;
    std::map<std::string, std::size_t> inversions;
    std::map<std::string, std::size_t> edits;
    for (const Cell& cell : study.cells) {
        const std::string words = detail::slug(cell.object) + "." + detail::slug(cell.clip);
        nlohmann::json key = tuning_json(cell.options, study.seed);
        key.update({{"object", cell.object},
                    {"clip", cell.clip},
                    {"video", detail::clip_key(cell, hashes)},
                    {"prompt", cell.prompt},
                    {"model", model.fingerprint},
                    {"model_seed", study.seed}});
        detail::put_mask_hash(key, "cut_out", cell, hashes);
        if (model.inpaints) {
            key["painted"] = reel::options_json(cell.options.edit.user_mask);
            detail::put_mask_hash(key, "painted", cell, hashes);
        }
        const auto [tuning, new_tuning] = tunings.try_emplace(detail::named(words, key), plan.tunings.size());
        if (new_tuning) {
            plan.tunings.push_back({tuning->first, key, cell});
        }
        key = inversion_json(cell.options);
        key.update({{"tuning", tuning->first}});
        if (cell.options.edit.inverted()) {
            key["sampler"] = detail::sampler_key(cell.sampler);
        }
        if (cell.options.edit.edit_friendly()) {
            key["seed"] = cell.seed;
        }
        const auto [inversion, new_inversion] =
            inversions.try_emplace(detail::named(words, key), plan.inversions.size());
        if (new_inversion) {
            plan.inversions.push_back({inversion->first, key, tuning->second, false, cell});
        }
        plan.inversions[inversion->second].keeps_all |= cell.options.edit.keeps_trajectory();
        key = sampling_json(cell.options);
        key.update({{"inversion", inversion->first},
                    {"sampler", detail::sampler_key(cell.sampler)},
                    {"caption", cell.caption},
                    {"seed", cell.seed}});
        detail::put_mask_hash(key, "user_mask", cell, hashes);
        const auto [edit, new_edit] = edits.try_emplace(reel::json_text(key, "study"), plan.edits.size());
        reel::require(new_edit, "two cells are the same: ", cell.object, ", ", cell.clip, ", \"", cell.caption, "\", ",
                      cell.sampler.name, ", seed ", cell.seed,
                      "; two samplers or two values of a varied option make no difference");
        const std::string name = detail::named(words + "." + detail::slug(cell.caption) + "." +
                                                   detail::slug(cell.sampler.name) + "." + std::to_string(cell.seed),
                                               key);
        plan.edits.push_back({name, key, inversion->second, cell});
    }
    return plan;
}

/// Says on stdout what a plan has to do, into a folder.
inline void print_plan(const Plan& plan, const std::filesystem::path& root) {
    for (const Tuning& tuning : plan.tunings) {
        std::cout << "tune    " << tuning.name << ": \"" << reel::terminal_text(tuning.cell.prompt) << "\"\n";
    }
    for (const Inversion& inversion : plan.inversions) {
        std::cout << "invert  " << inversion.name << '\n';
    }
    for (const Edit& edit : plan.edits) {
        std::cout << "sample  " << edit.name << ": \"" << reel::terminal_text(edit.cell.caption) << "\"\n";
    }
    std::cout << plan.tunings.size() << " tunings, " << plan.inversions.size() << " inversions, " << plan.edits.size()
              << " cells in " << reel::terminal_text(root.string()) << '\n';
}

/// Every option of a cell, by name.
[[nodiscard]] inline nlohmann::json options_of(const Cell& cell, std::uint64_t seed) {
    nlohmann::json json = tuning_json(cell.options, seed);
    json.update(inversion_json(cell.options));
    json.update(sampling_json(cell.options));
    json.update({{"object", cell.object},
                 {"clip", cell.clip},
                 {"prompt", cell.prompt},
                 {"caption", cell.caption},
                 {"sampler", cell.sampler.name},
                 {"scheduler", cell.sampler.scheduler},
                 {"scheduler_config", cell.sampler.config},
                 {"seed", cell.seed},
                 {"model_seed", seed}});
    if (cell.drawn) {
        json["draw"] = {
            {"world_seed", cell.drawn->world_seed}, {"act", cell.drawn->act}, {"colour", cell.drawn->colour}};
    } else {
        json["video"] = cell.video.filename().string();
    }
    return json;
}

} // namespace study
