#pragma once
// A program whose work ranks can share: mpirun -n 2 PROGRAM ... Built without MPI it is a process alone.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>

#include <reel/parallel/communicator.hpp>
#include <reel/parallel/launched.hpp>
#ifdef REEL_PROGRAM_RANKS
#include <reel/parallel/mpi/environment.hpp>
#endif

#include "options.hpp"

namespace program {

namespace detail {

/// Of all ranks but the first what would be said is kept, for its last line if it ends badly.
class Quiet {
public:
    explicit Quiet(bool quiet) : quiet_(quiet) {
        if (quiet_) {
            std::cout.rdbuf(said_.rdbuf());
            std::cerr.rdbuf(said_.rdbuf());
            std::clog.rdbuf(said_.rdbuf());
            if (std::freopen("/dev/null", "w", stdout) == nullptr) {
                reel::fail("cannot open /dev/null");
            }
        }
    }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;
    ~Quiet() { end(); }

    /// Speaks again; returns the last line that was kept.
    std::string end() {
        if (!quiet_) {
            return "";
        }
        quiet_ = false;
        std::cout.rdbuf(out_);
        std::cerr.rdbuf(err_);
        std::clog.rdbuf(err_);
        std::string text = said_.str();
        text.erase(text.find_last_not_of('\n') + 1);
        return text.substr(text.rfind('\n') + 1);
    }

private:
    bool quiet_;
    std::streambuf* out_ = std::cout.rdbuf();
    std::streambuf* err_ = std::cerr.rdbuf();
    std::ostringstream said_;
};

} // namespace detail

/// run() of `body(ranks)`, which every rank does with the same command line. The first rank speaks for all; where one
/// ends badly all do, with its status. REEL_RANK_TIME_LIMIT in the environment says how many seconds ranks wait for
/// each other.
template <class Body>
int run_on_ranks(const char* name, const Body& body) {
    const auto alone = [&] { return run(name, [&] { return body(reel::Communicator()); }); };
    if (reel::launched_ranks() == 0) {
        return alone();
    }
#ifdef REEL_PROGRAM_RANKS
    reel::MpiWaiting waiting{.meanwhile = check_stop};
    if (const char* limit = std::getenv("REEL_RANK_TIME_LIMIT")) {
        waiting.time_limit = std::atof(limit);
    }
    if (!(waiting.time_limit > 0)) {
        std::cerr << name << ": error: REEL_RANK_TIME_LIMIT: expected seconds above 0, such as 600\n";
        return wrong_command_line;
    }
    const reel::Environment mpi(waiting);
    const reel::Communicator ranks = mpi.world();
    detail::Quiet quiet(!ranks.first());
    const int status = run(name, [&] { return body(ranks); });
    const std::string last = quiet.end();
    if (status != 0 && !ranks.alone()) {
        if (!ranks.first()) { // where all end so the first says it
            std::this_thread::sleep_for(std::chrono::seconds(5));
            std::cerr << "rank " << ranks.rank() << ": " << last << std::endl;
        }
        mpi.abort(status);
    }
    return status;
#else
    return reel::launched_ranks() == 1 ? alone() : run(name, [&]() -> int {
        reel::fail("started as ", reel::launched_ranks(), " ranks, but built without MPI; install it and build anew");
    });
#endif
}

} // namespace program
