#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <reel/text/clip_tokenizer.hpp>

#include "text/tokenizer_folder.hpp"

namespace {

std::string gunzip(const std::string& path) {
    const gzFile file = gzopen(path.c_str(), "rb");
    reel::require(file != nullptr, path, ": cannot open");
    std::string out;
    std::string block(1 << 16, '\0');
    int count = 0;
    while ((count = gzread(file, block.data(), static_cast<unsigned>(block.size()))) > 0) {
        out.append(block, 0, static_cast<std::size_t>(count));
    }
    gzclose(file);
    reel::require(count == 0, path, ": broken gzip");
    return out;
}

struct Reference {
    reel::test::TemporaryFolder sd1;
    reel::test::TemporaryFolder sd2;

    Reference() {
        const std::string merges = gunzip("text/golden/merges.txt.gz");
        const std::string vocab = reel::test::vocabulary_of(merges).dump();
        for (const auto* folder : {&sd1, &sd2}) {
            folder->write("merges.txt", merges);
            folder->write("vocab.json", vocab);
            reel::test::write_settings(*folder, folder == &sd1 ? "<|endoftext|>" : "!");
        }
    }
};

/// Counts strings that differ and shows the first ones.
struct Mismatches {
    int count = 0;
    void add(const std::string& what, const nlohmann::json& row) {
        if (++count <= 5) {
            MESSAGE(what << " differs for " << nlohmann::json(row["text"]).dump(-1, ' ', true));
        }
    }
};

void compare(const nlohmann::json& rows, const Reference& reference) {
    const auto sd1 = reel::CLIPTokenizer::from_pretrained(reference.sd1.path());
    const auto sd2 = reel::CLIPTokenizer::from_pretrained(reference.sd2.path());
    CHECK(sd1.vocabulary().size() == 49408);
    CHECK(sd1.pad_id() == 49407);
    CHECK(sd2.pad_id() == 0);
    Mismatches mismatches;
    for (const auto& row : rows) {
        const std::string text = row["text"];
        const std::u32string clean = reel::text::clean_prompt(reel::text::decode_utf8(text));
        if (reel::text::encode_utf8(clean) != row.value("clean", text)) {
            mismatches.add("cleaning", row);
        }
        for (const std::string name : {"sd1", "sd2"}) {
            const auto result = (name == "sd1" ? sd1 : sd2).encode_with_details(text);
            if (result.ids != row[name].get<std::vector<std::int32_t>>()) {
                mismatches.add(name, row);
            }
            if (row.contains(name + "_dropped") ? !result.truncated || result.dropped_text != row[name + "_dropped"]
                                                : result.truncated && text.size() < 2000) {
                mismatches.add(name + "'s dropped text", row);
            }
        }
    }
    MESSAGE(rows.size() << " strings compared, " << mismatches.count << " mismatches");
    CHECK(mismatches.count == 0);
}

} // namespace

TEST_CASE("ids, cleaned text and dropped text are those of transformers' CLIPTokenizer") {
    const Reference reference;
    const auto rows = nlohmann::json::parse(gunzip("text/golden/strings.json.gz"));
    REQUIRE(rows.size() >= 5000);
    compare(rows, reference);
    if (const char* more = std::getenv("REEL_TOKENIZER_GOLDEN")) {
        compare(nlohmann::json::parse(gunzip(more)), reference);
    }
}

