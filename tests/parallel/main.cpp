// Tests that run on several ranks at once, a process for each. MPI begins before the first test and ends after the
// last.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include "ranks.hpp"

namespace {

reel::Communicator ranks; // NOLINT: of the program

} // namespace

const reel::Communicator& reel_test::world() {
    return ranks;
}

int main(int argc, char** argv) {
    const reel::Environment mpi({.time_limit = 60});
    ranks = mpi.world();
    if (argc > 1 && ranks.size() != std::stoi(argv[1])) { // an mpiexec of another MPI starts as many alone
        std::fprintf(stderr, "expected %s ranks, found %d\n", argv[1], ranks.size());
        return 1;
    }
    doctest::Context context;
    return context.run();
}
