#pragma once
// Which instructions a processor has, and which a program was compiled to use. A program that uses what the processor
// lacks is ended by the system with "illegal instruction".

#include <reel/core/error.hpp>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace reel {

/// A set of the features in `cpu_feature_table`: bit i stands for row i.
using CpuFeatures = std::uint64_t;

/// What of CPUID and XGETBV the table looks at.
struct CpuidValues {
    std::uint32_t leaf1_ecx = 0;
    std::uint32_t leaf7_ebx = 0;
    std::uint32_t leaf7_ecx = 0;
    std::uint32_t leaf7_edx = 0;
    std::uint32_t leaf7_1_eax = 0;  ///< leaf 7, subleaf 1
    std::uint32_t extended_ecx = 0; ///< leaf 0x80000001
    std::uint64_t xcr0 = 0;         ///< which registers the operating system saves
};

/// One feature: its name as in gcc's -m options, and where CPUID has it (Intel SDM volume 2A, CPUID; AMD APM volume 3).
struct CpuFeature {
    std::string_view name;
    std::uint32_t CpuidValues::*word;
    unsigned bit;
    std::uint64_t saved; ///< bits that XCR0 must have: without them the instructions are illegal all the same
};

namespace detail {

inline constexpr std::uint64_t saves_avx = 0x6;     // SSE and AVX registers
inline constexpr std::uint64_t saves_avx512 = 0xe6; // and masks, upper halves, 16 more registers
inline constexpr std::uint64_t saves_amx = 0x60000; // tile configuration and data

} // namespace detail

/// What compilers use on their own, or reel and its libraries by name.
inline constexpr std::array cpu_feature_table{
    CpuFeature{"sse3", &CpuidValues::leaf1_ecx, 0, 0},
    CpuFeature{"ssse3", &CpuidValues::leaf1_ecx, 9, 0},
    CpuFeature{"sse4.1", &CpuidValues::leaf1_ecx, 19, 0},
    CpuFeature{"sse4.2", &CpuidValues::leaf1_ecx, 20, 0},
    CpuFeature{"movbe", &CpuidValues::leaf1_ecx, 22, 0},
    CpuFeature{"popcnt", &CpuidValues::leaf1_ecx, 23, 0},
    CpuFeature{"lzcnt", &CpuidValues::extended_ecx, 5, 0},
    CpuFeature{"bmi", &CpuidValues::leaf7_ebx, 3, 0},
    CpuFeature{"bmi2", &CpuidValues::leaf7_ebx, 8, 0},
    CpuFeature{"avx", &CpuidValues::leaf1_ecx, 28, detail::saves_avx},
    CpuFeature{"f16c", &CpuidValues::leaf1_ecx, 29, detail::saves_avx},
    CpuFeature{"fma", &CpuidValues::leaf1_ecx, 12, detail::saves_avx},
    CpuFeature{"avx2", &CpuidValues::leaf7_ebx, 5, detail::saves_avx},
    CpuFeature{"avxvnni", &CpuidValues::leaf7_1_eax, 4, detail::saves_avx},
    CpuFeature{"gfni", &CpuidValues::leaf7_ecx, 8, 0},
    CpuFeature{"avx512f", &CpuidValues::leaf7_ebx, 16, detail::saves_avx512},
    CpuFeature{"avx512dq", &CpuidValues::leaf7_ebx, 17, detail::saves_avx512},
    CpuFeature{"avx512ifma", &CpuidValues::leaf7_ebx, 21, detail::saves_avx512},
    CpuFeature{"avx512cd", &CpuidValues::leaf7_ebx, 28, detail::saves_avx512},
    CpuFeature{"avx512bw", &CpuidValues::leaf7_ebx, 30, detail::saves_avx512},
    CpuFeature{"avx512vl", &CpuidValues::leaf7_ebx, 31, detail::saves_avx512},
    CpuFeature{"avx512vbmi", &CpuidValues::leaf7_ecx, 1, detail::saves_avx512},
    CpuFeature{"avx512vbmi2", &CpuidValues::leaf7_ecx, 6, detail::saves_avx512},
    CpuFeature{"avx512vnni", &CpuidValues::leaf7_ecx, 11, detail::saves_avx512},
    CpuFeature{"avx512bitalg", &CpuidValues::leaf7_ecx, 12, detail::saves_avx512},
    CpuFeature{"avx512vpopcntdq", &CpuidValues::leaf7_ecx, 14, detail::saves_avx512},
    CpuFeature{"avx512bf16", &CpuidValues::leaf7_1_eax, 5, detail::saves_avx512},
    CpuFeature{"avx512fp16", &CpuidValues::leaf7_edx, 23, detail::saves_avx512},
    CpuFeature{"amx-tile", &CpuidValues::leaf7_edx, 24, detail::saves_amx},
    CpuFeature{"amx-bf16", &CpuidValues::leaf7_edx, 22, detail::saves_amx},
    CpuFeature{"amx-int8", &CpuidValues::leaf7_edx, 25, detail::saves_amx},
    CpuFeature{"xop", &CpuidValues::extended_ecx, 11, detail::saves_avx}, // AMD's before Zen
    CpuFeature{"fma4", &CpuidValues::extended_ecx, 16, detail::saves_avx},
};
static_assert(cpu_feature_table.size() <= 64);

