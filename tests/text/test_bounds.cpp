#include "io/temporary_folder.hpp"
#include "support/cost.hpp"
#include "text/tokenizer_folder.hpp"

#include <reel/text/clip_tokenizer.hpp>

#include <doctest/doctest.h>

#include <string>

// Prompts made to take long: docs/text.md promises time linear in their length.

using namespace reel_test;

namespace {

/// Cleaning takes at most 50 microseconds a character, on a busy machine, and little memory; gives the result.
std::u32string cleaned(const std::u32string& prompt) {
    const Cost cost = cost_of([&] { (void)reel::text::clean_prompt(prompt); });
    CAPTURE(prompt.size());
    CAPTURE(cost.seconds);
    CAPTURE(cost.bytes >> 20);
    CHECK(cost.ended);
    CHECK(cost.seconds < 0.2 + 5e-5 * static_cast<double>(prompt.size()));
    CHECK((!measures_memory || cost.bytes <= 64 * prompt.size() + (std::size_t{16} << 20)));
    return cost.ended ? reel::text::clean_prompt(prompt) : U"no end";
}

std::u32string repeated(std::u32string_view part, std::size_t count) {
    std::u32string text;
    for (std::size_t i = 0; i < count; ++i) {
        text += part;
    }
    return text;
}

} // namespace

TEST_CASE("repairs that make each other possible end") {
    CHECK(cleaned(U"&" + repeated(U"amp;", 5) + U"lt;").ends_with(U"<"));
    CHECK(cleaned(U"&" + repeated(U"amp;", 60'000) + U"lt; \ufb01") == U"< fi");
    CHECK(cleaned(repeated(U"&semi", 30'000) + U";") == U";");
    // A digit of each reference is a reference itself: 0, 2, 4, 6, 8, 0, ...
    CHECK(cleaned(repeated(U"&#4&#5&#5&#5&#5", 5000) + U"0" + repeated(U";;;;;", 5000)) == U"0");
    CHECK(cleaned(repeated(U"\u00c2", 5) + U"\u00a9") == U"\u00a9");
    CHECK(cleaned(repeated(U"\u00c2", 60'000) + U"\u00a9").size() > 1000);
    CHECK(cleaned(repeated(repeated(U"\u00c2", 200) + U"\u00a9\n", 600)).size() > 1000);
}

TEST_CASE("marks are put in order fast, however many stand on one letter") {
    const std::u32string marks = cleaned(U"a" + repeated(U"\u0301", 60'000) + repeated(U"\u0323", 60'000));
    CHECK(marks.starts_with(U"\u1ea1\u0323")); // a with a dot below
    CHECK(marks.ends_with(U"\u0301"));
    // Each is one character that becomes two marks, of the classes 129 and 130.
    const std::u32string tibetan = cleaned(U"\u0f40" + repeated(U"\u0f73", 60'000));
    CHECK(tibetan == U"\u0f40" + repeated(U"\u0f71", 60'000) + repeated(U"\u0f72", 60'000));
}

TEST_CASE("a prompt of more than a mebibyte is refused") {
    const reel::test::TemporaryFolder folder;
    reel::test::write_folder(folder, "#version: 0.2\na b\n", "!");
    const auto tokenizer = reel::CLIPTokenizer::from_pretrained(folder.path());
    CHECK(tokenizer.token_ids(std::string(std::size_t{1} << 20, ' ')).empty());
    CHECK(contains(
        message_of<reel::Error>([&] { (void)tokenizer.token_ids(std::string((std::size_t{1} << 20) + 1, ' ')); }),
        "at most 1048576"));
}

TEST_CASE("a tokenizer's JSON nests no deeper than it may, and no special token is long") {
    for (const char* file : {"vocab.json", "tokenizer_config.json", "special_tokens_map.json"}) {
        const reel::test::TemporaryFolder folder;
        reel::test::write_folder(folder, "#version: 0.2\na b\n", "!");
        for (const char* open : {"[", "{\"a\":"}) {
            std::string deep;
            for (int i = 0; i < 200'000; ++i) {
                deep += open;
            }
            folder.write(file, deep);
            const auto read = [&] {
                return message_of<reel::Error>([&] { (void)reel::CLIPTokenizer::from_pretrained(folder.path()); });
            };
            const Cost cost = cost_of(read);
            CHECK(cost.ended);
            CHECK(contains(cost.ended ? read() : "", reel::concat_text(file, ": JSON nested deeper")));
        }
    }
}
