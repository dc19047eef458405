// JSONTestSuite (Nicolas Seriot, "Parsing JSON is a minefield"): files named y_ must be read, n_ refused, and i_ are
// left to the reader. read_json() reads all of them.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <reel/io/config/json.hpp>

#include "peers.hpp"

using namespace reel;

namespace {

/// One sentence: the file's name first, one line, nothing that a terminal would obey.
bool is_plain(const std::string& message, const std::string& path) {
    return message.starts_with(path + ": ") && message.size() < path.size() + 400 &&
           std::none_of(message.begin(), message.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

} // namespace

TEST_CASE("JSONTestSuite: what must be read is read, what must be refused is refused in one sentence") {
    // A repeated key is an error here: one of two values would be lost without a word.
    const std::set<std::string> stricter{"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"};
    std::map<char, int> read;
    std::map<char, int> refused;
    for (const auto& entry : std::filesystem::directory_iterator(peers::suite("JSONTestSuite") / "test_parsing")) {
        const std::string name = entry.path().filename().string();
        CAPTURE(name);
        bool well = false;
        std::string message;
        try {
            const auto value = read_json(entry.path());
            well = true;
        } catch (const Error& error) {
            message = error.what();
        }
        CAPTURE(message);
        ++(well ? read : refused)[name[0]];
        CHECK((well || is_plain(message, entry.path().string())));
        if (name[0] == 'y') {
            CHECK(well == !stricter.contains(name));
        } else if (name[0] == 'n') {
            CHECK(!well);
        }
    }
    CHECK(read['y'] == 93);
    CHECK(refused['y'] == 2);
    CHECK(refused['n'] == 188);
    MESSAGE("of those left to the reader, ", read['i'], " are read and ", refused['i'], " refused");
    CHECK(read['i'] + refused['i'] == 35);
}
