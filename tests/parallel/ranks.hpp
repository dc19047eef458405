#pragma once
// The ranks of a test.

#include <reel/parallel/mpi/environment.hpp>

namespace reel_test {

[[nodiscard]] const reel::Communicator& world();

} // namespace reel_test
