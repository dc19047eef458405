#pragma once
// What a program was built with and runs on. Needs Eigen and POSIX.

#include <reel/core/error.hpp>
#include <reel/core/system/machine.hpp>

#include <Eigen/Core>

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
#if defined(EIGEN_VERSION_STRING) // since 5, whose macros still call it 3.5
    return EIGEN_VERSION_STRING;
#else
    return concat_text(EIGEN_WORLD_VERSION, ".", EIGEN_MAJOR_VERSION, ".", EIGEN_MINOR_VERSION);
#endif
}

} // namespace reel
