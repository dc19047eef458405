#pragma once
// What tests of peers' own suites share: where the data is, and a program's end when it is not there.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

namespace reel::peers {

/// CTest shows this status as "Skipped".
inline constexpr int skipped = 77;

/// tests/peers/data, or $REEL_PEERS_DATA. Tests run in tests/.
[[nodiscard]] inline std::filesystem::path data_folder() {
    const char* const given = std::getenv("REEL_PEERS_DATA");
    return given != nullptr && *given != '\0' ? std::filesystem::path(given) : std::filesystem::path("peers/data");
}

/// The folder of a suite's data; ends the program with the status "skipped" where it has not been fetched.
inline const std::filesystem::path& suite(const std::string& name) {
    static std::filesystem::path found;
    found = data_folder() / name;
    if (!std::filesystem::is_directory(found)) {
        std::cout << "skipped: no " << found.string() << "; tests/peers/fetch.sh " << name << " fetches it\n";
        std::exit(skipped);
    }
    return found;
}

} // namespace reel::peers
