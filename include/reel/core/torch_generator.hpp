#pragma once

#include <cmath>
#include <optional>
#include <random>
#include <span>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// PyTorch's CPU random numbers (checked against torch 2.15): after torch.manual_seed(seed), or with a torch.Generator
/// of that seed, the same calls in the same order give the same numbers.
///
/// Exact, bit for bit: random, random64, rand, randint. randn to rounding: PyTorch computes 16 or more float normals
/// with vector approximations of log, sin and cos, whose last bits depend on the processor's instruction set; ours are
/// correctly rounded where theirs are not, and differ by 1e-6 at most. Shapes do not matter, only the number of
/// elements.
class TorchCpuGenerator {
public:
    explicit TorchCpuGenerator(std::uint64_t seed = 67280421310721ULL) { manual_seed(seed); }

    /// Starts again. PyTorch looks at the low 32 bits only.
    void manual_seed(std::uint64_t seed) {
        engine_.seed(static_cast<std::uint32_t>(seed));
        next_normal_.reset();
    }

    [[nodiscard]] std::uint32_t random() { return static_cast<std::uint32_t>(engine_()); }
    [[nodiscard]] std::uint64_t random64() {
        const std::uint64_t upper = random();
        return upper << 32 | random();
    }

    /// torch.rand: uniform in [0, 1), 24 bits for float and 53 for double.
    template <Real T>
    void rand(std::span<T> values) {
        for (T& value : values) {
            value = uniform<T>();
        }
    }

    /// torch.randn. Fewer than 16 numbers come one by one from double precision, more in blocks of 16.
    template <Real T>
    void randn(std::span<T> values) {
        constexpr std::size_t block = 16;
        if (values.size() < block) {
            for (T& value : values) {
                value = static_cast<T>(normal());
            }
            return;
        }
        rand(values);
        for (std::size_t i = 0; i + block <= values.size(); i += block) {
            transform(values.subspan(i).template first<block>());
        }
        if (values.size() % block != 0) { // the last 16 are drawn again, over what is there
            const auto last = values.template last<block>();
            rand(std::span<T>(last));
            transform(last);
        }
    }

    /// torch.randint: integers in [low, high). Throws Error for an empty range.
    void randint(std::int64_t low, std::int64_t high, std::span<std::int64_t> values) {
        require(low < high, "TorchCpuGenerator::randint: from ", low, " to ", high,
                ": expected a smaller first number");
        const std::uint64_t range = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
        for (std::int64_t& value : values) {
            const std::uint64_t drawn = (range >= std::uint64_t{1} << 28 ? random64() : random()) % range;
            value = static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + drawn);
        }
    }
    [[nodiscard]] std::int64_t randint(std::int64_t low, std::int64_t high) {
        std::int64_t value = 0;
        randint(low, high, std::span(&value, 1));
        return value;
    }

private:
    static constexpr double two_pi = 6.28318530717958647693;

    template <Real T>
    T uniform() {
        if constexpr (std::same_as<T, float>) {
            return static_cast<float>(random() & 0xffffffU) * 0x1p-24F;
        } else {
            return static_cast<double>(random64() & 0x1fffffffffffffULL) * 0x1p-53;
        }
    }

    /// One normal; the sine's is kept for the next call.
    double normal() {
        if (next_normal_) {
            const double value = *next_normal_;
            next_normal_.reset();
            return value;
        }
        const double angle = two_pi * uniform<double>();
        const double radius = std::sqrt(-2.0 * std::log1p(-uniform<double>()));
        next_normal_ = radius * std::sin(angle);
        return radius * std::cos(angle);
    }

    /// Sixteen uniforms to sixteen normals: the first eight give radii, the last eight angles. Every step is rounded to
    /// T, as in PyTorch, but log, sin and cos come from double.
    template <Real T>
    static void transform(std::span<T, 16> values) {
        for (std::size_t i = 0; i < 8; ++i) {
            const T log = static_cast<T>(std::log(static_cast<double>(T(1) - values[i])));
            const T radius = std::sqrt(T(-2) * log);
            const T rounded_angle = static_cast<T>(two_pi) * values[i + 8];
            const double angle = static_cast<double>(rounded_angle);
            values[i] = radius * static_cast<T>(std::cos(angle));
            values[i + 8] = radius * static_cast<T>(std::sin(angle));
        }
    }

    std::mt19937 engine_;
    std::optional<double> next_normal_;
};

} // namespace reel
