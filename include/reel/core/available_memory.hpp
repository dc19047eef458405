#pragma once
// How much memory a program may still take. Needs POSIX; no other library.

#include <reel/core/system/memory_use.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

namespace reel {

namespace detail {

/// The number in a file that holds one; nothing where there is no such file, or no number ("max").
[[nodiscard]] inline std::optional<std::size_t> number_in_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::size_t number = 0;
    return file >> number ? std::optional(number) : std::nullopt;
}

/// The number after a word at the beginning of a line.
[[nodiscard]] inline std::optional<std::size_t> number_after(const std::filesystem::path& path,
                                                             const std::string& word) {
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string first;
        std::size_t number = 0;
        if (words >> first && first == word && words >> number) {
            return number;
        }
    }
    return std::nullopt;
}

/// Bytes that a control group's limits leave, its own and those of the groups it is in. `mount` is where the hierarchy
/// is mounted, `group` the group's path in it. Cached files are not counted as used: the system drops them.
[[nodiscard]] inline std::optional<std::size_t> left_by_groups(const std::filesystem::path& mount,
                                                               std::filesystem::path group, const char* limit_file,
                                                               const char* usage_file, const char* cache) {
    std::optional<std::size_t> least;
    for (;; group = group.parent_path()) {
        const std::filesystem::path folder = mount / group.relative_path();
        const auto limit = number_in_file(folder / limit_file);
        const auto used = number_in_file(folder / usage_file);
        if (limit && used) {
            const std::size_t needed = *used - std::min(*used, number_after(folder / "memory.stat", cache).value_or(0));
            const std::size_t left = *limit - std::min(*limit, needed);
            least = std::min(left, least.value_or(left));
        }
        if (group.relative_path().empty()) {
            return least;
        }
    }
}

} // namespace detail

/// Bytes that this process can still take before the system swaps, fails or kills: what the machine has available
/// (/proc/meminfo; elsewhere what is free, as far as the system says), or less where control groups limit it (version 2
/// or 1). Nothing where the system does not say.
/// `root` is the file system's, for tests.
[[nodiscard]] inline std::optional<std::size_t> available_memory(const std::filesystem::path& root = "/") {
    std::optional<std::size_t> least = detail::number_after(root / "proc/meminfo", "MemAvailable:");
    if (least) {
        *least *= 1024;
    } else if (root == "/") {
        least = detail::free_memory();
    }
    std::ifstream groups(root / "proc/self/cgroup"); // lines "0::/path" or "number:controllers:/path"
    std::string line;
    while (std::getline(groups, line)) {
        const std::size_t colon = line.find(':');
        const std::size_t second = line.find(':', colon + 1);
        if (second == std::string::npos) {
            continue;
        }
        const std::string controllers = "," + line.substr(colon + 1, second - colon - 1) + ",";
        const std::filesystem::path group = line.substr(second + 1);
        std::optional<std::size_t> left;
        if (controllers == ",,") {
            left =
                detail::left_by_groups(root / "sys/fs/cgroup", group, "memory.max", "memory.current", "inactive_file");
        } else if (controllers.find(",memory,") != std::string::npos) {
            left = detail::left_by_groups(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                                          "memory.usage_in_bytes", "total_inactive_file");
        }
        if (left) {
            least = std::min(*left, least.value_or(*left));
        }
    }
    return least;
}

} // namespace reel
