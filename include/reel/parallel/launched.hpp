#pragma once
// Whether this process is a rank, without MPI.

#include <cstdlib>
#include <initializer_list>

namespace reel {

/// How many ranks mpirun, mpiexec or srun started this process with, itself included; 0 where none of them did. Knows
/// what Open MPI, MPICH and Intel MPI (PMI), and Slurm with PMI or PMIx set.
[[nodiscard]] inline int launched_ranks() {
    const auto number = [](const char* name) {
        const char* value = std::getenv(name);
        return value == nullptr ? 0 : std::atoi(value);
    };
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
        if (number(name) > 0) {
            return number(name);
        }
    }
    const bool under_slurm = std::getenv("PMIX_RANK") != nullptr || std::getenv("PMI_RANK") != nullptr;
    return under_slurm ? number("SLURM_STEP_NUM_TASKS") : 0; // not in a batch script's own processes
}

} // namespace reel
