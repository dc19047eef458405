// Which tokens of an edited prompt stand for which of the clip's.

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <reel/text/aligned_prompts.hpp>

using namespace reel;

namespace {

const CLIPTokenizer& tokenizer() {
    static const CLIPTokenizer clip = CLIPTokenizer::from_pretrained("golden/sd1_tiny/tokenizer");
    return clip;
}

/// "source>edited" of the tokens that come from the clip, of prompts alone: not of their ends and padding.
std::vector<std::string> pairs(const TokenAlignment& alignment, std::size_t source, std::size_t edited) {
    std::vector<std::string> found;
    for (std::size_t j = 1; j <= edited; ++j) {
        for (std::size_t i = 1; i <= source; ++i) {
            if (const float share = alignment.share[i * alignment.tokens + j]; share != 0) {
                found.push_back(std::to_string(i) + ">" + std::to_string(j) + (share == 1 ? "" : "*"));
            }
        }
    }
    return found;
}

std::size_t count(const std::string& prompt) {
    return tokenizer().token_ids(prompt).size();
}

} // namespace

TEST_CASE("refined_tokens: as many as possible in the same order, and ends for ends") {
    const std::string source = "a man is skiing";
    const std::string edited = "a man in red is skiing fast";
    const std::size_t a = count(source);
    const std::size_t b = count(edited);
    const TokenAlignment tokens = refined_tokens(tokenizer(), source, edited);
    const std::size_t red = count("in red");
    std::vector<std::string> expected;
    const std::size_t man = count("a man");
    for (std::size_t i = 1; i <= a; ++i) {
        expected.push_back(std::to_string(i) + ">" + std::to_string(i <= man ? i : i + red));
    }
    CHECK(pairs(tokens, a, b) == expected);
    for (std::size_t j = 0; j < tokens.tokens; ++j) {
        float sum = tokens.own[j];
        for (std::size_t i = 0; i < tokens.tokens; ++i) {
            sum += tokens.share[i * tokens.tokens + j];
        }
        CHECK(sum == 1); // from the clip or its own, never both
    }
    CHECK(tokens.share[(a + 1) * tokens.tokens + b + 1] == 1); // the end
    CHECK(tokens.share[76 * tokens.tokens + 76 - (a + 1) + b] == 0);
    CHECK(tokens.own[man + 1] == 1);

    const TokenAlignment same = refined_tokens(tokenizer(), source, source);
    for (std::size_t j = 0; j < same.tokens; ++j) {
        CHECK(same.share[j * same.tokens + j] == 1);
    }
    // Of a shorter prompt the last padding has none to take from, and keeps its own.
    const TokenAlignment shorter = refined_tokens(tokenizer(), edited, source);
    CHECK(shorter.own[76] == 1);
    CHECK(shorter.own[76 - (b - a)] == 0);
    static_cast<void>(refined_tokens(tokenizer(), "", ""));
    static_cast<void>(refined_tokens(tokenizer(), std::string(2000, 'x'), "a man"));
}

TEST_CASE("replaced_words: word for word, shared out among its tokens") {
    const std::string source = "a b is skiing";
    const std::string word = "xylophonist";
    const std::size_t parts = count(word);
    REQUIRE(parts > 1);
    REQUIRE(count("b") == 1); // of the small vocabulary few words are one token
    const TokenAlignment tokens = replaced_words(tokenizer(), source, "a " + word + " is skiing");
    const std::size_t at = count("a") + 1;
    for (std::size_t k = 0; k < parts; ++k) {
        CHECK(tokens.share[at * tokens.tokens + at + k] == doctest::Approx(1.0 / static_cast<double>(parts)));
        CHECK(tokens.own[at + k] == 0);
    }
    CHECK(tokens.share[(at + 1) * tokens.tokens + at + parts] == 1);
    // What a word had is neither lost nor doubled.
    const std::size_t edited = count(source) + parts - 1;
    for (std::size_t i = 0; i <= count(source) + 1; ++i) {
        float sum = 0;
        for (std::size_t j = 0; j <= edited + 1; ++j) {
            sum += tokens.share[i * tokens.tokens + j];
        }
        CHECK(sum == doctest::Approx(1));
    }
    try {
        static_cast<void>(replaced_words(tokenizer(), source, "a b skiing"));
        FAIL("expected an error");
    } catch (const Error& error) {
        CHECK(std::string(error.what()).find("has 4 words, \"a b skiing\" 3") != std::string::npos);
    }
}

TEST_CASE("tokens_of_word: wherever it stands") {
    const auto first = static_cast<index_t>(count("a")) + 1;
    const std::vector<index_t> found = tokens_of_word(tokenizer(), "a man and a man", "man");
    REQUIRE(found.size() == 2 * count("man"));
    CHECK(found.front() == first);
    CHECK(found.back() == static_cast<index_t>(count("a man and a man")));
    CHECK_THROWS_AS(static_cast<void>(tokens_of_word(tokenizer(), "a man", "racket")), Error);
    CHECK_THROWS_AS(static_cast<void>(tokens_of_word(tokenizer(), "a man", "")), Error);
}
