#pragma once
// Plain text on pictures, in a small fixed-width font of its own. No other library.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

namespace detail {

inline constexpr int glyph_rows = 9; ///< seven above the line, two below it
inline constexpr int glyph_points = 5;

/// ASCII 32 to 126, a blank between. Each of a glyph's nine characters is a row from the top, a digit of base 32 whose
/// highest bit is the point on the left.
inline constexpr std::string_view font_rows =
    "000000000 444440400 aaa000000 aavavaa00 4fke5u400 op248j300 cik8lid00 448000000 "
    "248888842 842222248 04lel4000 044v44000 00000cc48 000e00000 00000cc00 1122488gg "
    "ehjlphe00 4ck444v00 eh168gv00 eh161he00 359hv1100 vgu11he00 78guhhe00 v11244400 "
    "ehhehhe00 ehhf12s00 00cc0cc00 00cc0cc48 024842000 00v0v0000 084248000 eh1640400 "
    "ehlnmgf00 4aahvhh00 uhhuhhu00 fgggggf00 uhhhhhu00 vgguggv00 vgguggg00 fggjhhf00 "
    "hhhvhhh00 v44444v00 71111he00 hikokih00 ggggggv00 hrrllhh00 hppljjh00 ehhhhhe00 "
    "uhhuggg00 ehhhhhe43 uhhukih00 fgge11u00 v44444400 hhhhhhe00 hhhaa4400 hhllrrh00 "
    "hha4ahh00 hhaa44400 v1248gv00 e8888888e gg8842211 e2222222e 4ah000000 0000000v0 "
    "840000000 00e1fhf00 gguhhhu00 00fgggf00 11fhhhf00 00ehvgf00 34e444400 00fhhhf1e "
    "gguhhhh00 40c444e00 20622222c ggikoki00 c44444300 00ullll00 00uhhhh00 00ehhhe00 "
    "00uhhhugg 00fhhhf11 00noggg00 00fge1u00 44e444300 00hhhhf00 00hhaa400 00lllla00 "
    "00ha4ah00 00hhhhf1e 00v248v00 244484442 444444444 844424448 008l20000";

/// Rows of a character's glyph; for what is not ASCII an empty box, for control characters a blank.
[[nodiscard]] inline std::array<std::uint8_t, glyph_rows> glyph(unsigned char character) {
    std::array<std::uint8_t, glyph_rows> rows{31, 17, 17, 17, 17, 17, 31};
    if (character < 127) {
        const std::size_t first = character < 32 ? 0 : (character - std::size_t{32}) * (glyph_rows + 1);
        for (std::size_t row = 0; row < rows.size(); ++row) {
            const char digit = font_rows[first + row];
            rows[row] = static_cast<std::uint8_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
        }
    }
    return rows;
}

/// Whether a byte of UTF-8 goes on with the character before it.
[[nodiscard]] inline bool continues_character(char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
}

/// Characters in a UTF-8 text.
[[nodiscard]] inline std::size_t character_count(std::string_view text) {
    return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues_character));
}

} // namespace detail

/// From one character to the next, and from one line to the next, in pixels at size 1.
inline constexpr int text_advance = 6;
inline constexpr int text_line_height = 11;

/// Width of a line of text in pixels, each point of a glyph being `size` x `size` of them.
[[nodiscard]] inline int text_width(std::string_view text, int size = 1) {
    const auto characters = static_cast<int>(std::min<std::size_t>(detail::character_count(text), max_picture_side));
    return characters == 0 ? 0 : (characters * text_advance - 1) * size;
}

/// Where a line of text stands and what it looks like, in pixels.
struct TextStyle {
    int top = 0; ///< of the first glyph's corner
    int left = 0;
    int size = 1; ///< sides of a glyph's points
    std::array<std::uint8_t, 3> colour{255, 255, 255};
};

/// Writes one line into frame `index`. ASCII is drawn, any other UTF-8
/// character as an empty box. What lies outside the picture is cut off. Throws Error when there is no such frame or
/// `size` is not positive.
inline void draw_text(Frames& frames, int index, std::string_view text, const TextStyle& style = {}) {
    const int size = style.size;
    int left = style.left;
    require(size > 0 && size <= max_picture_side, "draw_text: size is ", size, ", expected 1 to ", max_picture_side);
    (void)frames.frame(index);
    const auto point = [&](int y, int x) {
        for (int row = std::max(y, 0); row < std::min(y + size, frames.height); ++row) {
            for (int column = std::max(x, 0); column < std::min(x + size, frames.width); ++column) {
                std::copy(style.colour.begin(), style.colour.end(), frames.pixel(index, row, column));
            }
        }
    };
    for (const char character : text) {
        if (detail::continues_character(character)) {
            continue;
        }
        if (left >= frames.width) {
            break;
        }
        const auto rows = detail::glyph(static_cast<unsigned char>(character));
        for (int row = 0; row < detail::glyph_rows; ++row) {
            for (int column = 0; column < detail::glyph_points; ++column) {
                if (((rows[static_cast<std::size_t>(row)] >> (detail::glyph_points - 1 - column)) & 1) != 0) {
                    point(style.top + row * size, left + column * size);
                }
            }
        }
        left += text_advance * size;
    }
}

/// Breaks a text into lines of at most `columns` characters, between words; a longer word is cut. Line feeds begin new
/// lines. An empty text has no line. Throws Error when `columns` is not positive.
[[nodiscard]] inline std::vector<std::string> wrap_text(std::string_view text, int columns) {
    require(columns > 0, "wrap_text: ", columns, " columns, expected 1 or more");
    const auto limit = static_cast<std::size_t>(columns);
    std::vector<std::string> lines;
    while (!text.empty()) {
        std::size_t end = 0;        // bytes that fit
        std::size_t characters = 0; // and how many characters they are
        std::size_t space = std::string_view::npos;
        while (end < text.size() && text[end] != '\n') {
            if (!detail::continues_character(text[end]) && characters++ == limit) {
                break;
            }
            space = text[end] == ' ' ? end : space;
            ++end;
        }
        const bool whole = end == text.size() || text[end] == '\n' || text[end] == ' ';
        const std::size_t cut = whole || space == std::string_view::npos || space == 0 ? end : space;
        lines.emplace_back(text.substr(0, cut));
        text.remove_prefix(
            std::min(text.size(), cut < text.size() && (text[cut] == ' ' || text[cut] == '\n') ? cut + 1 : cut));
    }
    return lines;
}

} // namespace reel
