#pragma once
// A study's model stays what it was.

#include <filesystem>
#include <string>

#include <reel/io/records/digests.hpp>

#include "files.hpp"
#include "worker.hpp"

namespace study {

/// Throws Error when the results in a study's folder were made with another model that looks the same: names of results
/// follow from a few of its numbers (Worker::fingerprint()), and this compares all. Of a study's first run it is noted.
inline void check_model(const std::filesystem::path& root, const Worker& worker) {
    const std::filesystem::path folder = root / "models";
    reel::make_output_folder(folder);
    const std::filesystem::path file = folder / (worker.fingerprint().substr(0, 16) + ".json");
    const nlohmann::json now = reel::model_digests(worker.model().files, folder / "read.json");
    if (const auto before = finished_result(file)) {
        const std::string differs = reel::differing_file(*before, now);
        reel::require(differs.empty(), worker.model().folder.string(), ": the results in ", root.string(),
                      " were made with another model: its ", differs,
                      " is not what it was (SHA-256); use that model, or another output folder");
    } else {
        reel::write_json(file, now);
    }
}

} // namespace study
