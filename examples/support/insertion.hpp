#pragma once
// insert_object without its main(): compiled once, so that another sampler costs seconds.

#include "samplers.hpp"

namespace insertion {

/// The whole program. `choose` gives the sampler of the edits. Returns the exit status.
int run(int argc, char** argv, const editing::ChooseSampler& choose);

} // namespace insertion
