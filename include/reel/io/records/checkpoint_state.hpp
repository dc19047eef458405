#pragma once
// state.json of a training's checkpoint: its step, its options, and what its other files must hold. Needs nlohmann-json
// (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/sha256.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace reel {

/// Writes folder/state.json: `state`, which has "step" and "options", and under "sha256" the digest of each other file
/// of the folder. Call it last.
inline void write_checkpoint_state(const std::filesystem::path& folder, nlohmann::json state) {
    nlohmann::json& digests = state["sha256"] = nlohmann::json::object();
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.is_regular_file() && entry.path().filename() != "state.json") {
            digests[entry.path().filename().string()] = sha256_file(entry.path());
        }
    }
    write_json(folder / "state.json", state);
}

/// What write_checkpoint_state() wrote. Throws Error when it is no such file, or when the folder is named checkpoint-N
/// and N is not the step.
[[nodiscard]] inline nlohmann::json read_checkpoint_state(const std::filesystem::path& folder) {
    const std::string where = (folder / "state.json").string();
    nlohmann::json state = read_json(folder / "state.json");
    require(state.is_object() && state.contains("step") && state["step"].is_number_integer() &&
                state["step"].get<std::int64_t>() >= 0 && state.contains("options") && state["options"].is_object(),
            where, ": expected an object with \"step\" and \"options\"");
    constexpr std::string_view prefix = "checkpoint-";
    const std::string name =
        folder.has_filename() ? folder.filename().string() : folder.parent_path().filename().string();
    const std::string step = std::to_string(state["step"].get<std::int64_t>());
    require(!name.starts_with(prefix) || name.substr(prefix.size()) == step, where, ": says step ", step,
            ", but the folder is ", name, "; one of the two was changed");
    return state;
}

/// Holds the files of a checkpoint against the digests of its state. A checkpoint from before there were any passes.
/// Throws Error naming a file that is missing or holds something else.
inline void check_checkpoint_files(const std::filesystem::path& folder, const nlohmann::json& state) {
    const std::string where = (folder / "state.json").string();
    if (!state.contains("sha256")) {
        return;
    }
    require(state["sha256"].is_object(), where, ": \"sha256\" is no object");
    for (const auto& [name, digest] : state["sha256"].items()) {
        require(name.find('/') == std::string::npos && name != "." && name != "..", where, ": \"sha256\" names \"",
                name, "\", which is no file of the folder");
        require(digest.is_string() && sha256_file(folder / name) == digest.get_ref<const std::string&>(),
                (folder / name).string(), ": its content is not what was saved with the checkpoint (SHA-256 in ", where,
                "): the disk, a copy or a hand changed it; continue from an older checkpoint");
    }
}

} // namespace reel
