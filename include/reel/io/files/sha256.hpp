#pragma once
// SHA-256 (FIPS 180-4), for manifests that name files by content. Needs no library; uses the processor's SHA
// instructions where it has them.

#include <reel/io/files/mapped_file.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace reel {

namespace detail {

/// The first `count` primes: their square and cube roots' fractions are the algorithm's constants.
template <std::size_t count>
[[nodiscard]] constexpr std::array<std::uint32_t, count> first_primes() {
    std::array<std::uint32_t, count> primes{};
    std::size_t found = 0;
    for (std::uint32_t n = 2; found < count; ++n) {
        bool prime = true;
        for (std::size_t i = 0; i < found && prime; ++i) {
            prime = n % primes[i] != 0;
        }
        if (prime) {
            primes[found++] = n;
        }
    }
    return primes;
}

/// First 32 bits of the fractional part of the `degree`-th root of n, by bisection in integers.
[[nodiscard]] constexpr std::uint32_t root_fraction(std::uint32_t n, int degree) {
    // The largest r with (r / 2^32)^degree <= n. r < 2^37 and n < 2^9, so that 128 bits hold all of it.
    std::uint64_t root = 0;
    for (std::uint64_t bit = std::uint64_t{1} << 36; bit != 0; bit >>= 1) {
        const unsigned __int128 candidate = root | bit;
        const bool fits = degree == 2 ? candidate * candidate <= (static_cast<unsigned __int128>(n) << 64)
                                      : candidate * candidate * candidate <= (static_cast<unsigned __int128>(n) << 96);
        root = fits ? static_cast<std::uint64_t>(candidate) : root;
    }
    return static_cast<std::uint32_t>(root);
}

inline constexpr auto sha256_constants = [] {
    std::array<std::uint32_t, 64> constants{};
    const auto primes = first_primes<64>();
    for (std::size_t i = 0; i < constants.size(); ++i) {
        constants[i] = root_fraction(primes[i], 3);
    }
    return constants;
}();

inline constexpr auto sha256_start = [] {
    std::array<std::uint32_t, 8> start{};
    const auto primes = first_primes<8>();
    for (std::size_t i = 0; i < start.size(); ++i) {
        start[i] = root_fraction(primes[i], 2);
    }
    return start;
}();

inline void sha256_blocks_portable(std::array<std::uint32_t, 8>& state, const std::byte* data, std::size_t blocks) {
    for (; blocks != 0; --blocks, data += 64) {
        std::array<std::uint32_t, 64> w;
        for (std::size_t i = 0; i < 16; ++i) {
            std::uint32_t word = 0;
            std::memcpy(&word, data + 4 * i, 4);
            w[i] = __builtin_bswap32(word);
        }
        for (std::size_t i = 16; i < 64; ++i) {
            const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
            const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        auto [a, b, c, d, e, f, g, h] = state;
        for (std::size_t i = 0; i < 64; ++i) {
            const std::uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
            const std::uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + sha256_constants[i] + w[i];
            const std::uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
            const std::uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        const std::array<std::uint32_t, 8> change{a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < 8; ++i) {
            state[i] += change[i];
        }
    }
}

#if defined(__x86_64__)
[[nodiscard]] inline bool has_sha_instructions() {
    static const bool has = [] {
        unsigned a = 0;
        unsigned b = 0;
        unsigned c = 0;
        unsigned d = 0;
        const bool sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & (1U << 29)) != 0;
        return sha && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & (1U << 19)) != 0; // and SSE4.1
    }();
    return has;
}

/// The instructions keep the state as (a b e f) and (c d g h), highest first, and do two rounds each. They have no form
/// of AVX's: where the upper halves of registers are in use, each may wait for them (5 MB/s instead of 860 on an Intel
/// Xeon). So those are given up for every block, and nothing here is as wide, nor can be made so by the compiler.
__attribute__((target("sha,sse4.1"))) inline void sha256_blocks_native(std::array<std::uint32_t, 8>& state,
                                                                       const std::byte* data, std::size_t blocks) {
    const auto four = [](const void* words) { return _mm_loadu_si128(static_cast<const __m128i*>(words)); };
    const __m128i badc = _mm_shuffle_epi32(four(state.data()), 0xb1);
    const __m128i hgfe = _mm_shuffle_epi32(four(state.data() + 4), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    const __m128i swap_bytes = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    for (; blocks != 0; --blocks, data += 64) {
#if defined(__AVX__)
        _mm256_zeroupper();
#endif
        const __m128i abef_before = abef;
        const __m128i cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; ++i) {
            w[i] = _mm_shuffle_epi8(four(data + 16 * i), swap_bytes);
        }
        for (int i = 0; i < 16; ++i) {
            const __m128i sum = _mm_add_epi32(w[i % 4], four(sha256_constants.data() + 4 * i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            // The four message words that take this place in rounds 4i + 16 to 4i + 19.
            const __m128i partial = _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]),
                                                  _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4));
            w[i % 4] = _mm_sha256msg2_epu32(partial, w[(i + 3) % 4]);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    std::array<std::uint32_t, 4> first;
    std::array<std::uint32_t, 4> second;
    std::memcpy(first.data(), &abef, 16);
    std::memcpy(second.data(), &cdgh, 16);
    state = {first[3], first[2], second[3], second[2], first[1], first[0], second[1], second[0]};
}
#endif

} // namespace detail

