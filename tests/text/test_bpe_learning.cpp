#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <reel/io/config/json.hpp>
#include <reel/text/bpe_learning.hpp>
#include <reel/text/clip_tokenizer.hpp>
#include <reel/text/tokenizer_writer.hpp>

#include "text/tokenizer_folder.hpp"

using reel::learn_bpe;
using reel::LearnedVocabulary;
using reel::test::TemporaryFolder;
using Captions = std::vector<std::string>;
using Merges = std::vector<std::pair<std::string, std::string>>;

namespace {

nlohmann::json golden() {
    const gzFile file = gzopen("text/golden/bpe.json.gz", "rb");
    reel::require(file != nullptr, "text/golden/bpe.json.gz: cannot open");
    std::string out;
    std::string block(1 << 16, '\0');
    int count = 0;
    while ((count = gzread(file, block.data(), static_cast<unsigned>(block.size()))) > 0) {
        out.append(block, 0, static_cast<std::size_t>(count));
    }
    gzclose(file);
    reel::require(count == 0, "text/golden/bpe.json.gz: broken gzip");
    return nlohmann::json::parse(out);
}

/// The merges that captions lead to until no pair is left.
Merges merges_of(const Captions& captions, std::uint64_t min_frequency = 1) {
    return learn_bpe(captions, reel::largest_bpe_vocabulary, min_frequency).merges;
}

bool fails_with(const std::function<void()>& what, const std::string& part) {
    try {
        what();
    } catch (const reel::Error& error) {
        const bool found = std::string(error.what()).find(part) != std::string::npos;
        if (!found) {
            MESSAGE("'" << part << "' not in: " << error.what());
        }
        return found;
    }
    return false;
}

} // namespace

TEST_CASE("vocabulary, files and ids are those of the reference") {
    for (const auto& row : golden()) {
        const std::string name = row["name"];
        CAPTURE(name);
        const LearnedVocabulary learned =
            learn_bpe(row["captions"].get<Captions>(), row["vocab_size"], row["min_frequency"]);
        CHECK(learned.tokens == row["tokens"].get<Captions>());
        std::string merges = "#version: 0.2\n";
        for (const std::string merge : row["merges"]) {
            merges += merge + "\n";
        }
        const TemporaryFolder folder;
        const std::size_t ids = row["ids_of_encoder"];
        reel::write_tokenizer(folder.path() / "tokenizer", learned, row["length"], ids);

        // What the reference read to make the ids is what was written here.
        const auto path = [&](const char* file) { return folder.path() / "tokenizer" / file; };
        CHECK(reel::text::read_text_file(path("merges.txt")) == merges);
        CHECK(reel::read_json(path("tokenizer_config.json")) == row["settings"]);
        CHECK(reel::read_json(path("special_tokens_map.json")) == row["special"]);
        auto vocab = nlohmann::json::object();
        for (std::size_t i = 0; i < row["tokens"].size(); ++i) {
            vocab[row["tokens"][i].get<std::string>()] = i;
        }
        vocab["<|startoftext|>"] = (ids > 0 ? ids : learned.size()) - 2;
        vocab["<|endoftext|>"] = (ids > 0 ? ids : learned.size()) - 1;
        CHECK(reel::read_json(path("vocab.json")) == vocab);

        const auto tokenizer = reel::CLIPTokenizer::from_pretrained(folder.path() / "tokenizer");
        CHECK(tokenizer.max_length() == row["length"]);
        int wrong = 0;
        REQUIRE(row["strings"].size() >= 200);
        for (std::size_t i = 0; i < row["strings"].size(); ++i) {
            if (tokenizer.encode(row["strings"][i].get<std::string>()) !=
                    row["ids"][i].get<std::vector<std::int32_t>>() &&
                ++wrong <= 5) {
                MESSAGE("ids differ for " << row["strings"][i].dump(-1, ' ', true));
            }
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("the order of captions does not matter") {
    auto captions = golden()[0]["captions"].get<Captions>();
    const LearnedVocabulary one = learn_bpe(captions, 10000);
    std::reverse(captions.begin(), captions.end());
    const LearnedVocabulary other = learn_bpe(captions, 10000);
    CHECK(one.tokens == other.tokens);
    CHECK(one.merges == other.merges);
}

TEST_CASE("the most frequent pair comes first, then smaller ids") {
    CHECK(merges_of({"ab ab cd"}) == Merges{{"a", "b</w>"}, {"c", "d</w>"}});
    CHECK(merges_of({"cd ab"}) == Merges{{"a", "b</w>"}, {"c", "d</w>"}});
    CHECK(merges_of({"ac ab"}) == Merges{{"a", "b</w>"}, {"a", "c</w>"}});
    // The pair "a a" is there twice and its second place goes when the first is merged.
    CHECK(merges_of({"aaab"}) == Merges{{"a", "a"}, {"a", "b</w>"}, {"aa", "ab</w>"}});
    CHECK(merges_of({"ab ab cd"}, 2) == Merges{{"a", "b</w>"}});
    CHECK(merges_of({"ab ab cd"}, 3).empty());
    // A word's end is another token; case, white space and special tokens are the tokenizer's business.
    CHECK(merges_of({"  AB\tab <|endoftext|>"}, 2) == Merges{{"a", "b</w>"}});
    CHECK(merges_of({"", " ", "a", "7 7 77"}).empty());
}

TEST_CASE("every merge gives a new token") {
    for (const auto& row : golden()) {
        const LearnedVocabulary learned = learn_bpe(row["captions"].get<Captions>(), 49408, 1);
        const std::set<std::string> different(learned.tokens.begin(), learned.tokens.end());
        CHECK(different.size() == 512 + learned.merges.size());
    }
}

TEST_CASE("learning ends at the wanted size") {
    const Captions captions = {"a man is swinging a red tennis racket"};
    for (const std::size_t size : {514, 515, 530}) {
        const LearnedVocabulary learned = learn_bpe(captions, size, 1);
        CHECK(learned.size() == size);
        CHECK(learned.merges.size() == size - 514);
    }
    CHECK(learn_bpe({}, 600).size() == 514);
}

TEST_CASE("what cannot be is an error") {
    const Captions captions = {"a man", "a \xff man"};
    CHECK(fails_with([&] { (void)learn_bpe(captions, 600); }, "caption 1"));
    CHECK(fails_with([&] { (void)learn_bpe({}, 513); }, "expected 514"));
    CHECK(fails_with([&] { (void)learn_bpe({}, 49409); }, "49408"));
    CHECK(fails_with([&] { (void)learn_bpe({}, 600, 0); }, "min_frequency is 0"));
    const TemporaryFolder folder;
    const LearnedVocabulary bytes = learn_bpe({}, 514);
    CHECK(fails_with([&] { reel::write_tokenizer(folder.path(), bytes, 2); }, "model_max_length is 2"));
    CHECK(fails_with([&] { reel::write_tokenizer(folder.path(), bytes, 77, 513); }, "vocab_size is 513"));
    CHECK(std::filesystem::is_empty(folder.path()));
}
