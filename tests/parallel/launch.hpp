#pragma once
// Starts a command on several ranks of this machine.

#include <sstream>

#include "support/programs.hpp"

namespace reel_test {

/// A command as `ranks` ranks: what of REEL_LAUNCH the build found for this machine's MPI.
[[nodiscard]] inline Words on_ranks(int ranks, const Words& command) {
    Words launch;
    std::istringstream words(REEL_LAUNCH);
    for (std::string word; words >> word;) {
        launch.push_back(word);
    }
    return launch + Words{std::to_string(ranks)} + command;
}

} // namespace reel_test
