#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <reel/text/clip_tokenizer.hpp>

#include "text/tokenizer_folder.hpp"

using reel::CLIPTokenizer;
using reel::test::TemporaryFolder;
using reel::test::write_folder;
using Tokens = std::vector<std::string>;

namespace {

const std::string merges = "#version: 0.2\nc a\nca t</w>\na t\nt h\nth e</w>\na a\n";

/// The message of loading a folder after `spoil` changed it.
std::string message_of(const std::function<void(const TemporaryFolder&)>& spoil) {
    const TemporaryFolder folder;
    write_folder(folder, merges, "<|endoftext|>", 8);
    REQUIRE_NOTHROW((void)CLIPTokenizer::from_pretrained(folder.path()));
    spoil(folder);
    try {
        (void)CLIPTokenizer::from_pretrained(folder.path());
    } catch (const reel::Error& error) {
        return error.what();
    }
    return "no error";
}

bool has(const std::string& message, std::string_view part) {
    if (message.find(part) == std::string::npos) {
        MESSAGE("'" << part << "' not in: " << message);
        return false;
    }
    return true;
}

void change(const TemporaryFolder& folder, const char* file, const std::function<void(nlohmann::json&)>& how) {
    nlohmann::json json = nlohmann::json::parse(reel::text::read_text_file(folder.path() / file));
    how(json);
    folder.write(file, json.dump());
}

} // namespace

TEST_CASE("merges by rank, from left to right") {
    const TemporaryFolder folder;
    write_folder(folder, merges, "<|endoftext|>", 8);
    const auto tokenizer = CLIPTokenizer::from_pretrained(folder.path());
    CHECK(tokenizer.tokenize("The CAT") == Tokens{"the</w>", "cat</w>"});
    CHECK(tokenizer.tokenize("cats at") == Tokens{"ca", "t", "s</w>", "a", "t</w>"});
    CHECK(tokenizer.tokenize("aaa aaaa aaaaa") == Tokens{"aa", "a</w>", "aa", "a", "a</w>", "aa", "aa", "a</w>"});
    CHECK(tokenizer.tokenize("é") == Tokens{"Ã", "©</w>"});
    CHECK(tokenizer.tokenize(" \n").empty());
}

TEST_CASE("a merge that makes a better one possible does not go first") {
    const TemporaryFolder folder;
    write_folder(folder, "#version: 0.2\nab a\na b\n", "<|endoftext|>", 8);
    CHECK(CLIPTokenizer::from_pretrained(folder.path()).tokenize("ababz abaz") ==
          Tokens{"ab", "ab", "z</w>", "aba", "z</w>"});
}

TEST_CASE("start, end, padding, and what does not fit") {
    const TemporaryFolder folder;
    write_folder(folder, merges, "<|endoftext|>", 6);
    const auto tokenizer = CLIPTokenizer::from_pretrained(folder.path());
    const auto bos = tokenizer.bos_id();
    const auto eos = tokenizer.eos_id();
    const auto the = *tokenizer.vocabulary().find("the</w>");
    const auto cat = *tokenizer.vocabulary().find("cat</w>");
    CHECK(tokenizer.encode("") == std::vector{bos, eos, eos, eos, eos, eos});
    CHECK(tokenizer.encode("the cat") == std::vector{bos, the, cat, eos, eos, eos});
    const auto whole = tokenizer.encode_with_details("the cat the cat");
    CHECK_FALSE(whole.truncated);
    CHECK(whole.used == 6);
    const auto cut = tokenizer.encode_with_details("the cat the cat, the end");
    CHECK(cut.ids == whole.ids);
    CHECK(cut.truncated);
    CHECK(cut.dropped_text == ", the end");
    CHECK(CLIPTokenizer::from_pretrained(folder.path(), 4).encode("the cat the") == std::vector{bos, the, cat, eos});
    CHECK_THROWS_WITH_AS((void)tokenizer.encode("the \xfe"), doctest::Contains("byte offset 4"), reel::Error);
}

TEST_CASE("special tokens in the prompt") {
    const TemporaryFolder folder;
    write_folder(folder, merges, "!", 12);
    const auto tokenizer = CLIPTokenizer::from_pretrained(folder.path());
    CHECK(tokenizer.pad_id() == 0);
    CHECK(tokenizer.tokenize("cat!! the") == Tokens{"cat</w>", "!", "!", "the</w>"});
    CHECK(tokenizer.tokenize("the<|endoftext|>cat") == Tokens{"the</w>", "<|endoftext|>", "cat</w>"});
    CHECK(tokenizer.tokenize("<|STARTOFTEXT|>") == Tokens{"<|startoftext|>"});
    write_folder(folder, merges, "<|endoftext|>", 12);
    CHECK(CLIPTokenizer::from_pretrained(folder.path()).tokenize("cat!!") == Tokens{"cat</w>", "!", "!</w>"});
}

TEST_CASE("decoding") {
    const TemporaryFolder folder;
    write_folder(folder, merges, "!", 12);
    const auto tokenizer = CLIPTokenizer::from_pretrained(folder.path());
    CHECK(tokenizer.decode(tokenizer.token_ids("The cat's é, isn't it?")) == "the cat's é, isn 't it?");
    CHECK(tokenizer.decode(tokenizer.encode("cat")).starts_with("<|startoftext|>cat <|endoftext|>!!!"));
    CHECK(tokenizer.decode(std::vector{*tokenizer.vocabulary().find("Ã")}) == "\ufffd");
    CHECK_THROWS_WITH_AS((void)tokenizer.decode(std::vector{99999}), doctest::Contains("no token has id 99999"),
                         reel::Error);
}

