// Devices by their backends' names. What runs on a GPU is a module of its own, opened when it is asked for: cuBLAS
// would cost every other run 200 MB and half a second.

#include <dlfcn.h>

#include <reel/backend/cuda_driver.hpp>

#include "device_module.hpp"

namespace editing {

namespace {

#ifdef REEL_CUDA_MODULE

/// Beside the program, or else where it was built.
[[nodiscard]] std::filesystem::path module_path() {
    const std::filesystem::path built = REEL_CUDA_MODULE;
    std::error_code none;
    const auto beside = std::filesystem::read_symlink("/proc/self/exe", none).parent_path() / built.filename();
    return std::filesystem::exists(beside, none) ? beside : built;
}

[[nodiscard]] std::unique_ptr<Device> open_cuda_device() {
    const std::string path = module_path().string();
    const reel::SharedLibrary module(path);
    if (!module) {
        const char* const why = ::dlerror();
        reel::fail("--backend cuda: ", path, " cannot be loaded: ", why == nullptr ? "no reason given" : why,
                   "; it needs the CUDA toolkit's cuBLAS, of the version that doctor names");
    }
    auto* const open = module.function<OpenDevice>(open_device_name);
    reel::require(open != nullptr, "--backend cuda: ", path, " has no ", open_device_name,
                  "; it is not of this build of reel");
    return std::unique_ptr<Device>(open());
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
