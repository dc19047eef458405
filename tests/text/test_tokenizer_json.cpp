// The tokenizer folders and ids of transformers 5: golden files of make_tokenizer5_golden.py.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <reel/text/clip_tokenizer.hpp>

#include "text/tokenizer_folder.hpp"

using reel::CLIPTokenizer;
using reel::TextCleaning;
using reel::test::TemporaryFolder;

namespace {

const std::filesystem::path golden = "text/golden/tokenizer5";

nlohmann::json golden_json(const char* file) {
    return nlohmann::json::parse(reel::text::read_text_file(golden / file));
}

/// The message of loading the golden folder after `spoil` changed its tokenizer.json.
std::string message_of(const std::function<void(nlohmann::json&)>& spoil) {
    const TemporaryFolder folder;
    nlohmann::json json = golden_json("tokenizer.json");
    spoil(json);
    folder.write("tokenizer.json", json.dump());
    folder.write("tokenizer_config.json", golden_json("tokenizer_config.json").dump());
    try {
        (void)CLIPTokenizer::from_pretrained(folder.path());
    } catch (const reel::Error& error) {
        return error.what();
    }
    return "no error";
}

} // namespace

TEST_CASE("a tokenizer.json of transformers 5 gives its ids, added tokens of all kinds included") {
    const auto tokenizer = CLIPTokenizer::from_pretrained(golden, 0, TextCleaning::transformers5);
    CHECK(tokenizer.max_length() == 16);
    CHECK(tokenizer.cleaning() == TextCleaning::transformers5);
    const nlohmann::json rows = golden_json("strings.json");
    REQUIRE(rows.size() >= 10);
    for (const auto& row : rows) {
        CAPTURE(row[0].dump());
        CHECK(tokenizer.encode(row[0].get<std::string>()) == row[1].get<std::vector<std::int32_t>>());
    }
    const auto ids = tokenizer.token_ids("the <X y> <cat-toy>");
    CHECK(tokenizer.decode(ids) == "the <X y> <cat-toy>");
}

TEST_CASE("the same tokens as from vocab.json and merges.txt, and the cleaning is a choice") {
    const auto one = CLIPTokenizer::from_pretrained(golden);
    const auto two = CLIPTokenizer::from_pretrained("../examples/model/tokenizer");
    for (const char* prompt : {"a red ball is moving", "don’t!!", "schÃ¶n &amp; <|endoftext|>", ""}) {
        CHECK(one.encode(prompt) == two.encode(prompt));
    }
    CHECK(one.differs_in_transformers5("don’t"));
    CHECK_FALSE(one.differs_in_transformers5("don't"));
    CHECK_FALSE(two.differs_in_transformers5("don’t")); // not written by transformers 5
    CHECK_FALSE(
        CLIPTokenizer::from_pretrained(golden, 0, TextCleaning::transformers5).differs_in_transformers5("don’t"));
    const auto clean = [](const std::u32string& text) {
        return reel::text::clean_prompt(text, TextCleaning::transformers5);
    };
    CHECK(clean(U"Don’t  E\u0301 ΟΔΟΣ") == U"don’t \u00e9 οδοσ");
}

TEST_CASE("merges may be texts, as older releases write them") {
    CHECK(message_of([](auto& j) {
              for (auto& merge : j["model"]["merges"]) {
                  merge = merge[0].template get<std::string>() + " " + merge[1].template get<std::string>();
              }
          }) == "no error");
}

TEST_CASE("what a tokenizer.json has and CLIP's has not is refused by name") {
    using Json = nlohmann::json;
    const std::vector<std::pair<std::function<void(Json&)>, const char*>> cases{
        {[](Json& j) { j["version"] = "2.0"; }, "\"version\" is \"2.0\""},
        {[](Json& j) { j["new"] = 1; }, "unknown key \"new\""},
        {[](Json& j) { j["truncation"]["direction"] = "Left"; }, "\"truncation\" is "},
        {[](Json& j) { j["padding"]["direction"] = "Left"; }, "\"padding\" is "},
        {[](Json& j) { j["normalizer"] = nullptr; }, "normalizer: null is not supported"},
        {[](Json& j) {
             j["normalizer"] = {{"type", "BertNormalizer"}};
         },
         "normalizer: the type \"BertNormalizer\""},
        {[](Json& j) { j["normalizer"]["normalizers"][0]["type"] = "NFKC"; }, "normalizer[0]: the type \"NFKC\""},
        {[](Json& j) {
             j["normalizer"]["normalizers"].push_back({{"type", "Strip"}});
         },
         "a list of 3 parts"},
        {[](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; }, "\"pattern\" is "},
        {[](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }, "\"add_prefix_space\""},
        {[](Json& j) { j["post_processor"] = nullptr; }, "post_processor: null is not supported"},
        {[](Json& j) { j["post_processor"]["type"] = "TemplateProcessing"; }, "\"TemplateProcessing\""},
        {[](Json& j) { j["post_processor"]["cls"][0] = "[CLS]"; }, "\"cls\" is "},
        {[](Json& j) { j["model"]["type"] = "WordPiece"; }, "model: the type \"WordPiece\" is not supported"},
        {[](Json& j) { j["model"]["dropout"] = 0.1; }, "model: \"dropout\" is 0.1"},
        {[](Json& j) { j["model"]["byte_fallback"] = true; }, "\"byte_fallback\" is true"},
        {[](Json& j) { j["model"]["end_of_word_suffix"] = ""; }, "\"end_of_word_suffix\" is \"\""},
        {[](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; }, "\"continuing_subword_prefix\" is \"##\""},
        {[](Json& j) { j["model"].erase("vocab"); }, "expected \"vocab\""},
        {[](Json& j) { j["model"].erase("merges"); }, "expected \"merges\""},
        {[](Json& j) { j["model"]["merges"].push_back("a b c"); }, "the merge \"a b c\" is not two tokens"},
        {[](Json& j) {
             j["model"]["merges"].push_back({"q", "q"});
         },
         "the merge of 'q' and 'q'"},
        {[](Json& j) { j["model"]["vocab"].erase("!"); }, "lacks token '!' for byte 33"},
        {[](Json& j) { j["model"]["vocab"]["!"] = -1; }, "token '!' has id -1"},
        {[](Json& j) { j["added_tokens"][0]["single_word"] = true; }, "added_tokens[0]: \"single_word\" is true"},
        {[](Json& j) { j["added_tokens"][0]["id"] = 3; }, "the added token '<|startoftext|>' has id 3"},
        {[](Json& j) { j["added_tokens"][2]["id"] = 3; }, "have the same id 3"},
        {[](Json& j) { j["added_tokens"].erase(4); }, "lacks the special token '<X y>'"},
        {[](Json& j) { j = Json::array(); }, "expected a JSON object"},
    };
    for (const auto& [spoil, part] : cases) {
        const std::string message = message_of(spoil);
        CAPTURE(message);
        CHECK(message.find(part) != std::string::npos);
        CHECK(message.find("tokenizer.json") != std::string::npos);
    }
}
