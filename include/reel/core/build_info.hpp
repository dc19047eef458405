#pragma once
// What a program was built with and runs on. Needs Eigen and POSIX.

#include <reel/core/error.hpp>

#include <Eigen/Core>

#include <sys/utsname.h>

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>

namespace reel {

/// The compiler, such as "g++ 12.2.0" or "clang 14.0.6".
[[nodiscard]] inline std::string compiler_description() {
#if defined(__clang__)
    return concat_text("clang ", __clang_major__, ".", __clang_minor__, ".", __clang_patchlevel__);
#elif defined(__GNUC__)
    return concat_text("g++ ", __GNUC__, ".", __GNUC_MINOR__, ".", __GNUC_PATCHLEVEL__);
#else
    return "unknown";
#endif
}

/// Instruction sets the compiler may use, which last digits of results depend on.
[[nodiscard]] inline std::string instruction_sets() {
    std::string sets;
    [[maybe_unused]] const auto add = [&](std::string_view name) {
        sets += sets.empty() ? "" : " ";
        sets += name;
    };
#if defined(__AMX_BF16__)
    add("amx-bf16");
#endif
#if defined(__AVX512F__)
    add("avx512f");
#endif
#if defined(__AVX512BF16__)
    add("avx512-bf16");
#endif
#if defined(__AVX2__)
    add("avx2");
#endif
#if defined(__FMA__)
    add("fma");
#endif
#if defined(__SSE2__)
    add("sse2");
#endif
#if defined(__ARM_NEON)
    add("neon");
#endif
    return sets;
}

/// Eigen's version, such as "3.4.0".
[[nodiscard]] inline std::string eigen_version() {
    return concat_text(EIGEN_WORLD_VERSION, ".", EIGEN_MAJOR_VERSION, ".", EIGEN_MINOR_VERSION);
}

namespace detail {

/// What follows `separator` in the first line of `path` that begins with `key`; "" when there is none.
[[nodiscard]] inline std::string first_value(const char* path, std::string_view key, char separator) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const std::size_t at = line.find(separator);
        if (line.starts_with(key) && at != std::string::npos) {
            const std::size_t first = line.find_first_not_of(" \t\"", at + 1);
            const std::size_t last = line.find_last_not_of(" \t\"");
            return first == std::string::npos ? std::string() : line.substr(first, last - first + 1);
        }
    }
    return {};
}

} // namespace detail

/// Distribution and kernel, such as "Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64".
[[nodiscard]] inline std::string operating_system() {
    std::string name = detail::first_value("/etc/os-release", "PRETTY_NAME", '=');
    utsname kernel{};
    if (::uname(&kernel) == 0) {
        name += concat_text(name.empty() ? "" : ", ", kernel.sysname, " ", kernel.release, " ", kernel.machine);
    }
    return name;
}

/// The processor's name, or "unknown".
[[nodiscard]] inline std::string processor_name() {
    const std::string name = detail::first_value("/proc/cpuinfo", "model name", ':');
    return name.empty() ? "unknown" : name;
}

} // namespace reel
