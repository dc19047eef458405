#pragma once
// What ranks share of a job, and what is said of it.

#include <algorithm>
#include <cstring>
#include <iostream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <reel/core/shown_text.hpp>
#include <reel/core/usable_threads.hpp>
#include <reel/parallel/communicator.hpp>

namespace reel {

/// usable_threads(); where none are asked for and a machine has more than one rank, a rank's share of its cores.
[[nodiscard]] inline int threads_of_rank(int asked, const Communicator& ranks, bool say = true) {
    if (asked != 0 || ranks.on_this_machine() == 1) {
        return usable_threads(asked, say);
    }
    const int usable = static_cast<int>(std::thread::hardware_concurrency()); // fewer where mpirun binds ranks to cores
    const int all = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
    return std::max(1, std::min(usable, all / ranks.on_this_machine()));
}

/// "draws 1 to 2", numbered from 1; "" for none.
[[nodiscard]] inline std::string share_text(const char* one, const char* many, const Share& share) {
    if (share.empty()) {
        return "";
    }
    return share.count() == 1 ? concat_text(one, " ", share.first + 1)
                              : concat_text(many, " ", share.first + 1, " to ", share.last);
}

/// Says on stdout which rank is where and has what; nothing of a process alone. `threads`: as they were asked for;
/// `draws`: of a step of tuning, 0: none. Called by all.
inline void tell_ranks(const Communicator& ranks, int threads, index_t draws) {
    if (ranks.alone()) {
        return;
    }
    struct About {
        char machine[64] = {};
        int threads = 0;
    };
    std::vector<About> all(static_cast<std::size_t>(ranks.size()));
    About& own = all[static_cast<std::size_t>(ranks.rank())];
    std::strncpy(own.machine, ranks.machine().c_str(), sizeof(own.machine) - 1);
    own.threads = threads_of_rank(threads, ranks, false);
    ranks.all_gather(std::span<About>(all), ranks.size(), "who is where");
    std::string text = concat_text(ranks.size(), " ranks");
    for (int rank = 0; rank < ranks.size(); ++rank) {
        const About& about = all[static_cast<std::size_t>(rank)];
        text += concat_text("; ", rank, " on ", about.machine, " (", about.threads,
                            about.threads == 1 ? " thread)" : " threads)");
        std::string has;
        for (const std::string& part :
             {share_text("draw", "draws", share_of(draws, rank, ranks.size())),
              share_text("guidance half", "guidance halves", share_of(2, rank, ranks.size()))}) {
            has += part.empty() ? "" : (has.empty() ? ": " : ", ") + part;
        }
        text += has.empty() ? ": frames to decode" : has;
    }
    if (ranks.first()) {
        std::cout << terminal_text(text) << std::endl;
    }
}

} // namespace reel
