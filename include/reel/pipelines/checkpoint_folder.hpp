#pragma once
// What a tuning writes, by name. Needs nlohmann-json (target reel::io).

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/atomic_folder.hpp>

namespace reel {

/// The parts of a tuned model that save_tuned_pipeline() copies from the folder it was tuned from; beside them it
/// writes "scheduler", "unet" and model_index.json.
inline constexpr std::array copied_pipeline_parts{"tokenizer", "text_encoder", "vae"};

/// Throws Error where a part of a model or a checkpoint cannot have this name, or would take the place of a folder with
/// more in it than those have: they are replaced whole.
inline void check_part_folder(const std::filesystem::path& folder) {
    require_folder_name(folder);
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        const std::filesystem::path name = entry.path().filename();
        const std::string kind = name.extension().string();
        const bool usual = kind == ".json" || kind == ".bin" || kind == ".safetensors" || name == "merges.txt";
        std::error_code ignored;
        require((usual && entry.is_regular_file(ignored)) || name.string().starts_with(detail::temporary_prefix),
                "cannot replace folder ", folder.string(), ": it holds ", name.string(),
                ", which is of no model or checkpoint; move that away, or name another folder");
    }
}

/// Finds out before a tuning whether its result can be saved into a folder, which is made: nothing may be in the way of
/// any part. Throws Error.
inline void check_tuned_pipeline(const std::filesystem::path& output) {
    make_output_folder(output);
    for (const char* part : copied_pipeline_parts) {
        check_part_folder(output / part);
    }
    check_part_folder(output / "scheduler");
    check_part_folder(output / "unet");
    const AtomicFolder tried(output / "unet");
    const AtomicFile index(output / "model_index.json");
}

/// Where a tuning of so many steps leaves its state: OUTPUT/checkpoint-STEP.
[[nodiscard]] inline std::filesystem::path checkpoint_folder(const std::filesystem::path& output, index_t step) {
    return output / concat_text("checkpoint-", step);
}

/// The UNet of a tuned model was saved, and what() it lacks was not.
class PartsNotSaved : public Error {
public:
    using Error::Error;
};

/// Throws Error when `output` is the folder `source`, of the model that is used: what is written there would mix with
/// the original, or replace it.
inline void require_other_folder(const std::filesystem::path& output, const std::filesystem::path& source) {
    std::error_code ignored;
    require(!std::filesystem::equivalent(output, source, ignored), "cannot write into ", output.string(),
            ": it is the folder of the model that is read; choose another");
}

/// What a checkpoint must agree with to be continued: a run's name for itself.
struct CheckpointIdentity {
    /// Everything that changes the numbers of a run; under "model_files" model_digests(), which older checkpoints lack.
    nlohmann::json options;
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
