// Devices by their backends' names. What runs on a GPU is a module of its own, opened when it is asked for: cuBLAS
// would cost every other run 200 MB and half a second.

#include <reel/backend/cuda_driver.hpp>
#include <reel/backend/cuda_module.hpp>

#include "device_module.hpp"

namespace editing {

namespace {

#ifdef REEL_CUDA_MODULE

[[nodiscard]] std::unique_ptr<Device> open_cuda_device() {
    return std::unique_ptr<Device>(reel::cuda_module_function<OpenDevice>(REEL_CUDA_MODULE, open_device_name)());
}

#else

[[nodiscard]] std::unique_ptr<Device> open_cuda_device() {
    reel::fail("--backend cuda: ", reel::cuda_driver_problem({.built = false}, {}));
}

#endif

} // namespace

std::unique_ptr<Device> open_device(const std::string& backend) {
    if (backend == "cpu") {
        return nullptr;
    }
    reel::require(backend == "cuda", "--backend ", backend, ": expected cpu or cuda");
    return open_cuda_device();
}

} // namespace editing
