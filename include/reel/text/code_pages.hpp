#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <reel/core/utf8.hpp>
#include <reel/text/mojibake_tables.hpp>

/// Single-byte code pages, and repairs of UTF-8 bytes that went through one: what ftfy 6.3.1 tries on mojibake.
namespace reel::text {

/// A single-byte code page as ftfy uses it. A "sloppy" one gives bytes without a meaning Latin-1's, as browsers
/// do, and byte 0x1a stands for U+FFFD, a character that was lost.
class CharacterSet {
public:
    /// `page` null: Latin-1, where every byte is its own character.
    CharacterSet(const CodePage* page, bool is_sloppy, bool restores) : sloppy(is_sloppy), restores_space(restores) {
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            char32_t c = byte;
            if (byte >= 0x80 && page != nullptr) {
                const char16_t defined = (*page)[byte - 0x80];
                c = defined != 0 ? char32_t{defined} : byte;
            } else if (byte == 0x1a && sloppy) {
                c = 0xfffd;
            }
            bytes_.emplace(c, static_cast<char>(static_cast<unsigned char>(byte)));
        }
    }

    /// The bytes of a text, or nothing if it has a character that this code page lacks.
    std::optional<std::string> encode(std::u32string_view text) const {
        std::string out;
        out.reserve(text.size());
        for (const char32_t c : text) {
            const auto byte = bytes_.find(c);
            if (byte == bytes_.end()) {
                return std::nullopt;
            }
            out.push_back(byte->second);
        }
        return out;
    }

    bool sloppy;
    /// Whether a space may be a no-break space that someone replaced. Not in MacRoman, where that would match
    /// an en dash with a space after it.
    bool restores_space;

private:
    std::unordered_map<char32_t, char> bytes_;
};

/// The code pages in the order in which they are tried.
inline const std::array<CharacterSet, 10>& character_sets() {
    static const std::array<CharacterSet, 10> sets = {{
        {nullptr, false, true},
        {&page_windows_1252, true, true},
        {&page_windows_1251, true, true},
        {&page_windows_1250, true, true},
        {&page_windows_1253, true, true},
        {&page_windows_1254, true, true},
        {&page_windows_1257, true, true},
        {&page_iso_8859_2, false, true},
        {&page_macroman, false, false},
        {&page_cp437, false, true},
    }};
    return sets;
}

namespace detail {

/// A set of bytes: ranges, both ends included.
struct ByteSet {
    struct Range {
        std::uint8_t first;
        std::uint8_t last;
    };
    std::array<Range, 6> ranges{};
    std::size_t count = 0;

    constexpr ByteSet() = default;
    constexpr ByteSet(std::initializer_list<Range> list) {
        for (const Range& range : list) {
            ranges[count++] = range;
        }
    }
    constexpr bool has(char c) const {
        const auto byte = static_cast<std::uint8_t>(c);
        for (std::size_t i = 0; i < count; ++i) {
            if (byte >= ranges[i].first && byte <= ranges[i].last) {
                return true;
            }
        }
        return false;
    }
};

/// A pattern of up to six bytes; an empty set ends it.
using BytePattern = std::array<ByteSet, 6>;

/// The length of the first of `patterns` that matches at `at`, or 0.
template <std::size_t N>
std::size_t match_bytes(const BytePattern (&patterns)[N], std::string_view bytes, std::size_t at) {
    for (const BytePattern& pattern : patterns) {
        std::size_t length = 0;
        while (length < pattern.size() && pattern[length].count > 0 && at + length < bytes.size() &&
               pattern[length].has(bytes[at + length])) {
            ++length;
        }
        if (length == pattern.size() || pattern[length].count == 0) {
            return length;
        }
    }
    return 0;
}

inline constexpr ByteSet space_byte{{0x20, 0x20}};
inline constexpr ByteSet tail_byte{{0x80, 0xbf}};
inline constexpr ByteSet lost_byte{{0x1a, 0x1a}, {0x3f, 0x3f}};
inline constexpr ByteSet lost_or_tail_byte{{0x1a, 0x1a}, {0x3f, 0x3f}, {0x80, 0xbf}};
inline constexpr ByteSet substitute_or_tail_byte{{0x1a, 0x1a}, {0x80, 0xbf}};
inline constexpr ByteSet lead_3_byte{{0xe0, 0xef}};
inline constexpr ByteSet lead_4_byte{{0xf0, 0xf4}};
inline constexpr ByteSet surrogate_lead_byte{{0xed, 0xed}};
inline constexpr ByteSet high_surrogate_byte{{0xa0, 0xaf}};
inline constexpr ByteSet low_surrogate_byte{{0xb0, 0xbf}};
/// Continuation bytes but 0x85 and 0xa0, which white space clean-up eats too.
inline constexpr ByteSet tail_unless_space_byte{{0x80, 0x84}, {0x86, 0x9f}, {0xa1, 0xbf}};

/// UTF-8 in which byte 0xa0 was replaced by a space, where the character that it restores is a likely one.
inline constexpr BytePattern altered_utf8[] = {
    {ByteSet{{0xc2, 0xc3}, {0xc5, 0xc5}, {0xce, 0xce}, {0xd0, 0xd0}, {0xd9, 0xd9}}, space_byte},
    {ByteSet{{0xe2, 0xe3}}, space_byte, tail_unless_space_byte},
    {ByteSet{{0xe0, 0xe3}}, tail_unless_space_byte, space_byte},
    {ByteSet{{0xf0, 0xf0}}, space_byte, tail_byte, tail_byte},
    {ByteSet{{0xf0, 0xf0}}, tail_byte, space_byte, tail_byte},
    {ByteSet{{0xf0, 0xf0}}, tail_byte, tail_byte, space_byte},
};

/// UTF-8 (or UTF-16 surrogates written as UTF-8) in which bytes were lost: 0x1a, or one '?'.
inline constexpr BytePattern lossy_utf8[] = {
    {ByteSet{{0xc2, 0xdf}}, ByteSet{{0x1a, 0x1a}}},
    {ByteSet{{0xc2, 0xc3}}, ByteSet{{0x3f, 0x3f}}},
    {surrogate_lead_byte, high_surrogate_byte, lost_byte, surrogate_lead_byte, low_surrogate_byte, lost_or_tail_byte},
    {surrogate_lead_byte, high_surrogate_byte, lost_or_tail_byte, surrogate_lead_byte, low_surrogate_byte, lost_byte},
    {lead_3_byte, lost_byte, substitute_or_tail_byte},
    {lead_3_byte, substitute_or_tail_byte, lost_byte},
    {lead_4_byte, lost_byte, substitute_or_tail_byte, substitute_or_tail_byte},
    {lead_4_byte, substitute_or_tail_byte, lost_byte, substitute_or_tail_byte},
    {lead_4_byte, substitute_or_tail_byte, substitute_or_tail_byte, lost_byte},
    {ByteSet{{0x1a, 0x1a}}},
};

inline bool has_altered_utf8(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        if (match_bytes(altered_utf8, bytes, at) > 0) {
            return true;
        }
    }
    return false;
}

} // namespace detail

