// The bracket syntax of stable-diffusion-webui. The table is derived by hand from its documentation: (x) 1.1, [x] 1
// / 1.1, (x:w) w, nested brackets multiply, a backslash takes a bracket's meaning away.

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include <reel/text/weighted_prompt.hpp>

using reel::PromptSyntax;
using reel::weighted_texts;

TEST_CASE("brackets weigh words") {
    using Pieces = std::vector<std::pair<std::string, double>>;
    const std::vector<std::pair<std::string, Pieces>> table{
        {"", {}},
        {"a man", {{"a man", 1}}},
        {"an (important) word", {{"an ", 1}, {"important", 1.1}, {" word", 1}}},
        {"(unbalanced", {{"unbalanced", 1.1}}},
        {"[unbalanced", {{"unbalanced", 1 / 1.1}}},
        {"unbalanced)", {{"unbalanced)", 1}}},
        {"unbalanced]", {{"unbalanced]", 1}}},
        {"(a:1.5)", {{"a", 1.5}}},
        {"(a: 1.5 )", {{"a", 1.5}}},
        {"(a:+1.5)", {{"a", 1.5}}},
        {"(a:-0.5)", {{"a", -0.5}}},
        {"(a:.5)", {{"a", 0.5}}},
        {"(a:2) b", {{"a", 2}, {" b", 1}}},
        {"((a))", {{"a", 1.1 * 1.1}}},
        {"[[a]]", {{"a", 1 / 1.1 / 1.1}}},
        {"((a:1.5))", {{"a", 1.5 * 1.1}}},
        {"([a])", {{"a", 1.1 * (1 / 1.1)}}},
        {"(a (b) c)", {{"a ", 1.1}, {"b", 1.1 * 1.1}, {" c", 1.1}}},
        {"(a (b:2) c:0.5)", {{"a ", 0.5}, {"b", 1.0}, {" c", 0.5}}},
        {"\\(literal\\]", {{"(literal]", 1}}},
        {"\\[a\\] (b\\))", {{"[a] ", 1}, {"b)", 1.1}}},
        {"a\\\\b", {{"a\\b", 1}}},
        {"a\\b", {{"ab", 1}}},
        {"a: b", {{"a: b", 1}}},
        {"time 10:30", {{"time 10:30", 1}}},
        {"(a:b)", {{"a:b", 1.1}}},
        {"(a:1.2.3)", {{"a:1.2.3", 1.1}}},
        {"(a:1.2", {{"a:1.2", 1.1}}},
        {"[a:1.2]", {{"a:1.2", 1 / 1.1}}},
        {"(:1.2)", {}},
        {"()", {}},
        {"(a)(b)", {{"ab", 1.1}}},
        {"a (house:1.3) on [the] hill, ((sun))",
         {{"a ", 1}, {"house", 1.3}, {" on ", 1}, {"the", 1 / 1.1}, {" hill, ", 1}, {"sun", 1.1 * 1.1}}},
    };
    for (const auto& [prompt, expected] : table) {
        CAPTURE(prompt);
        const auto pieces = weighted_texts(prompt, PromptSyntax::a1111);
        REQUIRE(pieces.size() == expected.size());
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            CHECK(pieces[i].text == expected[i].first);
            CHECK(pieces[i].weight == doctest::Approx(expected[i].second).epsilon(1e-12));
        }
    }
}

TEST_CASE("a plain prompt keeps its brackets, and brackets have a limit") {
    const auto pieces = weighted_texts("(a:1.5) [b]", PromptSyntax::plain);
    REQUIRE(pieces.size() == 1);
    CHECK(pieces[0].text == "(a:1.5) [b]");
    CHECK(pieces[0].weight == 1);
    CHECK_THROWS_AS(static_cast<void>(weighted_texts(std::string(1001, '('), PromptSyntax::a1111)), reel::Error);
    CHECK(weighted_texts(std::string(1000, '(') + "a", PromptSyntax::a1111).size() == 1);
}

TEST_CASE("the ids of a weighed prompt are those of its words") {
    const auto tokenizer = reel::CLIPTokenizer::from_pretrained("golden/sd1_tiny/tokenizer");
    const auto read = reel::encode_weighted(tokenizer, "a (man:1.5) is [skiing]", PromptSyntax::a1111);
    CHECK(read.encoding.ids == tokenizer.encode("a man is skiing"));
    REQUIRE(read.weights.size() == 77);
    CHECK(read.weights[0] == 1);
    const std::size_t first = tokenizer.token_ids("a").size();
    CHECK(read.weights[first] == 1);
    CHECK(read.weights[first + 1] == 1.5F);
    CHECK(read.weights.back() == 1);
    CHECK(!read.is_plain());
    CHECK(reel::encode_weighted(tokenizer, "a (man:1.5)", PromptSyntax::plain).is_plain());
}
