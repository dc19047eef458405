// ftfy's own cases (tests/test-cases): what it mends, what it must leave alone, and what it fails at, which reel must
// fail at, too, or prompts would get other tokens than in Python.

#include <doctest/doctest.h>

#include <map>
#include <string>

#include <reel/io/config/json.hpp>
#include <reel/text/fix_text.hpp>

#include "peers.hpp"

using namespace reel;

namespace {

/// UTF-8 bytes read as Latin-1: another layer of damage.
std::string mangled(const std::string& text) {
    std::string out;
    for (const char byte : text) {
        text::append_utf8(out, static_cast<unsigned char>(byte));
    }
    return out;
}

} // namespace

TEST_CASE("ftfy's cases") {
    const auto folder = peers::suite("ftfy") / "tests" / "test-cases";
    const std::map<std::string, std::size_t> files{
        {"in-the-wild", 70}, {"language-names", 20}, {"negative", 31}, {"synthetic", 30}, {"known-failures", 10}};
    std::size_t passed = 0;
    std::size_t failed = 0;
    for (const auto& entry : files) {
        const std::string& file = entry.first; // clang 14 captures no structured binding
        const nlohmann::json cases = read_json(folder / (file + ".json"));
        CHECK(cases.size() == entry.second);
        for (const nlohmann::json& item : cases) {
            const auto original = item["original"].get<std::string>();
            const auto fixed = item["fixed"].get<std::string>();
            const auto encoding = item.value("fixed-encoding", fixed);
            const std::string repaired = text::encode_utf8(text::fix_encoding(text::decode_utf8(original)));
            CAPTURE(file);
            CAPTURE(original);
            if (item["expect"] == "fail") {
                CHECK(repaired != encoding);
                ++failed;
                continue;
            }
            CHECK(text::fix_text(original) == fixed);
            CHECK(repaired == encoding);
            CHECK(text::fix_text(mangled(original)) == fixed);
            ++passed;
        }
    }
    CHECK(passed == 151);
    CHECK(failed == 10);
}
