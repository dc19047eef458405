// In place of device_cuda.cu, where reel::cuda was not found.

#include <reel/backend/cuda_problem.hpp>

#include "networks.hpp"

namespace editing {

std::unique_ptr<Device> open_device(const std::string& backend) {
    if (backend == "cpu") {
        return nullptr;
    }
    reel::require(backend == "cuda", "--backend ", backend, ": expected cpu or cuda");
    reel::fail("--backend cuda: ", reel::cuda_driver_problem({.built = false}, {}));
}

} // namespace editing