TEST_CASE("missing and broken files") {
    CHECK_THROWS_WITH_AS((void)CLIPTokenizer::from_pretrained("no/such/folder"), doctest::Contains("no such folder"),
                         reel::Error);
    for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
        const std::string message = message_of([&](const auto& f) { std::filesystem::remove(f.path() / name); });
        CHECK(has(message, std::string(name) + ": no such file"));
    }
    CHECK(has(message_of([](const auto& f) { f.write("vocab.json", "{\"a\": 1,"); }), "vocab.json: not valid JSON"));
    CHECK(has(message_of([](const auto& f) { f.write("vocab.json", "[1]"); }), "expected a JSON object, found array"));
    CHECK(has(message_of([](const auto& f) { f.write("vocab.json", "{\"a\": 1, \"a\": 2}"); }), "appears twice"));
    CHECK(has(message_of([](const auto& f) { f.write("vocab.json", "version https://git-lfs.github.com/spec/v1\n"); }),
              "git lfs pull"));
    CHECK(has(message_of([](const auto& f) { f.write("vocab.json", "{\"\xff\": 1}"); }), "not valid JSON"));
    CHECK(has(message_of([](const auto& f) {
                  std::filesystem::remove(f.path() / "merges.txt");
                  std::filesystem::create_directory(f.path() / "merges.txt");
              }),
              "not a regular file"));
}

TEST_CASE("a vocabulary that does not fit") {
    const auto vocab = [](const std::function<void(nlohmann::json&)>& how) {
        return message_of([&](const auto& f) { change(f, "vocab.json", how); });
    };
    CHECK(has(vocab([](auto& v) { v.erase("Ġ</w>"); }), "lacks token 'Ġ</w>' for byte 32"));
    CHECK(has(vocab([](auto& v) { v["cat</w>"] = 5; }), "have the same id 5"));
    CHECK(has(vocab([](auto& v) { v["a"] = -1; }), "token 'a' has id -1"));
    CHECK(has(vocab([](auto& v) { v["a"] = 1.5; }), "token 'a' has id 1.5"));
    CHECK(has(vocab([](auto& v) { v["a"] = "1"; }), "token 'a' has id \"1\""));
    CHECK(has(vocab([](auto& v) { v["a"] = std::uint64_t{1} << 63; }), "token 'a' has id"));
    CHECK(has(vocab([](auto& v) { v.erase("<|startoftext|>"); }), "lacks the special token '<|startoftext|>'"));
    CHECK(has(vocab([](auto& v) { v.erase("cat</w>"); }), "line 3 ('ca t</w>'): 'cat</w>' is not in"));
}

TEST_CASE("malformed merges") {
    const auto merged = [](std::string_view lines) {
        return message_of(
            [&](const auto& f) { f.write("merges.txt", "#version: 0.2\nc a\n" + std::string(lines) + "\nt h\n"); });
    };
    CHECK(merged("a t") == "no error");
    for (const std::string_view line : {"at", "a t h", " a", "a ", "", "a  t"}) {
        CHECK(has(merged(line), "merges.txt: line 3 ('" + std::string(line) + "'): expected two tokens"));
    }
    CHECK(has(merged("x y"), "line 3 ('x y'): 'xy' is not in"));
    CHECK(merged("xx y") == "no error"); // no text leads to 'xx'
    CHECK(message_of([](const auto& f) { f.write("merges.txt", "#version: 0.2\r\nc a\r\nca t</w>\r\n"); }) ==
          "no error");
}

TEST_CASE("settings that are not supported are named") {
    const auto setting = [](const char* file, const char* key, const nlohmann::json& value) {
        return message_of([&](const auto& f) { change(f, file, [&](auto& j) { j[key] = value; }); });
    };
    const char* config = "tokenizer_config.json";
    CHECK(has(setting(config, "model_max_length", 1000000000000000019884624838656.0), "\"model_max_length\" is 1e+30"));
    CHECK(has(setting(config, "model_max_length", 2), "expected a whole number from 3"));
    CHECK(has(setting(config, "tokenizer_class", "BertTokenizer"), "\"tokenizer_class\" is \"BertTokenizer\""));
    CHECK(has(setting(config, "padding_side", "left"), "\"padding_side\" is \"left\""));
    CHECK(has(setting(config, "new_thing", 7), "\"new_thing\" is not supported (value 7)"));
    CHECK(has(setting(config, "pad_token", 7), "\"pad_token\": expected a string"));
    CHECK(setting(config, "new_thing", nullptr) == "no error");
    CHECK(has(setting("special_tokens_map.json", "mask_token", "[M]"), "\"mask_token\" is not supported"));
    CHECK(has(setting("special_tokens_map.json", "pad_token", "[PAD]"), "lacks the special token '[PAD]'"));
    CHECK(has(message_of([](const auto& f) { f.write("added_tokens.json", "{\"<cat>\": 900}"); }),
              "added tokens are not supported"));
    CHECK(has(message_of([](const auto& f) {
                  change(f, "tokenizer_config.json", [](auto& j) { j.erase("model_max_length"); });
              }),
              "no \"model_max_length\""));
}
