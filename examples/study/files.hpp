#pragma once
// Files of a study's results beside its pictures: inverted latents, what a piece of work took, what a killed one left.

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <reel/core/version.hpp>
#include <reel/io/records/manifest.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/pipelines/any_pipeline.hpp>

#include "lock_folder.hpp"

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

/// Every step's latents, or the first and the last alone.
inline void write_trajectory(const std::filesystem::path& path, const reel::AnyTrajectory& trajectory, bool all) {
    reel::StateDict tensors;
    for (std::size_t i = 0; i < trajectory.latents.size(); ++i) {
        if (all || i == 0 || i + 1 == trajectory.latents.size()) {
            tensors.emplace("latents." + std::to_string(i), reel::to_file(trajectory.latents[i]));
        }
    }
    reel::write_safetensors(path, tensors);
}

/// What write_trajectory() wrote; `about` is the inversion's inversion.json. Steps that were not kept are undefined
/// tensors.
inline reel::AnyTrajectory read_trajectory(const reel::AnyPipeline& pipeline, const std::filesystem::path& path,
                                           const nlohmann::json& about) {
    reel::AnyTrajectory trajectory;
    trajectory.timesteps = about.at("timesteps").get<std::vector<double>>();
    trajectory.latents.resize(trajectory.timesteps.size() + 1);
    for (const auto& [name, tensor] : reel::read_safetensors(path)) {
        const std::size_t at = std::stoul(name.substr(name.find('.') + 1));
        trajectory.latents.at(at) = pipeline.upload(tensor, path.string() + ": " + name);
    }
    return trajectory;
}

/// Removes what in a folder has a name that begins so.
inline void remove_beginning_with(const std::filesystem::path& folder, const std::string& beginning) {
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