TEST_CASE("with the other cleaning the ids are those of transformers 5, from either kind of folder") {
    const Reference reference;
    const auto rows = nlohmann::json::parse(gunzip("text/golden/strings.json.gz"));
    const auto later = nlohmann::json::parse(gunzip("text/golden/transformers5.json.gz"));
    // tokenizer.json as transformers 5 writes it, with the whole vocabulary.
    nlohmann::json one = nlohmann::json::parse(reel::text::read_text_file("text/golden/tokenizer5/tokenizer.json"));
    const std::string merges = gunzip("text/golden/merges.txt.gz");
    one["model"]["vocab"] = reel::test::vocabulary_of(merges);
    nlohmann::json list = nlohmann::json::array();
    for (std::size_t at = merges.find('\n') + 1; at < merges.size() && list.size() < 48894;) {
        const std::size_t end = std::min(merges.find('\n', at), merges.size());
        const std::size_t space = merges.find(' ', at);
        list.push_back({merges.substr(at, space - at), merges.substr(space + 1, end - space - 1)});
        at = end + 1;
    }
    one["model"]["merges"] = std::move(list);
    int differ = 0;
    for (const std::string name : {"sd1", "sd2"}) {
        const std::string pad = name == "sd1" ? "<|endoftext|>" : "!";
        one["added_tokens"] = nlohmann::json::array();
        for (const auto& token : {std::string("<|startoftext|>"), std::string("<|endoftext|>"), std::string("!")}) {
            if (token != "!" || pad == "!") {
                one["added_tokens"].push_back({{"id", one["model"]["vocab"][token]}, {"content", token}});
            }
        }
        const reel::test::TemporaryFolder folder;
        folder.write("tokenizer.json", one.dump());
        folder.write("tokenizer_config.json",
                     nlohmann::json{{"model_max_length", 77}, {"backend", "tokenizers"}, {"pad_token", pad}}.dump());
        const auto old = reel::CLIPTokenizer::from_pretrained((name == "sd1" ? reference.sd1 : reference.sd2).path(), 0,
                                                              reel::TextCleaning::transformers5);
        const auto tokenizer =
            reel::CLIPTokenizer::from_pretrained(folder.path(), 0, reel::TextCleaning::transformers5);
        Mismatches mismatches;
        REQUIRE(later[name].size() == rows.size());
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const auto& expected = later[name][i].is_null() ? rows[i][name] : later[name][i];
            auto ids = expected.get<std::vector<std::int32_t>>();
            ids.resize(77, tokenizer.pad_id());
            differ += later[name][i].is_null() ? 0 : 1;
            const std::string text = rows[i]["text"];
            if (tokenizer.encode(text) != ids || old.encode(text) != ids) {
                mismatches.add(name, rows[i]);
            }
        }
        CHECK(mismatches.count == 0);
    }
    CHECK(differ > 4000); // and are not those of the default
}

TEST_CASE("what is mojibake is what ftfy takes for it") {
    const auto strings = nlohmann::json::parse(gunzip("text/golden/badness.json.gz"));
    int wrong = 0;
    for (const std::string name : {"bad", "good"}) {
        REQUIRE(strings[name].size() > 1000);
        for (const std::string text : strings[name]) {
            if (reel::text::is_bad(reel::text::decode_utf8(text)) != (name == "bad") && ++wrong <= 5) {
                MESSAGE(nlohmann::json(text).dump(-1, ' ', true) << " is " << name);
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("every token of CLIP's vocabulary survives decoding and encoding") {
    const Reference reference;
    const auto tokenizer = reel::CLIPTokenizer::from_pretrained(reference.sd1.path());
    int changed = 0;
    for (std::int32_t id = 0; id < 49406; ++id) {
        const std::string& token = tokenizer.vocabulary().token(id);
        const bool plain = token.ends_with("</w>") &&
                           std::all_of(token.begin(), token.end() - 4, [](char c) { return c >= 'a' && c <= 'z'; });
        if (plain) {
            const auto ids = tokenizer.token_ids(tokenizer.decode({&id, 1}));
            changed += ids.size() == 1 && ids[0] == id ? 0 : 1;
        }
    }
    CHECK(changed == 0);
}

TEST_CASE("ten thousand characters are cut off, quickly, and said to be") {
    const Reference reference;
    const auto tokenizer = reel::CLIPTokenizer::from_pretrained(reference.sd1.path());
    std::string marks = "a";
    std::string nested = "&";
    for (int i = 0; i < 5000; ++i) {
        marks += "\u0323\u0301";
        nested += i < 2500 ? "amp;" : "";
    }
    std::string words;
    while (words.size() < 10000) {
        words += "a man is swinging a tennis racket, ";
    }
    const auto begin = std::chrono::steady_clock::now();
    for (const std::string& prompt :
         {words, std::string(10000, 'a'), std::string(10000, '!'), std::string(10000, '7'), marks}) {
        const auto result = tokenizer.encode_with_details(prompt);
        CHECK(result.ids.size() == 77);
        CHECK(result.ids.front() == 49406);
        CHECK(result.ids.back() == 49407);
        CHECK(result.used == 77);
        CHECK(result.truncated);
        CHECK_FALSE(result.dropped_text.empty());
    }
    CHECK(tokenizer.token_ids(nested) == tokenizer.token_ids("&"));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    CHECK(seconds.count() < 30);
}
