#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <reel/text/clip_words.hpp>
#include <reel/text/fix_text.hpp>

using namespace std::string_view_literals;
using reel::text::fix_text;

namespace {

std::string lowered(std::u32string_view text) {
    return reel::text::encode_utf8(reel::text::lower(text));
}

std::string message_of(std::string_view bytes) {
    try {
        (void)fix_text(bytes);
    } catch (const reel::Error& error) {
        return error.what();
    }
    return "no error";
}

} // namespace

TEST_CASE("HTML's character references") {
    CHECK(fix_text("&amp; &eacute;&#233;&#xE9; &hellip; &NotEqualTilde;") == "& ééé … ≂̸");
    CHECK(fix_text("BUNDESSTRA&SZLIG;E P&EACUTE;REZ &nTILDE;") == "BUNDESSTRASSE PÉREZ &nTILDE;");
    CHECK(fix_text("&amp;amp;lt;") == "<"); // again and again, until nothing changes
    CHECK(fix_text("&copy &nothing; &#; &#x; &#12x; & ;") == "&copy &nothing; &#; &#x; &#12x; & ;");
    CHECK(fix_text("&#59;") == "&#59;");
    CHECK(fix_text("&#0;&#xD83D;&#x110000;&#99999999999999999999;") == "\ufffd\ufffd\ufffd\ufffd");
    CHECK(fix_text("a&#1;&#xFFFE;b&#128;") == "ab€");
}

TEST_CASE("a '<' keeps character references, from its line on") {
    CHECK(fix_text("&amp;\n<b>&amp;</b>\n&amp;") == "&\n<b>&amp;</b>\n&amp;");
}

TEST_CASE("mojibake") {
    CHECK(fix_text("schÃ¶n") == "schön");
    CHECK(fix_text("âœ” No problems") == "✔ No problems");
    CHECK(fix_text("Ã la mode") == "à la mode");
    CHECK(fix_text("Ã s onze") == "às onze"); // Portuguese
    CHECK(fix_text("l’Ã©tÃ©") == "l'été");
    CHECK(fix_text("ÃƒÂ¼") == "ü"); // twice
    CHECK(fix_text("РџСЂРёРІРµС‚") == "Привет");
    CHECK(fix_text("â€œ like this â€\ufffd") == "\" like this \ufffd");
    CHECK(fix_text("the \u0085 and \u0093quotes\u0094") == "the … and \"quotes\"");
    CHECK(fix_text("Å is a word, naïve café ¿qué?") == "Å is a word, naïve café ¿qué?");
    // CESU-8: an emoji as two surrogates of three bytes each.
    CHECK(fix_text("\u00ed\u00a0\u00bd\u00ed\u00b8\u008d") == "😍");
}

TEST_CASE("ligatures, widths, quotes, lines, escapes, controls, normal form") {
    CHECK(fix_text("ﬂuﬃest ŉ Ǆ ﬅ") == "fluffiest 'n DŽ ſt");
    CHECK(fix_text("ＬＯＵＤ　ＮＯＩＳＥＳ ｶﾞ") == "LOUD NOISES ガ");
    CHECK(fix_text("“a” ‘b’ „c‟ ʼ") == "\"a\" 'b' \"c\" '");
    CHECK(fix_text("a\r\nb\rc\u2028d\u2029e") == "a\nb\nc\nd\ne");
    CHECK(fix_text("\033[36;44mblue\033[0m \033[x \033[;") == "blue  [;");
    CHECK(fix_text("a\0b\x07\x7f\ufeff\ufffc"sv) == "ab");
    CHECK(fix_text("e\u0301 \u1112\u1161\u11ab \u212b") == "é 한 Å");
    CHECK(fix_text("") == "");
}

TEST_CASE("surrogates, which only text that was no UTF-8 has") {
    const std::u32string pair = {0xd83d, 0xdca9};
    const std::u32string swapped = {0xdca9, 0xd83d};
    CHECK(fix_text(pair) == U"💩");
    CHECK(fix_text(swapped) == U"\ufffd\ufffd");
}

TEST_CASE("lower case as Python's") {
    CHECK(lowered(U"ΟΔΟΣ ΣΑΣ. Σ aΣ' AΣB") == "οδος σας. σ aς' aσb");
    CHECK(lowered(U"İSTANBUL Kelvin ǅ Ⓐ ⅷⅧ") == "i̇stanbul kelvin ǆ ⓐ ⅷⅷ");
}

TEST_CASE("words") {
    const auto words = [](std::string_view prompt) {
        const std::u32string clean = reel::text::clean_prompt(reel::text::decode_utf8(prompt));
        std::string out;
        for (std::size_t at = 0; at < clean.size();) {
            const std::size_t length = reel::text::word_length(clean, at);
            out += reel::text::encode_utf8(std::u32string_view(clean).substr(at, length)) + (length > 0 ? "|" : "");
            at += length > 0 ? length : 1;
        }
        return out;
    };
    CHECK(words("  It's 2023,\tthey'LL say:  \"Don't!\"") == "it|'s|2|0|2|3|,|they|'ll|say|:|\"|don|'t|!\"|");
    CHECK(words("''s re'd 'ſ x\u0345y") == "''|s|re|'d|'ſ|x|y|");
    CHECK(words("<|ENDOFTEXT|>!<|endoftext|>") == "<|endoftext|>|!<||endoftext||>|");
    CHECK(words("<|EndOfText|>a<|end|>") == "<|endoftext|>|a|<||end||>|");
}

TEST_CASE("bytes that are no UTF-8 are an error that says where") {
    CHECK(message_of("abc\xff").find("byte offset 3 (0xff)") != std::string::npos);
    CHECK(message_of("é\xc3").find("byte offset 2 (0xc3)") != std::string::npos);
    for (const std::string_view bad : {"\xc0\x80"sv, "\xed\xa0\x80"sv, "\xf4\x90\x80\x80"sv, "\xe2\x82"sv, "\x80"sv,
                                       "\xf5"sv, "\xe0\x9f\xbf"sv, "\xf0\x8f\xbf\xbf"sv}) {
        CHECK(message_of(bad).find("not valid UTF-8") != std::string::npos);
    }
    CHECK(reel::text::decode_utf8_lossy("a\xe2\x82z\xff\xf0\x9f\x98") == U"a\ufffdz\ufffd\ufffd");
    CHECK_THROWS_AS((void)reel::text::encode_utf8(std::u32string(1, 0xd800)), reel::Error);
}
