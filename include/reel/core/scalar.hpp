#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace reel {

/// Signed index type of shapes and loops.
using index_t = std::ptrdiff_t;

/// bfloat16: the upper half of an IEEE float. A storage type: arithmetic goes through float.
struct bfloat16 {
    std::uint16_t bits = 0;

    bfloat16() = default;

    /// Rounds to nearest, ties to even, by way of float; a NaN stays a (quiet) NaN.
    template <class N>
    requires std::is_arithmetic_v<N>
    constexpr explicit bfloat16(N value) : bits(rounded(static_cast<float>(value))) {}

    template <std::floating_point N>
    constexpr explicit operator N() const {
        return static_cast<N>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
    }

private:
    // Without a branch, so that compilers round many at once.
    static constexpr std::uint16_t rounded(float value) {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t nearest = u + 0x7fffU + ((u >> 16) & 1U);
        const bool nan = (u & 0x7fffffffU) > 0x7f800000U;
        return static_cast<std::uint16_t>((nan ? u | 0x400000U : nearest) >> 16);
    }
};

/// IEEE binary16. A storage type: arithmetic goes through float.
struct half {
    std::uint16_t bits = 0;

    half() = default;

    /// Rounds to nearest, ties to even, by way of float; overflows to infinity, as PyTorch's conversion does.
    template <class N>
    requires std::is_arithmetic_v<N>
    constexpr explicit half(N value) : bits(rounded(static_cast<float>(value))) {}

    template <std::floating_point N>
    constexpr explicit operator N() const {
        return static_cast<N>(widened());
    }

private:
    static constexpr std::uint16_t rounded(float value) {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t sign = (u >> 16) & 0x8000U;
        const std::uint32_t magnitude = u & 0x7fffffffU;
        std::uint32_t result = 0;
        if (magnitude > 0x7f800000U) {
            result = 0x7e00U;
        } else if (magnitude >= 0x477ff000U) { // rounds past the largest half, 65504
            result = 0x7c00U;
        } else if (magnitude >= 0x38800000U) { // normal
            const std::uint32_t rebased = magnitude - 0x38000000U;
            result = (rebased + 0xfffU + ((rebased >> 13) & 1U)) >> 13;
        } else if (magnitude > 0x33000000U) { // subnormal: above half of the smallest
            const std::uint32_t shift = 126U - (magnitude >> 23);
            const std::uint32_t mantissa = (magnitude & 0x7fffffU) | 0x800000U;
            const std::uint32_t quotient = mantissa >> shift;
            const std::uint32_t rest = mantissa & ((1U << shift) - 1U);
            const std::uint32_t tie = 1U << (shift - 1U);
            result = quotient + ((rest > tie || (rest == tie && (quotient & 1U) != 0)) ? 1U : 0U);
        }
        return static_cast<std::uint16_t>(sign | result);
    }

    [[nodiscard]] constexpr float widened() const {
        const std::uint32_t sign = (static_cast<std::uint32_t>(bits) & 0x8000U) << 16;
        const std::uint32_t exponent = (bits >> 10) & 0x1fU;
        std::uint32_t mantissa = bits & 0x3ffU;
        if (exponent == 0x1fU) {
            return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
        }
        if (exponent != 0) {
            return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
        }
        if (mantissa == 0) {
            return std::bit_cast<float>(sign);
        }
        std::uint32_t e = 113;
        while ((mantissa & 0x400U) == 0) {
            mantissa <<= 1;
            --e;
        }
        return std::bit_cast<float>(sign | (e << 23) | ((mantissa & 0x3ffU) << 13));
    }
};

/// Element types that files and tensors hold.
enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

/// Bytes of one element.
[[nodiscard]] constexpr std::size_t size_of(DType type) {
    switch (type) {
    case DType::f64:
    case DType::i64:
        return 8;
    case DType::f32:
    case DType::i32:
        return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
        return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
        return 1;
    }
    return 0;
}

/// Name of a type as PyTorch spells it: "float32", "bfloat16", ...
[[nodiscard]] constexpr std::string_view name_of(DType type) {
    switch (type) {
    case DType::f64:
        return "float64";
    case DType::f32:
        return "float32";
    case DType::f16:
        return "float16";
    case DType::bf16:
        return "bfloat16";
    case DType::i64:
        return "int64";
    case DType::i32:
        return "int32";
    case DType::i16:
        return "int16";
    case DType::i8:
        return "int8";
    case DType::u8:
        return "uint8";
    case DType::boolean:
        return "bool";
    }
    return "unknown";
}

template <class T>
inline constexpr bool always_false = false;

/// The DType of a C++ element type.
template <class T>
[[nodiscard]] consteval DType dtype_of() {
    if constexpr (std::same_as<T, double>) {
        return DType::f64;
    } else if constexpr (std::same_as<T, float>) {
        return DType::f32;
    } else if constexpr (std::same_as<T, half>) {
        return DType::f16;
    } else if constexpr (std::same_as<T, bfloat16>) {
        return DType::bf16;
    } else if constexpr (std::same_as<T, std::int64_t>) {
        return DType::i64;
    } else if constexpr (std::same_as<T, std::int32_t>) {
        return DType::i32;
    } else if constexpr (std::same_as<T, std::uint8_t>) {
        return DType::u8;
    } else {
        static_assert(always_false<T>, "reel: no DType for this element type");
    }
}

/// Types that operations compute in.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// Types of real numbers that operations take: those they compute in, and the 16-bit types.
template <class T>
concept Scalar = Real<T> || std::same_as<T, half> || std::same_as<T, bfloat16>;

/// What an operation on elements of type T computes and sums in: float for the 16-bit types, whose results are rounded
/// once, when they are stored; T itself for all others.
template <class T>
using compute_t = std::conditional_t<std::same_as<T, half> || std::same_as<T, bfloat16>, float, T>;

} // namespace reel