/// Puts byte 0xa0 back where a space stands in a UTF-8 sequence. An "à" that is a word of its own also keeps a
/// space after it, but for the Portuguese words that begin with it.
inline std::string restore_no_break_spaces(std::string_view bytes) {
    std::string words;
    words.reserve(bytes.size());
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        words.push_back(bytes[at]);
        if (bytes[at] != '\xc3' || at + 1 >= bytes.size() || bytes[at + 1] != ' ') {
            continue;
        }
        const std::string_view after = bytes.substr(at + 2);
        bool inside_word = false;
        for (const std::string_view rest : {" ", "quele", "quela", "quilo", "s "}) {
            inside_word = inside_word || after.substr(0, rest.size()) == rest;
        }
        if (!inside_word) {
            words += "\xa0 ";
            ++at;
        }
    }
    for (std::size_t at = 0; at < words.size();) {
        const std::size_t length = detail::match_bytes(detail::altered_utf8, words, at);
        for (std::size_t i = 0; i < length; ++i) {
            if (words[at + i] == ' ') {
                words[at + i] = '\xa0';
            }
        }
        at += length > 0 ? length : 1;
    }
    return words;
}

/// Replaces UTF-8 sequences in which bytes were lost by U+FFFD's.
inline std::string replace_lossy_sequences(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = detail::match_bytes(detail::lossy_utf8, bytes, at);
        if (length > 0) {
            out += "\xef\xbf\xbd";
            at += length;
        } else {
            out.push_back(bytes[at++]);
        }
    }
    return out;
}

/// Decodes UTF-8 in which characters above U+FFFF may be two surrogates of three bytes each (CESU-8) and
/// U+0000 two bytes (Java); nothing if the bytes are not that. As in ftfy, a line feed that ends the text may
/// take the place of such a sequence's last byte.
inline std::optional<std::u32string> try_decode_utf8_variants(std::string_view bytes) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    const auto within = [&](std::size_t i, int low, int high) { return byte(i) >= low && byte(i) <= high; };
    const auto is_last = [&](std::size_t i) {
        return i < bytes.size() && (within(i, 0x80, 0xbf) || (i + 1 == bytes.size() && bytes[i] == '\n'));
    };
    std::u32string out;
    for (std::size_t at = 0; at < bytes.size();) {
        if (byte(at) == 0xc0 && is_last(at + 1) && (byte(at + 1) == 0x80 || bytes[at + 1] == '\n')) {
            out.push_back(0);
            at += 2;
            continue;
        }
        const bool surrogates = at + 5 < bytes.size() && byte(at) == 0xed && within(at + 1, 0xa0, 0xaf) &&
                                within(at + 2, 0x80, 0xbf) && byte(at + 3) == 0xed && within(at + 4, 0xb0, 0xbf) &&
                                is_last(at + 5);
        if (surrogates) {
            const auto bits = [&](std::size_t i, std::uint32_t mask) { return byte(at + i) & mask; };
            out.push_back(0x10000 + (bits(1, 0x0f) << 16) + (bits(2, 0x3f) << 10) + (bits(4, 0x0f) << 6) +
                          bits(5, 0x3f));
            at += 6;
            continue;
        }
        const Utf8Step step = decode_utf8_step(bytes, at);
        if (!step.valid) {
            return std::nullopt;
        }
        out.push_back(step.code_point);
        at += step.length;
    }
    return out;
}

} // namespace reel::text