/// The feature called `name` alone; 0 for a name that the table does not have.
[[nodiscard]] constexpr CpuFeatures cpu_feature(std::string_view name) {
    for (std::size_t i = 0; i < cpu_feature_table.size(); ++i) {
        if (cpu_feature_table[i].name == name) {
            return CpuFeatures{1} << i;
        }
    }
    return 0;
}

/// The features that these values mean.
[[nodiscard]] constexpr CpuFeatures decode_cpu_features(const CpuidValues& values) {
    CpuFeatures features = 0;
    for (std::size_t i = 0; i < cpu_feature_table.size(); ++i) {
        const CpuFeature& feature = cpu_feature_table[i];
        if ((values.*feature.word >> feature.bit & 1U) != 0 && (values.xcr0 & feature.saved) == feature.saved) {
            features |= CpuFeatures{1} << i;
        }
    }
    return features;
}

/// The names in the table's order, with spaces between.
[[nodiscard]] inline std::string cpu_feature_names(CpuFeatures features) {
    std::string names;
    for (std::size_t i = 0; i < cpu_feature_table.size(); ++i) {
        if ((features >> i & 1U) != 0) {
            names += (names.empty() ? "" : " ") + std::string(cpu_feature_table[i].name);
        }
    }
    return names;
}

/// What the processor that runs this has, and the operating system lets programs use. 0 on anything but x86-64.
[[nodiscard]] inline CpuFeatures cpu_features() {
    CpuidValues values;
#if defined(__x86_64__)
    std::uint32_t eax = 0;
    std::uint32_t ebx = 0;
    std::uint32_t ecx = 0;
    std::uint32_t edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) {
        values.leaf1_ecx = ecx;
    }
    if ((values.leaf1_ecx >> 27 & 1U) != 0) { // XGETBV may be asked
        asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
        values.xcr0 = std::uint64_t{edx} << 32 | eax;
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
        values.leaf7_ebx = ebx;
        values.leaf7_ecx = ecx;
        values.leaf7_edx = edx;
        if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) {
            values.leaf7_1_eax = eax;
        }
    }
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) != 0) {
        values.extended_ecx = ecx;
    }
#endif
    return decode_cpu_features(values);
}

