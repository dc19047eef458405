// CLIP's vocabulary from one file: the same tokenizer as from vocab.json and merges.txt (golden/merges.txt.gz: CLIP's).

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <reel/pipelines/model_tokenizer.hpp>
#include <reel/text/open_clip_vocabulary.hpp>

#include "text/tokenizer_folder.hpp"

namespace {

std::string error_of(const std::filesystem::path& path) {
    try {
        static_cast<void>(reel::read_open_clip_vocabulary(path));
    } catch (const reel::Error& error) {
        return error.what();
    }
    return "";
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("bpe_simple_vocab_16e6.txt.gz gives the tokenizer of vocab.json and merges.txt") {
    const reel::test::TemporaryFolder folder;
    const std::filesystem::path packed = "text/golden/merges.txt.gz";
    const std::string merges = reel::detail::read_gzip_text(packed, std::size_t{64} << 20);
    folder.write("merges.txt", merges);
    folder.write("vocab.json", reel::test::vocabulary_of(merges).dump());
    // The file itself begins with its own name, and has more merges than are used.
    folder.write("bpe.txt", "\"bpe_simple_vocab_16e6.txt#version: 0.2\n" + merges.substr(merges.find('\n') + 1) +
                                "more</w> than</w>\n");
    for (const bool second : {false, true}) {
        const auto usual = reel::read_model_tokenizer(folder.path(), second, reel::TextCleaning::ftfy);
        CHECK(usual.vocabulary().size() == 49408);
        CHECK(usual.pad_id() == (second ? 0 : 49407));
        for (const auto& path : {packed, folder.path() / "bpe.txt"}) {
            const auto read = reel::read_model_tokenizer(path, second, reel::TextCleaning::ftfy);
            CHECK(read.vocabulary().size() == 49408);
            for (const char* prompt : {"a man is swinging a red tennis racket", "Ünïcode, 3.14 & <|endoftext|>!", "",
                                       "don't stop", "tokenisation of extraordinarily unusualwords"}) {
                CHECK(read.encode(prompt) == usual.encode(prompt));
            }
        }
    }
    CHECK(reel::read_open_clip_vocabulary(packed).merges.size() == 48894);
}

TEST_CASE("what is written for a tuned model is the same tokenizer") {
    for (const bool second : {false, true}) {
        const reel::test::TemporaryFolder folder;
        reel::write_model_tokenizer("text/golden/merges.txt.gz", second, folder.path());
        const auto written = reel::CLIPTokenizer::from_pretrained(folder.path());
        const auto read = reel::read_model_tokenizer("text/golden/merges.txt.gz", second, reel::TextCleaning::ftfy);
        for (const char* prompt : {"a man is skiing!", "wonder woman"}) {
            CHECK(written.encode(prompt) == read.encode(prompt));
        }
    }
}

TEST_CASE("files that are no vocabulary") {
    const reel::test::TemporaryFolder folder;
    folder.write("other.txt", "in</w> the</w>\n");
    CHECK(has(error_of(folder.path() / "other.txt"), "not a tokenizer"));
    folder.write("short.txt", "#version: 0.2\ni n\n");
    CHECK(has(error_of(folder.path() / "short.txt"), "1 merges, expected at least 48894"));
    folder.write("broken.txt", "#version: 0.2\ni n\nlonely\n");
    CHECK(has(error_of(folder.path() / "broken.txt"), "merge 2 is not two tokens"));
    folder.write("empty.txt", "");
    CHECK(has(error_of(folder.path() / "empty.txt"), "not a tokenizer"));
    CHECK(has(error_of(folder.path() / "none.txt"), "cannot read"));
    std::ifstream file("text/golden/merges.txt.gz", std::ios::binary);
    std::string packed{std::istreambuf_iterator<char>(file), {}};
    packed.resize(packed.size() / 2);
    folder.write("cut.txt.gz", packed);
    CHECK(!error_of(folder.path() / "cut.txt.gz").empty());
}