/// SHA-256 of bytes that come in pieces.
class Sha256 {
public:
    /// `portable` leaves the processor's SHA instructions unused; tests compare both.
    explicit Sha256(bool portable = false) : portable_(portable) {}

    void update(std::span<const std::byte> bytes) {
        total_ += bytes.size();
        if (filled_ != 0) {
            const std::size_t piece = std::min(bytes.size(), rest_.size() - filled_);
            std::copy_n(bytes.begin(), piece, rest_.begin() + static_cast<std::ptrdiff_t>(filled_));
            filled_ += piece;
            bytes = bytes.subspan(piece);
            if (filled_ < rest_.size()) {
                return;
            }
            blocks(rest_.data(), 1);
        }
        blocks(bytes.data(), bytes.size() / 64);
        filled_ = bytes.size() % 64;
        std::copy(bytes.end() - static_cast<std::ptrdiff_t>(filled_), bytes.end(), rest_.begin());
    }

    /// The digest as 64 lower-case hexadecimal digits. Call once, last.
    [[nodiscard]] std::string hex() {
        const std::uint64_t bits = __builtin_bswap64(total_ * 8);
        std::array<std::byte, 64> padding{std::byte{0x80}};
        update(std::span(padding).first(filled_ < 56 ? 56 - filled_ : 120 - filled_));
        update(std::as_bytes(std::span(&bits, 1)));
        std::string text;
        for (const std::uint32_t word : state_) {
            for (int shift = 28; shift >= 0; shift -= 4) {
                text += "0123456789abcdef"[(word >> shift) & 15U];
            }
        }
        return text;
    }

private:
    void blocks(const std::byte* data, std::size_t count) {
#if defined(__x86_64__)
        if (!portable_ && detail::has_sha_instructions()) {
            return detail::sha256_blocks_native(state_, data, count);
        }
#endif
        detail::sha256_blocks_portable(state_, data, count);
    }

    std::array<std::uint32_t, 8> state_ = detail::sha256_start;
    std::array<std::byte, 64> rest_{};
    std::size_t filled_ = 0;
    std::uint64_t total_ = 0;
    [[maybe_unused]] bool portable_; // where there are no such instructions
};

/// SHA-256 of bytes, in hexadecimal.
[[nodiscard]] inline std::string sha256_hex(std::span<const std::byte> bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.hex();
}

/// SHA-256 of a file, in hexadecimal: what sha256sum prints. Throws Error when it cannot be read.
[[nodiscard]] inline std::string sha256_file(const std::filesystem::path& path) {
    const MappedFile file(path);
    Sha256 hash;
    for_each_piece(file.bytes(), [&](std::span<const std::byte> piece) { hash.update(piece); });
    return hash.hex();
}

} // namespace reel