/// What the compiler may use in the file that includes this, by its -m options. `static`: two files of a program may
/// differ in it.
[[nodiscard]] static constexpr CpuFeatures compiled_cpu_features() {
    CpuFeatures features = 0;
#if defined(__SSE3__)
    features |= cpu_feature("sse3");
#endif
#if defined(__SSSE3__)
    features |= cpu_feature("ssse3");
#endif
#if defined(__SSE4_1__)
    features |= cpu_feature("sse4.1");
#endif
#if defined(__SSE4_2__)
    features |= cpu_feature("sse4.2");
#endif
#if defined(__MOVBE__)
    features |= cpu_feature("movbe");
#endif
#if defined(__POPCNT__)
    features |= cpu_feature("popcnt");
#endif
#if defined(__LZCNT__)
    features |= cpu_feature("lzcnt");
#endif
#if defined(__BMI__)
    features |= cpu_feature("bmi");
#endif
#if defined(__BMI2__)
    features |= cpu_feature("bmi2");
#endif
#if defined(__AVX__)
    features |= cpu_feature("avx");
#endif
#if defined(__F16C__)
    features |= cpu_feature("f16c");
#endif
#if defined(__FMA__)
    features |= cpu_feature("fma");
#endif
#if defined(__AVX2__)
    features |= cpu_feature("avx2");
#endif
#if defined(__AVXVNNI__)
    features |= cpu_feature("avxvnni");
#endif
#if defined(__GFNI__)
    features |= cpu_feature("gfni");
#endif
#if defined(__AVX512F__)
    features |= cpu_feature("avx512f");
#endif
#if defined(__AVX512DQ__)
    features |= cpu_feature("avx512dq");
#endif
#if defined(__AVX512IFMA__)
    features |= cpu_feature("avx512ifma");
#endif
#if defined(__AVX512CD__)
    features |= cpu_feature("avx512cd");
#endif
#if defined(__AVX512BW__)
    features |= cpu_feature("avx512bw");
#endif
#if defined(__AVX512VL__)
    features |= cpu_feature("avx512vl");
#endif
#if defined(__AVX512VBMI__)
    features |= cpu_feature("avx512vbmi");
#endif
#if defined(__AVX512VBMI2__)
    features |= cpu_feature("avx512vbmi2");
#endif
#if defined(__AVX512VNNI__)
    features |= cpu_feature("avx512vnni");
#endif
#if defined(__AVX512BITALG__)
    features |= cpu_feature("avx512bitalg");
#endif
#if defined(__AVX512VPOPCNTDQ__)
    features |= cpu_feature("avx512vpopcntdq");
#endif
#if defined(__AVX512BF16__)
    features |= cpu_feature("avx512bf16");
#endif
#if defined(__AVX512FP16__)
    features |= cpu_feature("avx512fp16");
#endif
#if defined(__AMX_TILE__)
    features |= cpu_feature("amx-tile");
#endif
#if defined(__AMX_BF16__)
    features |= cpu_feature("amx-bf16");
#endif
#if defined(__AMX_INT8__)
    features |= cpu_feature("amx-int8");
#endif
#if defined(__XOP__)
    features |= cpu_feature("xop");
#endif
#if defined(__FMA4__)
    features |= cpu_feature("fma4");
#endif
    return features;
}

/// Why a program that was compiled for `compiled` cannot run on a processor with `present`: one sentence; "" when it
/// can.
[[nodiscard]] inline std::string cpu_problem(CpuFeatures compiled, CpuFeatures present) {
    const CpuFeatures missing = compiled & ~present;
    return missing == 0
               ? std::string()
               : concat_text("reel's programs were compiled for a processor with ", cpu_feature_names(missing),
                             ", which this one lacks, and will end with \"illegal instruction\": "
                             "-march=native on another machine is the common cause; build reel on this one, or "
                             "configure with -DREEL_NATIVE=OFF");
}

/// What a program that was compiled for `compiled` leaves unused on a processor with `present`, of what makes
/// arithmetic faster: one sentence; "" when nothing.
[[nodiscard]] inline std::string cpu_waste(CpuFeatures compiled, CpuFeatures present) {
    CpuFeatures fast = 0;
    for (const std::string_view name : {"fma", "avx2", "avx512f"}) {
        fast |= cpu_feature(name);
    }
    const CpuFeatures unused = fast & present & ~compiled;
    return unused == 0 ? std::string()
                       : concat_text("this processor has ", cpu_feature_names(unused),
                                     ", which reel's programs were not compiled for, so that arithmetic is several "
                                     "times slower; configure with -DREEL_NATIVE=ON on this machine");
}

} // namespace reel
