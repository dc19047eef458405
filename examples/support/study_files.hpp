#pragma once
// Files of a study's results beside its pictures: inverted latents, what a piece of work took, what a killed one left.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <reel/core/version.hpp>
#include <reel/io/records/manifest.hpp>

#include "editing.hpp"
#include "study_lock.hpp"

namespace study {

/// A number for a JSON file, which has neither infinity (equal clips) nor NaN (nothing to measure).
inline nlohmann::json number(double value) {
    return std::isnan(value) ? nlohmann::json() : std::isinf(value) ? nlohmann::json("inf") : nlohmann::json(value);
}

/// What it took, for those who want to know. Differs from run to run, and is no part of the results.
inline void write_record(const std::filesystem::path& folder, double seconds, int threads) {
    reel::write_json(folder / "record.json", {{"finished", reel::utc_time()},
                                              {"host", detail::this_process().host},
                                              {"seconds", seconds},
                                              {"threads", threads},
                                              {"reel", reel::version}});
}

inline void write_trajectory(const std::filesystem::path& path, const editing::Trajectory& trajectory, bool all) {
    reel::StateDict tensors;
    for (std::size_t i = 0; i < trajectory.latents.size(); ++i) {
        if (all || i == 0 || i + 1 == trajectory.latents.size()) {
            tensors.emplace("latents." + std::to_string(i), reel::to_file(trajectory.latents[i]));
        }
    }
    reel::write_safetensors(path, tensors);
}

/// Steps that were not kept are undefined tensors.
inline editing::Trajectory read_trajectory(editing::Cpu& cpu, const std::filesystem::path& path,
                                           const nlohmann::json& about) {
    const reel::StateDict tensors = reel::read_safetensors(path);
    editing::Trajectory trajectory;
    trajectory.timesteps = about.at("timesteps").get<std::vector<double>>();
    trajectory.latents.resize(trajectory.timesteps.size() + 1);
    for (const auto& [name, tensor] : tensors) {
        const std::size_t at = std::stoul(name.substr(name.find('.') + 1));
        trajectory.latents.at(at) = reel::from_file<float>(cpu, tensor, path.string() + ": " + name);
    }
    return trajectory;
}

inline void remove_temporaries(const std::filesystem::path& folder, const std::string& beginning) {
    std::error_code ignored;
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        if (entry.path().filename().string().starts_with(beginning)) {
            found.push_back(entry.path());
        }
    }
    for (const auto& path : found) {
        std::filesystem::remove_all(path, ignored);
    }
}

} // namespace study
