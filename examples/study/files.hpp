#pragma once
// Files of a study's results beside its pictures: inverted latents, what a piece of work took, what a killed one left.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <reel/core/version.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/records/manifest.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/pipelines/any_pipeline.hpp>

#include "lock_folder.hpp"

namespace study {

/// A JSON object that a study wrote. Every Error names the file.
class ResultFile {
public:
    explicit ResultFile(const std::filesystem::path& path) : where_(path.string()), json_(reel::read_json(path)) {
        reel::require(json_.is_object(), where_, ": expected a JSON object; remove the file to have it made again");
    }

    [[nodiscard]] const nlohmann::json& json() const { return json_; }

    /// The value of a key.
    template <class T = nlohmann::json>
    [[nodiscard]] T at(const char* key) const {
        try {
            return json_.at(key).get<T>();
        } catch (const nlohmann::json::exception&) {
            reel::fail(where_, ": \"", key,
                       "\" is missing, or no value of its kind; remove the file to have it made again");
        }
    }

    /// A text, "" where there is none.
    [[nodiscard]] std::string text(const char* key) const {
        const auto found = json_.find(key);
        return found != json_.end() && found->is_string() ? found->get<std::string>() : "";
    }

private:
    std::string where_;
    nlohmann::json json_;
};

/// The object in a file that a piece of work writes last, or nothing where it is not there or is no such thing: then
/// the work is not done.
[[nodiscard]] inline std::optional<nlohmann::json> finished_result(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
        return std::nullopt;
    }
    try {
        return ResultFile(path).json();
    } catch (const reel::Error&) {
        return std::nullopt;
    }
}

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
    for (std::size_t i = 0; i < trajectory.outputs.size(); ++i) {
        tensors.emplace("outputs." + std::to_string(i), reel::to_file(trajectory.outputs[i]));
    }
    reel::write_safetensors(path, tensors);
}

/// What write_trajectory() wrote; `about` is the inversion's inversion.json. Steps that were not kept are undefined
/// tensors.
inline reel::AnyTrajectory read_trajectory(const reel::AnyPipeline& pipeline, const std::filesystem::path& path,
                                           const ResultFile& about) {
    reel::AnyTrajectory trajectory;
    trajectory.timesteps = about.at<std::vector<double>>("timesteps");
    trajectory.latents.resize(trajectory.timesteps.size() + 1);
    for (const auto& [name, tensor] : reel::read_safetensors(path)) {
        const std::string digits = name.substr(std::min(name.size(), name.find('.') + 1));
        const bool number =
            !digits.empty() && digits.size() < 9 && digits.find_first_not_of("0123456789") == digits.npos;
        const std::size_t at = number ? std::stoul(digits) : trajectory.latents.size();
        reel::require(at < trajectory.latents.size(), path.string(), ": tensor \"", name,
                      "\" is none of the inversion's ", trajectory.latents.size(), " latents");
        const bool output = name.starts_with("outputs.");
        if (output) {
            trajectory.outputs.resize(trajectory.timesteps.size());
        }
        (output ? trajectory.outputs : trajectory.latents).at(at) =
            pipeline.upload(tensor, path.string() + ": " + name);
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
