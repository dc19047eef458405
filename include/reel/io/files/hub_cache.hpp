#pragma once
// The Hugging Face hub's cache on disk: models--OWNER--NAME/{refs,snapshots,blobs}, where a snapshot's files are links
// to blobs. Needs no library.

#include <reel/core/error.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace reel {

/// Whether a path is a link whose target is not there.
[[nodiscard]] inline bool is_dangling_link(const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::is_symlink(path, ignored) && !std::filesystem::exists(path, ignored);
}

/// Throws Error for a link that leads nowhere.
inline void refuse_dangling_link(const std::filesystem::path& path) {
    std::error_code ignored;
    require(!is_dangling_link(path), path.string(), ": a link to ",
            std::filesystem::read_symlink(path, ignored).string(),
            ", which is not there (an interrupted download, or a cache that was copied without its blobs); download "
            "the model again");
}

namespace detail {

/// The folders in a folder.
[[nodiscard]] inline std::vector<std::filesystem::path> folders_in(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> found;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        if (entry.is_directory(ignored)) {
            found.push_back(entry.path());
        }
    }
    return found;
}

[[nodiscard]] inline bool is_hub_repository(const std::filesystem::path& path) {
    std::error_code ignored;
    return path.filename().string().starts_with("models--") ||
           (std::filesystem::is_directory(path / "snapshots", ignored) &&
            std::filesystem::is_directory(path / "refs", ignored));
}

} // namespace detail

/// The snapshot that a repository of the hub's cache stands for: the one that refs/main names, or the only one. Other
/// paths come back as they are. Throws Error where there is no such snapshot, or the folder is a whole cache.
[[nodiscard]] inline std::filesystem::path resolve_hub_cache(const std::filesystem::path& path) {
    const std::filesystem::path given = path.has_filename() ? path : path.parent_path(); // without a slash at the end
    std::error_code ignored;
    if (!std::filesystem::is_directory(given, ignored)) {
        return given;
    }
    if (given.filename() == "snapshots" && detail::is_hub_repository(given.parent_path())) {
        return resolve_hub_cache(given.parent_path());
    }
    if (!detail::is_hub_repository(given)) {
        for (const auto& folder : detail::folders_in(given)) {
            require(!folder.filename().string().starts_with("models--"), given.string(),
                    ": a cache of the hub with models in it; name one of them, such as ", folder.string());
        }
        return given;
    }
    const std::filesystem::path snapshots = given / "snapshots";
    const std::vector<std::filesystem::path> found = detail::folders_in(snapshots);
    std::string main;
    std::ifstream(given / "refs" / "main") >> main;
    if (main.empty()) {
        require(found.size() == 1, given.string(), ": no refs/main says which of its ", found.size(),
                " snapshots is meant; name one, ", (snapshots / "HASH").string());
        return found.front();
    }
    require(main.find('/') == std::string::npos && main != "..", given.string(), ": refs/main is no snapshot's name");
    require(std::filesystem::is_directory(snapshots / main, ignored), given.string(), ": refs/main names the snapshot ",
            main.substr(0, 80), ", which is not there; download the model again",
            found.empty() ? "" : ", or name another, " + found.front().string());
    return snapshots / main;
}

} // namespace reel
