#include <doctest/doctest.h>

#include <reel/core/cpu_features.hpp>

#include <string>
#include <string_view>

namespace {

using reel::cpu_feature;

constexpr std::uint64_t saves_everything = 0x600e6;

} // namespace

TEST_CASE("every feature has a name of its own and a place of its own in CPUID") {
    for (const reel::CpuFeature& a : reel::cpu_feature_table) {
        int same_name = 0;
        int same_place = 0;
        for (const reel::CpuFeature& b : reel::cpu_feature_table) {
            same_name += a.name == b.name ? 1 : 0;
            same_place += a.word == b.word && a.bit == b.bit ? 1 : 0;
        }
        INFO(std::string(a.name));
        CHECK(same_name == 1);
        CHECK(same_place == 1);
        CHECK(reel::cpu_feature_names(cpu_feature(a.name)) == a.name);
    }
    CHECK(cpu_feature("avx9000") == 0);
}

TEST_CASE("a feature counts where CPUID has its bit and the system saves its registers") {
    reel::CpuidValues values;
    CHECK(reel::decode_cpu_features(values) == 0);
    values.leaf7_ebx = 1U << 5 | 1U << 16; // AVX2, AVX-512F
    values.leaf7_edx = 1U << 22;           // AMX-BF16
    values.leaf1_ecx = 1U << 20;           // SSE4.2, whose registers are always saved
    CHECK(reel::cpu_feature_names(reel::decode_cpu_features(values)) == "sse4.2");
    values.xcr0 = 0x7; // AVX's registers
    CHECK(reel::cpu_feature_names(reel::decode_cpu_features(values)) == "sse4.2 avx2");
    values.xcr0 = 0xe7;
    CHECK(reel::cpu_feature_names(reel::decode_cpu_features(values)) == "sse4.2 avx2 avx512f");
    values.xcr0 = saves_everything;
    CHECK(reel::cpu_feature_names(reel::decode_cpu_features(values)) == "sse4.2 avx2 avx512f amx-bf16");
}

#if defined(__x86_64__)
TEST_CASE("this processor's features are the compiler's own view of them") {
    const reel::CpuFeatures present = reel::cpu_features();
    __builtin_cpu_init();
    const auto agrees = [&](std::string_view name, bool expected) {
        INFO(std::string(name));
        CHECK(((present & cpu_feature(name)) != 0) == expected);
    };
    agrees("sse3", __builtin_cpu_supports("sse3"));
    agrees("ssse3", __builtin_cpu_supports("ssse3"));
    agrees("sse4.1", __builtin_cpu_supports("sse4.1"));
    agrees("sse4.2", __builtin_cpu_supports("sse4.2"));
    agrees("popcnt", __builtin_cpu_supports("popcnt"));
    agrees("bmi", __builtin_cpu_supports("bmi"));
    agrees("bmi2", __builtin_cpu_supports("bmi2"));
    agrees("avx", __builtin_cpu_supports("avx"));
    agrees("fma", __builtin_cpu_supports("fma"));
    agrees("avx2", __builtin_cpu_supports("avx2"));
    agrees("gfni", __builtin_cpu_supports("gfni"));
    agrees("avx512f", __builtin_cpu_supports("avx512f"));
    agrees("avx512dq", __builtin_cpu_supports("avx512dq"));
    agrees("avx512ifma", __builtin_cpu_supports("avx512ifma"));
    agrees("avx512cd", __builtin_cpu_supports("avx512cd"));
    agrees("avx512bw", __builtin_cpu_supports("avx512bw"));
    agrees("avx512vl", __builtin_cpu_supports("avx512vl"));
    agrees("avx512vbmi", __builtin_cpu_supports("avx512vbmi"));
    agrees("avx512vbmi2", __builtin_cpu_supports("avx512vbmi2"));
    agrees("avx512vnni", __builtin_cpu_supports("avx512vnni"));
    agrees("avx512bitalg", __builtin_cpu_supports("avx512bitalg"));
    agrees("avx512vpopcntdq", __builtin_cpu_supports("avx512vpopcntdq"));
    agrees("avx512bf16", __builtin_cpu_supports("avx512bf16"));
    // This test runs, and so the processor has what it was compiled for.
    CHECK(reel::cpu_problem(reel::compiled_cpu_features(), present).empty());
}

#if defined(__AVX2__)
static_assert((reel::compiled_cpu_features() & cpu_feature("avx2")) != 0);
#endif
#endif

TEST_CASE("what a program was compiled for and the processor lacks is a problem that says what to do") {
    const reel::CpuFeatures avx2 = cpu_feature("avx2") | cpu_feature("fma");
    const reel::CpuFeatures avx512 = avx2 | cpu_feature("avx512f") | cpu_feature("avx512bf16");
    CHECK(reel::cpu_problem(0, 0).empty());
    CHECK(reel::cpu_problem(avx2, avx512).empty());
    CHECK(reel::cpu_problem(avx512, avx2) ==
          "reel's programs were compiled for a processor with avx512f avx512bf16, which this one lacks, and will end "
          "with \"illegal instruction\": -march=native on another machine is the common cause; build reel on this one, "
          "or configure with -DREEL_NATIVE=OFF");
}

TEST_CASE("what the processor has and a program was not compiled for is slow, where it matters") {
    const reel::CpuFeatures avx2 = cpu_feature("avx2") | cpu_feature("fma");
    CHECK(reel::cpu_waste(avx2, avx2).empty());
    CHECK(reel::cpu_waste(0, 0).empty());
    CHECK(reel::cpu_waste(avx2, avx2 | cpu_feature("gfni")).empty());
    CHECK(
        reel::cpu_waste(0, avx2) ==
        "this processor has fma avx2, which reel's programs were not compiled for, so that arithmetic is several times "
        "slower; configure with -DREEL_NATIVE=ON on this machine");
}
