#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <reel/core/scalar.hpp>

using namespace reel;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

/// The value of binary16 bits, by arithmetic instead of bit tricks.
double half_value(unsigned bits) {
    const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
    const int exponent = static_cast<int>(bits >> 10 & 31U);
    const double fraction = static_cast<double>(bits & 1023U) / 1024;
    return sign * (exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15));
}

bool is_half_nan(unsigned bits) {
    return (bits & 0x7fffU) > 0x7c00U;
}

bool is_bfloat16_nan(unsigned bits) {
    return (bits & 0x7fffU) > 0x7f80U;
}

template <class T>
T from_bits(unsigned bits) {
    T x;
    x.bits = static_cast<std::uint16_t>(bits);
    return x;
}

} // namespace

TEST_CASE("half: all 65536 patterns have the right value and come back") {
    for (unsigned bits = 0; bits < 65536; ++bits) {
        const auto value = static_cast<float>(from_bits<half>(bits));
        CAPTURE(bits);
        if (is_half_nan(bits)) {
            REQUIRE(std::isnan(value));
            REQUIRE(is_half_nan(half(value).bits));
            continue;
        }
        if ((bits & 0x7fffU) == 0x7c00U) {
            REQUIRE(value == (bits == 0x7c00U ? infinity : -infinity));
        } else {
            REQUIRE(static_cast<double>(value) == half_value(bits));
            REQUIRE(std::signbit(value) == (bits >= 0x8000U));
        }
        REQUIRE(half(value).bits == bits);
    }
}

TEST_CASE("half: between two neighbours it rounds to the nearer, and from the middle to the even one") {
    for (unsigned bits = 0; bits < 0x7bffU; ++bits) { // neighbours bits and bits + 1, the largest finite one included
        const double low = half_value(bits);
        const double high = half_value(bits + 1);
        const auto middle = static_cast<float>((low + high) / 2); // exact in float
        CAPTURE(bits);
        REQUIRE(half(middle).bits == (bits % 2 == 0 ? bits : bits + 1));
        REQUIRE(half(std::nextafter(middle, 0.0F)).bits == bits);
        REQUIRE(half(std::nextafter(middle, infinity)).bits == bits + 1);
        REQUIRE(half(-middle).bits == ((bits % 2 == 0 ? bits : bits + 1) | 0x8000U));
    }
}

TEST_CASE("half: overflow, underflow, NaN") {
    CHECK(half(65504.0F).bits == 0x7bffU);
    CHECK(half(std::nextafter(65520.0F, 0.0F)).bits == 0x7bffU);
    CHECK(half(65520.0F).bits == 0x7c00U);
    CHECK(half(-65520.0F).bits == 0xfc00U);
    CHECK(half(1e30F).bits == 0x7c00U);
    CHECK(half(-infinity).bits == 0xfc00U);
    CHECK(half(0x1p-24F).bits == 1);
    CHECK(half(0x1p-25F).bits == 0);
    CHECK(half(std::nextafter(0x1p-25F, 1.0F)).bits == 1);
    CHECK(half(1e-30F).bits == 0);
    CHECK(half(-1e-30F).bits == 0x8000U);
    CHECK(half(std::numeric_limits<float>::denorm_min()).bits == 0);
    CHECK(is_half_nan(half(nan_value).bits));
    CHECK(is_half_nan(half(std::bit_cast<float>(0x7f800001U)).bits)); // payload in the low bits only
}

TEST_CASE("bfloat16: all 65536 patterns come back, and rounding is to nearest even") {
    for (unsigned bits = 0; bits < 65536; ++bits) {
        const auto value = static_cast<float>(from_bits<bfloat16>(bits));
        CAPTURE(bits);
        if (is_bfloat16_nan(bits)) {
            REQUIRE(std::isnan(value));
            REQUIRE(is_bfloat16_nan(bfloat16(value).bits));
            continue;
        }
        REQUIRE(bfloat16(value).bits == bits);
        if ((bits & 0x7fffU) < 0x7f80U) {
            const std::uint32_t wide = bits << 16;
            REQUIRE(bfloat16(std::bit_cast<float>(wide | 0x7fffU)).bits == bits);
            REQUIRE(bfloat16(std::bit_cast<float>(wide | 0x8000U)).bits == (bits % 2 == 0 ? bits : bits + 1));
            REQUIRE(bfloat16(std::bit_cast<float>(wide | 0x8001U)).bits == bits + 1);
        }
    }
}

TEST_CASE("bfloat16: overflow and NaN") {
    CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80U);
    CHECK(bfloat16(-std::numeric_limits<float>::max()).bits == 0xff80U);
    CHECK(bfloat16(infinity).bits == 0x7f80U);
    CHECK(is_bfloat16_nan(bfloat16(std::bit_cast<float>(0x7f800001U)).bits));
    CHECK(is_bfloat16_nan(bfloat16(std::bit_cast<float>(0xffffffffU)).bits));
    CHECK(static_cast<float>(bfloat16(1.0F)) == 1.0F);
}

TEST_CASE("conversions are constant expressions") {
    static_assert(half(1.5F).bits == 0x3e00U);
    static_assert(static_cast<float>(half(-0.25F)) == -0.25F);
    static_assert(bfloat16(1.5F).bits == 0x3fc0U);
    static_assert(static_cast<float>(bfloat16(-0.25F)) == -0.25F);
}

TEST_CASE("DType: sizes and names agree with the C++ types") {
    CHECK(size_of(dtype_of<double>()) == sizeof(double));
    CHECK(size_of(dtype_of<float>()) == sizeof(float));
    CHECK(size_of(dtype_of<half>()) == sizeof(half));
    CHECK(size_of(dtype_of<bfloat16>()) == sizeof(bfloat16));
    CHECK(size_of(dtype_of<std::int64_t>()) == 8);
    CHECK(size_of(dtype_of<std::int32_t>()) == 4);
    CHECK(size_of(dtype_of<std::uint8_t>()) == 1);
    CHECK(size_of(DType::i16) == 2);
    CHECK(size_of(DType::boolean) == 1);
    CHECK(name_of(DType::f16) == "float16");
    CHECK(name_of(DType::bf16) == "bfloat16");
    CHECK(name_of(DType::i8) == "int8");
    static_assert(Real<float> && Real<double> && !Real<half>);
    static_assert(Scalar<half> && Scalar<bfloat16> && !Scalar<int>);
}
