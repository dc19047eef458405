#pragma once
// What reel's programs were built for and with, as plain data.

#include <array>
#include <cstdint>

namespace doctor {

/// A shared library that the programs need: its name, and the version of its headers.
struct BuiltLibrary {
    const char* name;        ///< as in libNAME.so
    const char* loaded_name; ///< as the dynamic loader looks for it
    const char* version_function;
    int major = 0;
    int minor = 0;
    int patch = 0;
};

/// build_facts.cpp is compiled with the programs' flags, and has no code that could be an illegal instruction; the
/// program that reads this is compiled for any processor.
struct BuildFacts {
    std::uint64_t cpu_features = 0; ///< a reel::CpuFeatures
    bool cuda = false;
    int cuda_runtime = 0; ///< CUDART_VERSION; 0: not known
    const char* cuda_architectures = "";
    int cublas_major = 0;
    int cublas_minor = 0;
    int cublas_patch = 0;
    bool onednn = false;
    BuiltLibrary onednn_library{};
    bool video = false;
    std::array<BuiltLibrary, 5> ffmpeg{};
};

extern const BuildFacts build_facts;

} // namespace doctor
