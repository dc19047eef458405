// CLIP's real vocabulary, in the file that it ships, against its own tokenizer: the same tokens for every line of the
// class names and prompts that CLIP was evaluated with.

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/pipelines/model_tokenizer.hpp>

#include "peers.hpp"

using namespace reel;

TEST_CASE("CLIP's own tokenizer") {
    const auto folder = peers::suite("CLIP");
    const auto tokenizer =
        read_model_tokenizer(folder / "clip" / "bpe_simple_vocab_16e6.txt.gz", false, TextCleaning::ftfy);
    CHECK(tokenizer.vocabulary().size() == 49408);
    std::size_t lines = 0;
    std::size_t tokens = 0;
    for (const nlohmann::json& item : read_json(folder / "cases.json")) {
        const auto line = item[0].get<std::string>();
        CAPTURE(line);
        const auto expected = item[1].get<std::vector<std::int32_t>>();
        CHECK(tokenizer.token_ids(line) == expected);
        ++lines;
        tokens += expected.size();
    }
    MESSAGE(lines, " lines, ", tokens, " tokens");
    CHECK(lines == 5982);
}
