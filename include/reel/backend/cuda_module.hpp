#pragma once
// Code for a GPU in a shared library of its own, opened when it is asked for: linked into a program, cuBLAS costs every
// run 200 MB and half a second. Needs POSIX; no other library.

#include <reel/backend/cuda_driver.hpp>
#include <reel/core/error.hpp>
#include <reel/core/system/process.hpp>

#include <dlfcn.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace reel {

/// A function of a module, which stays open. The module is looked for beside the program, then at `built`, where it was
/// built. Throws Error that begins with "--backend cuda: " where it cannot be loaded or has no such function.
template <class Function>
[[nodiscard]] Function* cuda_module_function(const std::filesystem::path& built, const char* name) {
    std::error_code none;
    const auto beside = program_path().parent_path() / built.filename();
    const std::string path = (std::filesystem::exists(beside, none) ? beside : built).string();
    const SharedLibrary module(path); // is never unloaded
    if (!module) {
        const char* const why = ::dlerror();
        fail("--backend cuda: ", path, " cannot be loaded: ", why == nullptr ? "no reason given" : why,
             "; it needs the CUDA toolkit's cuBLAS, of the version that doctor names");
    }
    auto* const function = module.function<Function>(name);
    require(function != nullptr, "--backend cuda: ", path, " has no ", name, "; it is not of this build of reel");
    return function;
}

} // namespace reel
