#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <reel/core/error.hpp>

namespace reel::text {

/// One step of a strict UTF-8 decoder: the code point and how many bytes it took. When the bytes are not
/// UTF-8, `valid` is false and `length` counts the longest prefix a valid sequence could have had (at least 1),
/// which is what a lossy decoder replaces by one U+FFFD (Unicode 15.0, section 3.9, "maximal subpart").
struct Utf8Step {
    char32_t code_point = 0xfffd;
    std::size_t length = 0;
    bool valid = false;
};

/// Decodes the code point that starts at `at`, which must be inside `bytes`. Overlong forms, surrogates and
/// values above U+10FFFF are not valid.
inline Utf8Step decode_utf8_step(std::string_view bytes, std::size_t at) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    const std::uint8_t first = byte(at);
    if (first < 0x80) {
        return {first, 1, true};
    }
    std::size_t length = 0;
    // The second byte's limits are what excludes overlong forms, surrogates and too large values.
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xbf;
    char32_t value = 0;
    if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
        value = first & 0x1fu;
    } else if (first >= 0xe0 && first <= 0xef) {
        length = 3;
        value = first & 0x0fu;
        low = first == 0xe0 ? 0xa0 : low;
        high = first == 0xed ? 0x9f : high;
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        value = first & 0x07u;
        low = first == 0xf0 ? 0x90 : low;
        high = first == 0xf4 ? 0x8f : high;
    } else {
        return {0xfffd, 1, false};
    }
    for (std::size_t i = 1; i < length; ++i) {
        if (at + i >= bytes.size() || byte(at + i) < low || byte(at + i) > high) {
            return {0xfffd, i, false};
        }
        value = value << 6 | (byte(at + i) & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    return {value, length, true};
}

/// Decodes UTF-8, or says nothing if the bytes are not UTF-8.
inline std::optional<std::u32string> try_decode_utf8(std::string_view bytes) {
    std::u32string out;
    out.reserve(bytes.size());
    for (std::size_t at = 0; at < bytes.size();) {
        const Utf8Step step = decode_utf8_step(bytes, at);
        if (!step.valid) {
            return std::nullopt;
        }
        out.push_back(step.code_point);
        at += step.length;
    }
    return out;
}

/// Decodes UTF-8. Throws Error, naming `what` and the offset of the first bad byte, if it is not UTF-8.
inline std::u32string decode_utf8(std::string_view bytes, std::string_view what = "text") {
    std::u32string out;
    out.reserve(bytes.size());
    for (std::size_t at = 0; at < bytes.size();) {
        const Utf8Step step = decode_utf8_step(bytes, at);
        if (!step.valid) [[unlikely]] {
            constexpr std::string_view digits = "0123456789abcdef";
            const auto bad = static_cast<std::uint8_t>(bytes[at]);
            fail(what, " is not valid UTF-8: byte offset ", at, " (0x", digits[bad >> 4], digits[bad & 15],
                 ") starts no character; convert it to UTF-8 first");
        }
        out.push_back(step.code_point);
        at += step.length;
    }
    return out;
}

/// Decodes UTF-8, with U+FFFD for each part that is not UTF-8 (as Python's errors="replace").
inline std::u32string decode_utf8_lossy(std::string_view bytes) {
    std::u32string out;
    for (std::size_t at = 0; at < bytes.size();) {
        const Utf8Step step = decode_utf8_step(bytes, at);
        out.push_back(step.code_point);
        at += step.length;
    }
    return out;
}

/// Appends one code point as UTF-8. It must be no surrogate and at most U+10FFFF.
inline void append_utf8(std::string& out, char32_t c) {
    const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

/// Encodes code points as UTF-8. Throws Error for a surrogate or a value above U+10FFFF.
inline std::string encode_utf8(std::u32string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        require(text[i] <= 0x10ffff && (text[i] < 0xd800 || text[i] > 0xdfff), "text: character ", i,
                " is no Unicode scalar value (", static_cast<std::uint32_t>(text[i]), ") and has no UTF-8 form");
        append_utf8(out, text[i]);
    }
    return out;
}

} // namespace reel::text
