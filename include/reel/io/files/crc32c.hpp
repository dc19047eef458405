#pragma once
// The checksum of record files. No other library.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace reel {

namespace detail {

/// Remainders of all bytes by the Castagnoli polynomial 0x1EDC6F41, bits reflected.
[[nodiscard]] constexpr std::array<std::uint32_t, 256> crc32c_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t rest = byte;
        for (int bit = 0; bit < 8; ++bit) {
            rest = (rest >> 1) ^ ((rest & 1U) != 0 ? 0x82F63B78U : 0U);
        }
        table[byte] = rest;
    }
    return table;
}

} // namespace detail

/// CRC-32C (Castagnoli) of `bytes`, as in RFC 3720, appendix B.4: 32 bytes of zeros give 0x8A9136AA. `before` is the
/// checksum of what comes before them, to take a long message in pieces.
[[nodiscard]] constexpr std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) {
    constexpr std::array<std::uint32_t, 256> table = detail::crc32c_table();
    std::uint32_t rest = ~before;
    for (const std::byte byte : bytes) {
        rest = (rest >> 8) ^ table[(rest ^ static_cast<std::uint32_t>(byte)) & 0xFFU];
    }
    return ~rest;
}

/// The checksum as TensorFlow's record files store it: turned by 15 bits, plus a constant, so that the checksum of data
/// which holds checksums keeps its strength. The result wraps around at 2^32.
[[nodiscard]] constexpr std::uint32_t masked_crc32c(std::span<const std::byte> bytes) {
    const std::uint32_t crc = crc32c(bytes);
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

} // namespace reel
