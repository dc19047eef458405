#pragma once

#include <array>
#include <bit>
#include <cmath>

#include <reel/core/scalar.hpp>

namespace reel {

/// Counter-based random numbers: Philox4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
/// A value is a pure function of (seed, stream, index), so every thread and device may make its own part, in any order.
/// Streams tell uses of one seed apart (posterior noise, training noise, step 17, ...).
///
/// `normal` and `uniform` give the same bits on every IEEE processor, CPU or GPU: they use only integer arithmetic,
/// division, square root and fused multiply-add, each of which rounds once by definition, and products never meet an
/// addition that a compiler could fuse. Logarithm, sine and cosine are therefore polynomials of our own. (Compilers
/// told to break IEEE rules, -ffast-math, break the promise too.)
class Philox {
public:
    constexpr explicit Philox(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

    /// The four 32-bit words of block `index`.
    [[nodiscard]] constexpr std::array<std::uint32_t, 4> block(std::uint64_t index) const {
        std::array<std::uint32_t, 4> counter{low(index), high(index), low(stream_), high(stream_)};
        std::uint32_t key0 = low(seed_);
        std::uint32_t key1 = high(seed_);
        for (int round = 0; round < 10; ++round) {
            const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter[0];
            const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter[2];
            counter = {high(product1) ^ counter[1] ^ key0, low(product1), high(product0) ^ counter[3] ^ key1,
                       low(product0)};
            key0 += 0x9E3779B9U; // golden ratio
            key1 += 0xBB67AE85U; // sqrt(3) - 1
        }
        return counter;
    }

    /// 32 uniform bits: word index % 4 of block index / 4.
    [[nodiscard]] constexpr std::uint32_t bits(std::uint64_t index) const {
        return block(index / 4)[static_cast<std::size_t>(index % 4)];
    }

    /// Uniform in [0, 1), a multiple of 2^-32 (exact in double).
    [[nodiscard]] constexpr double uniform(std::uint64_t index) const {
        return static_cast<double>(bits(index)) * 0x1p-32;
    }

    /// Standard normal, |value| < 6.77: Box & Muller 1958. Words 0, 1 of a block make normals 0 (cosine) and 1 (sine),
    /// words 2, 3 make normals 2 and 3. The first word w of a pair gives the radius sqrt(-2 log((w + 1/2) / 2^32)),
    /// the second the angle in units of 2^-32 turns.
    template <Real D = double>
    [[nodiscard]] constexpr double normal(std::uint64_t index) const {
        static_assert(std::same_as<D, double>); // a template only so that its calls of <cmath> may be constexpr
        using std::sqrt;
        const auto words = block(index / 4);
        const std::size_t pair = index % 4 / 2 * 2;
        const D radius = sqrt(D(-2) * log_of_unit<D>(words[pair]));
        return radius * cosine_of_turns<D>(words[pair + 1], index % 2 == 1);
    }

    /// Uniform integer in [0, count), for 0 < count < 2^32, by a multiplication: the bias is below count / 2^32.
    [[nodiscard]] constexpr std::uint32_t below(std::uint64_t index, std::uint32_t count) const {
        return high(std::uint64_t{bits(index)} * count);
    }

private:
    static constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
    static constexpr std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

    /// A polynomial in z, the highest coefficient first.
    template <class D, class... More>
    static constexpr D horner(D z, D highest, More... lower) {
        using std::fma;
        D sum = highest;
        ((sum = fma(sum, z, lower)), ...);
        return sum;
    }

    /// log((word + 1/2) / 2^32), to a few units in the last place.
    template <class D>
    static constexpr D log_of_unit(std::uint32_t word) {
        using std::fma;
        // word + 1/2 = m * 2^e exactly, m in [sqrt(1/2), sqrt(2))
        const auto bits = std::bit_cast<std::uint64_t>(static_cast<D>(2 * std::uint64_t{word} + 1));
        int e = static_cast<int>(bits >> 52) - 1023;
        D m = std::bit_cast<D>((bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL);
        if (m > D(1.41421356237309504880)) {
            m *= D(0.5);
            ++e;
        }
        // log m = 2 atanh(s) = 2 s (1 + z/3 + z^2/5 + ...), z = s^2 < 0.0295
        const D s = (m - D(1)) / (m + D(1));
        const D z = s * s;
        const D sum = horner(z, D(1) / D(23), D(1) / D(21), D(1) / D(19), D(1) / D(17), D(1) / D(15), D(1) / D(13),
                             D(1) / D(11), D(1) / D(9), D(1) / D(7), D(1) / D(5), D(1) / D(3), D(1));
        const D tail = (s + s) * sum;
        return fma(D(e - 33), D(0.69314718055994530942), tail);
    }

    /// cos or sin of 2 pi word / 2^32. The octant comes from integers, so the polynomials see at most pi / 4.
    template <class D>
    static constexpr D cosine_of_turns(std::uint32_t word, bool sine) {
        const std::uint32_t shifted = word + 0x20000000U; // nearest quarter turn in the top two bits
        const std::uint32_t quarter = ((shifted >> 30) + (sine ? 3U : 0U)) & 3U; // sin x = cos(x - quarter)
        const auto rest = static_cast<std::int32_t>((shifted & 0x3fffffffU)) - 0x20000000;
        const D x = static_cast<D>(rest) * D(6.28318530717958647693 * 0x1p-32);
        const D z = -(x * x);
        D sum = D(0);
        if (quarter % 2 == 0) { // cos x = 1 - x^2/2! + x^4/4! - ...
            sum = horner(z, D(1) / D(6402373705728000), D(1) / D(20922789888000), D(1) / D(87178291200),
                         D(1) / D(479001600), D(1) / D(3628800), D(1) / D(40320), D(1) / D(720), D(1) / D(24),
                         D(1) / D(2), D(1));
        } else { // sin x = x (1 - x^2/3! + ...)
            sum = x * horner(z, D(1) / D(355687428096000), D(1) / D(1307674368000), D(1) / D(6227020800),
                             D(1) / D(39916800), D(1) / D(362880), D(1) / D(5040), D(1) / D(120), D(1) / D(6), D(1));
        }
        // cos(x + quarter): cos, -sin, -cos, sin
        return quarter == 1 || quarter == 2 ? -sum : sum;
    }

    std::uint64_t seed_;
    std::uint64_t stream_;
};

namespace functors {

template <Scalar T>
struct FillNormal {
    T* x;
    Philox random;
    constexpr void operator()(index_t i) const { x[i] = static_cast<T>(random.normal(static_cast<std::uint64_t>(i))); }
};

template <Scalar T>
struct FillUniform {
    T* x;
    Philox random;
    constexpr void operator()(index_t i) const {
        // The top 24 bits: exact in float, so that 1 is never reached by rounding.
        const double value = static_cast<double>(random.bits(static_cast<std::uint64_t>(i)) >> 8) * 0x1p-24;
        x[i] = static_cast<T>(static_cast<float>(value));
    }
};

} // namespace functors

/// Overwrites a tensor with standard normal numbers: element i is Philox(seed, stream).normal(i), rounded to the
/// element type. The same on every backend and for every number of threads.
template <class B, class TensorLike>
void fill_normal(B& backend, const TensorLike& x, std::uint64_t seed, std::uint64_t stream) {
    backend.for_each_index(x.size(),
                           functors::FillNormal<typename TensorLike::value_type>{x.data(), Philox(seed, stream)}, 256);
}

/// Overwrites a tensor with uniform numbers from [0, 1) in steps of 2^-24 (coarser types round and may reach 1).
template <class B, class TensorLike>
void fill_uniform(B& backend, const TensorLike& x, std::uint64_t seed, std::uint64_t stream) {
    backend.for_each_index(x.size(),
                           functors::FillUniform<typename TensorLike::value_type>{x.data(), Philox(seed, stream)}, 256);
}

} // namespace reel
