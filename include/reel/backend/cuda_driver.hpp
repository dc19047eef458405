#pragma once
// Asks the machine for its NVIDIA driver. The driver's library is opened at run time and never linked, so that the same
// program runs where there is none. Needs POSIX; with a C library older than glibc 2.34 link dl.

#include <reel/backend/cuda_problem.hpp>

#include <dlfcn.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>

namespace reel {

/// A shared library that is opened at run time. It stays loaded: drivers and OpenMP have threads that outlive their
/// use.
class SharedLibrary {
public:
    /// Looks for `name` as the dynamic loader does. Not finding it is no error: see operator bool.
    explicit SharedLibrary(const std::string& name)
        : handle_(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {}

    explicit operator bool() const { return handle_ != nullptr; }

    /// The function called `name`, whose type the caller knows; null where the library is not open or has none.
    template <class Function>
    [[nodiscard]] Function* function(const char* name) const {
        return handle_ == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(handle_.get(), name));
    }

private:
    struct Close {
        void operator()(void* handle) const { ::dlclose(handle); }
    };
    std::unique_ptr<void, Close> handle_;
};

namespace detail {

// Of CUDA's driver API. Results are CUresult, 0 when all is well; devices are numbers.
inline constexpr int cuda_missing_function = 500; // CUDA_ERROR_NOT_FOUND
inline constexpr int cuda_major_attribute = 75;   // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
inline constexpr int cuda_minor_attribute = 76;

/// Calls a function of the driver; one that it does not have gives an error as well.
template <class... Parameters, class... Arguments>
[[nodiscard]] int driver_call(const SharedLibrary& library, const char* name, int (*)(Parameters...),
                              Arguments... arguments) {
    auto* const function = library.function<int(Parameters...)>(name);
    return function == nullptr ? cuda_missing_function : function(arguments...);
}

template <class... Parameters>
inline constexpr int (*takes)(Parameters...) = nullptr;

} // namespace detail

/// The driver's version and GPUs. Nothing is started on a GPU, so this takes milliseconds where there is no driver and
/// what cuInit takes (up to a second) where there is.
[[nodiscard]] inline CudaDriver cuda_driver() {
    using detail::driver_call;
    using detail::takes;
    CudaDriver driver;
    const SharedLibrary library("libcuda.so.1");
    driver.library = static_cast<bool>(library);
    if (!library) {
        return driver;
    }
    if (driver_call(library, "cuDriverGetVersion", takes<int*>, &driver.version) != 0) {
        driver.version = 0;
    }
    driver.error = driver_call(library, "cuInit", takes<unsigned>, 0U);
    int count = 0;
    if (driver.error == 0) {
        driver.error = driver_call(library, "cuDeviceGetCount", takes<int*>, &count);
    }
    for (int i = 0; driver.error == 0 && i < count; ++i) {
        int device = 0;
        int major = 0;
        int minor = 0;
        std::array<char, 256> name{};
        CudaDevice found;
        for (const int error :
             {driver_call(library, "cuDeviceGet", takes<int*, int>, &device, i),
              driver_call(library, "cuDeviceGetName", takes<char*, int, int>, name.data(), 255, device),
              driver_call(library, "cuDeviceGetAttribute", takes<int*, int, int>, &major, detail::cuda_major_attribute,
                          device),
              driver_call(library, "cuDeviceGetAttribute", takes<int*, int, int>, &minor, detail::cuda_minor_attribute,
                          device),
              driver_call(library, "cuDeviceTotalMem_v2", takes<std::size_t*, int>, &found.bytes, device)}) {
            driver.error = driver.error == 0 ? error : driver.error;
        }
        found.name = name.data();
        found.capability = 10 * major + minor;
        driver.devices.push_back(std::move(found));
    }
    return driver;
}

/// Free memory of a GPU.
struct CudaMemory {
    int error = 0; ///< a CUresult, 0 when all is well
    std::size_t free_bytes = 0;
    std::size_t bytes = 0;
};

/// Asks GPU number `device` itself, which shows as well that work can be started there: its primary context, the one
/// that the CUDA runtime uses, is held for the moment (some 0.3 s and 0.3 GB).
[[nodiscard]] inline CudaMemory cuda_memory(int device = 0) {
    using detail::driver_call;
    using detail::takes;
    CudaMemory memory;
    const SharedLibrary library("libcuda.so.1");
    int handle = 0;
    void* context = nullptr;
    const auto done = [&](int error) { // the first error counts
        memory.error = memory.error == 0 ? error : memory.error;
        return error == 0;
    };
    if (done(driver_call(library, "cuInit", takes<unsigned>, 0U)) &&
        done(driver_call(library, "cuDeviceGet", takes<int*, int>, &handle, device)) &&
        done(driver_call(library, "cuDevicePrimaryCtxRetain", takes<void**, int>, &context, handle))) {
        if (done(driver_call(library, "cuCtxPushCurrent_v2", takes<void*>, context))) {
            done(driver_call(library, "cuMemGetInfo_v2", takes<std::size_t*, std::size_t*>, &memory.free_bytes,
                             &memory.bytes));
            done(driver_call(library, "cuCtxPopCurrent_v2", takes<void**>, &context));
        }
        done(driver_call(library, "cuDevicePrimaryCtxRelease_v2", takes<int>, handle));
    }
    return memory;
}

/// What the file that includes this is built with. reel's CMake files define REEL_CUDA with the CUDA backend, and then
/// REEL_CUDA_RUNTIME_VERSION (a number, CUDART_VERSION) and REEL_CUDA_ARCHITECTURES (a string). `static`: two files of
/// a program may differ in it.
[[nodiscard]] static inline CudaBuild cuda_build() {
    CudaBuild build;
#if defined(REEL_CUDA)
    build.built = true;
#if defined(REEL_CUDA_RUNTIME_VERSION)
    build.runtime = REEL_CUDA_RUNTIME_VERSION;
#endif
#if defined(REEL_CUDA_ARCHITECTURES)
    build.architectures = REEL_CUDA_ARCHITECTURES;
#endif
#endif
    return build;
}

/// cuda_problem() of cuda_problem.hpp for this program on this machine: what a program says that cannot use GPU number
/// `device`; "" when it can. Without CUDA in the program the machine is not asked.
[[nodiscard]] static inline std::string cuda_problem(std::size_t device = 0) {
    const CudaBuild build = cuda_build();
    return cuda_problem(build, build.built ? cuda_driver() : CudaDriver{}, device);
}

} // namespace reel
