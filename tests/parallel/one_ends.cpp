// A rank that ends, hangs or fails while the others wait for it: one_ends HOW SECONDS [FILE]. What the others say goes
// to stderr, or into a file, which a launcher that ends them all cannot lose.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <reel/parallel/mpi/environment.hpp>

int main(int, char** argv) {
    const std::string how = argv[1];
    const reel::Environment mpi({.time_limit = std::atof(argv[2])});
    const reel::Communicator ranks = mpi.world();
    try {
        for (int step = 0; step < 4; ++step) {
            if (ranks.rank() == 1 && step == 2) {
                if (how == "hangs") {
                    ::raise(SIGSTOP);
                } else if (how == "sleeps") {
                    std::this_thread::sleep_for(std::chrono::seconds(1));
                } else if (how == "killed") {
                    ::raise(SIGKILL);
                } else if (how == "leaves") {
                    std::_Exit(3);
                } else if (how == "fails") {
                    reel::fail("something else is wrong");
                }
            }
            std::vector<double> values(100000, ranks.rank() + step);
            ranks.all_reduce(std::span<double>(values), "the sum of a step");
        }
    } catch (const reel::Error& error) {
        std::ofstream(std::string(argv[3]) + "-" + std::to_string(ranks.rank())) << error.what() << '\n';
        mpi.abort(4);
    }
    return 0;
}
