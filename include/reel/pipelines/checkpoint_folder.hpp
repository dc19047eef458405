#pragma once
// Names of folders that a tuning writes. Needs nlohmann-json (target reel::io).

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>

namespace reel {

/// Throws Error when `output` is the folder `source`: saving a tuned model there would replace the original.
inline void require_other_folder(const std::filesystem::path& output, const std::filesystem::path& source) {
    std::error_code ignored;
    require(!std::filesystem::equivalent(output, source, ignored), "cannot save the tuned model into ", output.string(),
            ": it is the folder of the model it was tuned from; choose another");
}

/// What a checkpoint must agree with to be continued: a run's name for itself.
struct CheckpointIdentity {
    nlohmann::json options; ///< everything that changes the numbers of a run
};

/// The checkpoint-N with the largest N in a folder, or nothing.
[[nodiscard]] inline std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& output) {
    std::optional<std::filesystem::path> latest;
    long long largest = -1;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(output, error)) {
        const std::string name = entry.path().filename().string();
        constexpr std::string_view prefix = "checkpoint-";
        const std::string digits = name.starts_with(prefix) ? name.substr(prefix.size()) : "";
        if (digits.empty() || digits.size() > 12 || digits.find_first_not_of("0123456789") != std::string::npos) {
            continue;
        }
        if (const long long number = std::stoll(digits); number > largest) {
            largest = number;
            latest = entry.path();
        }
    }
    return latest;
}

} // namespace reel
