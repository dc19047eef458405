#pragma once // Needs utf8proc (target reel::text).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <reel/core/utf8.hpp>
#include <reel/text/badness.hpp>
#include <reel/text/code_pages.hpp>

/// Undoes mojibake ("schÃ¶n" to "schön"), as ftfy 6.3.1's `fix_encoding` does.
namespace reel::text {

namespace detail {

/// How many characters repairs may still go over. They are repeated until nothing changes, and a text can be made so
/// that each time changes one character: a hostile one stops half repaired instead of taking a time that grows with the
/// square of its length. A short text never stops so, a long one after some 16 rounds; two are usual, five rare.
class RepairBudget {
public:
    explicit RepairBudget(std::size_t length) : left_(16 * length + 2048) {}

    /// Takes one more round over `length` characters; false when too little is left.
    [[nodiscard]] bool spend(std::size_t length) {
        const bool enough = length <= left_;
        left_ -= enough ? length : 0;
        return enough;
    }

private:
    std::size_t left_;
};

inline bool has_class(char32_t c, std::uint32_t wanted) {
    return (classes_of(c) & wanted) != 0;
}

/// How long a run of characters at `at` looks like UTF-8 bytes taken for characters; 0 if it does not.
inline std::size_t utf8_lookalike(std::u32string_view text, std::size_t at) {
    const auto continues = [&](std::size_t begin, std::size_t count) {
        if (begin + count > text.size()) {
            return false;
        }
        return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(begin),
                           text.begin() + static_cast<std::ptrdiff_t>(begin + count),
                           [](char32_t c) { return has_class(c, class_utf8_continuation); });
    };
    std::size_t end = at;
    for (bool more = true; more && end < text.size();) {
        more = false;
        const std::uint32_t classes = classes_of(text[end]);
        constexpr std::array firsts = {class_utf8_first_of_2, class_utf8_first_of_3, class_utf8_first_of_4};
        for (std::size_t tail = 1; tail <= firsts.size() && !more; ++tail) {
            if ((classes & firsts[tail - 1]) != 0 && continues(end + 1, tail)) {
                end += 1 + tail;
                more = true;
            }
        }
    }
    return end - at;
}

} // namespace detail

namespace detail {

inline std::u32string fix_encoding(std::u32string_view text, RepairBudget& budget);

/// Fixes the parts of a text that look like UTF-8 taken for characters, each on its own: for a text put
/// together from several encodings.
inline std::u32string decode_inconsistent_utf8(std::u32string_view text, RepairBudget& budget) {
    std::u32string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const bool inside_garble = at > 0 && has_class(text[at - 1], class_utf8_continuation_strict);
        const std::size_t length = inside_garble ? 0 : utf8_lookalike(text, at);
        if (length == 0) {
            out.push_back(text[at++]);
            continue;
        }
        const std::u32string_view part = text.substr(at, length);
        // Only a part shorter than the whole, or this would not end.
        out += length < text.size() ? fix_encoding(part, budget) : std::u32string(part);
        at += length;
    }
    return out;
}

} // namespace detail

/// C1 control characters become what Windows-1252 has at their place.
inline std::u32string fix_c1_controls(std::u32string_view text) {
    std::u32string out(text);
    for (char32_t& c : out) {
        if (c >= 0x80 && c <= 0x9f && page_windows_1252[c - 0x80] != 0) {
            c = page_windows_1252[c - 0x80];
        }
    }
    return out;
}

namespace detail {

/// The text's bytes in a code page, read as UTF-8; nothing if it does not have such bytes or they are not that.
inline std::optional<std::u32string> reread(std::u32string_view text, const CharacterSet& set) {
    std::optional<std::string> bytes = set.encode(text);
    if (!bytes) {
        return std::nullopt;
    }
    if (set.restores_space && has_altered_utf8(*bytes)) {
        *bytes = restore_no_break_spaces(*bytes);
    }
    if (set.sloppy) {
        *bytes = replace_lossy_sequences(*bytes);
    }
    const bool variant = bytes->find('\xed') != bytes->npos || bytes->find('\xc0') != bytes->npos;
    return variant ? try_decode_utf8_variants(*bytes) : try_decode_utf8(*bytes);
}

/// One step; returns the text unchanged when there is nothing (more) to fix.
inline std::u32string fix_encoding_once(std::u32string_view text, RepairBudget& budget) {
    const bool ascii = std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; });
    if (ascii || !is_bad(text)) {
        return std::u32string(text);
    }
    for (const CharacterSet& set : character_sets()) {
        if (auto fixed = reread(text, set)) {
            return *std::move(fixed);
        }
    }
    if (std::u32string fixed = decode_inconsistent_utf8(text, budget); fixed != text) {
        return fixed;
    }
    // What is left may be Windows-1252 taken for Latin-1.
    return fix_c1_controls(text);
}

inline std::u32string fix_encoding(std::u32string_view text, RepairBudget& budget) {
    std::u32string now(text);
    while (budget.spend(now.size())) {
        std::u32string next = fix_encoding_once(now, budget);
        if (next == now) {
            break;
        }
        now = std::move(next);
    }
    return now;
}

} // namespace detail

/// Finds text that was decoded with a wrong code page and decodes it again, until none is left (in time linear in its
/// length: see detail::RepairBudget).
inline std::u32string fix_encoding(std::u32string_view text) {
    detail::RepairBudget budget(text.size());
    return detail::fix_encoding(text, budget);
}

} // namespace reel::text
