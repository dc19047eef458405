#include "io/temporary_folder.hpp"

#include <reel/io/config/config_reader.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace reel_test;
using reel::ConfigReader;

namespace {

ConfigReader config(const std::string& text) {
    return {reel::parse_json(text, "c.json"), "c.json"};
}

template <class Action>
std::string error_of(const Action& action) {
    return message_of<reel::Error>(action);
}

std::string parse_error(const std::string& text) {
    return error_of([&] { (void)reel::parse_json(text, "c.json"); });
}

} // namespace

TEST_CASE("JSON errors name the file and the place") {
    CHECK(parse_error("{\"a\": [1, 2, {\"b\": null}]}").empty());
    const std::string message = parse_error("{\"a\": 1,\n  \"b\": }");
    CHECK(contains(message, "c.json: not valid JSON at line 2, column 8"));
    CHECK_FALSE(contains(message, "json.exception"));
    CHECK(contains(parse_error("{\"a\": 1} x"), "line 1"));
    CHECK(contains(parse_error("{\"a\": 1, \"a\": 2}"), "\"a\" appears twice"));
    // A zero byte is no end of the text.
    using namespace std::string_literals;
    CHECK(parse_error("{\"a\": 1}\n\0"s) == "c.json: not valid JSON at line 2, column 1: a zero byte");
    CHECK(contains(parse_error("{\"a\": 1}\0, \"b\": 2}"s), "line 1, column 9: a zero byte"));
    CHECK(contains(parse_error("\0"s), "column 1: a zero byte"));
    CHECK(contains(parse_error("{\"a\": \"x\0y\"}"s), "a zero byte"));
    CHECK(contains(error_of([&] { reel::for_each_json_member("{\"a\": 1}\0"s, "w", [](const auto&, const auto&) {}); }),
                   "w: not valid JSON at line 1, column 9: a zero byte"));
    CHECK(parse_error("[{\"a\": 1}, {\"a\": 1}]").empty());
    CHECK(contains(parse_error(std::string(100, '[')), "nested deeper than 64"));
    CHECK(contains(parse_error("{\"a\": 1e999}"), "not valid JSON"));
    CHECK(contains(parse_error(""), "not valid JSON"));
    const std::string whole = R"({"a": [1, 2.5, "x\u00e9"], "b": {"c": true, "d": null}})";
    for (std::size_t size = 0; size < whole.size(); ++size) {
        REQUIRE_FALSE(parse_error(whole.substr(0, size)).empty());
    }
}

TEST_CASE("JSON files are written whole and read back") {
    TemporaryFolder folder;
    const nlohmann::json value{{"name", "caf\xc3\xa9"}, {"list", {1, 2, 3}}, {"rate", 3e-5}};
    reel::write_json(folder / "a.json", value);
    CHECK(reel::read_json(folder / "a.json") == value);
    CHECK(contains(error_of([&] { reel::write_json(folder / "b.json", "\xff"); }), "b.json"));
    CHECK(folder.count() == 1);
    put_text(folder / "empty.json", "");
    CHECK(contains(error_of([&] { (void)reel::read_json(folder / "empty.json"); }), "empty"));
    CHECK(contains(error_of([&] { (void)reel::read_json(folder / "none.json"); }), "none.json"));
}

TEST_CASE("a configuration gives typed values") {
    ConfigReader c =
        config(R"({"i": 4, "big": 9007199254740993, "d": 0.5, "b": true, "s": "x", "l": [1, 2], "n": null})");
    CHECK(c.get<int>("i", 1) == 4);
    CHECK(c.get<double>("i", 1) == 4.0);
    CHECK(c.get<std::int64_t>("big", 0) == 9007199254740993);
    CHECK(c.require<double>("d") == 0.5);
    CHECK(c.get<bool>("b", false));
    CHECK(c.get<std::string>("s", "") == "x");
    CHECK(c.get<std::vector<int>>("l", {}) == std::vector<int>{1, 2});
    CHECK(c.get_one_or_list<int>("l", {}) == std::vector<int>{1, 2});
    CHECK(c.get_one_or_list<int>("i", {}) == std::vector<int>{4});
    CHECK(c.get_one_or_list<int>("absent", {8}) == std::vector<int>{8});
    CHECK_FALSE(c.get_optional<int>("n").has_value());
    CHECK_FALSE(c.get_optional<int>("absent").has_value());
    CHECK(c.get_optional<int>("i") == 4);
    CHECK(c.get<int>("absent", 7) == 7);
    CHECK(c.has("i"));
    CHECK_FALSE(c.has("n"));
    c.finish();
}

TEST_CASE("a configuration refuses wrong types, naming key, expected and found") {
    ConfigReader c = config(R"({"i": 4.0, "b": 1, "s": 3, "l": [1, "x"], "n": null, "u": 300, "m": -1, "o": {}})");
    CHECK(error_of([&] { (void)c.get<int>("i", 0); }) == "c.json: \"i\": expected an integer, found the number 4.0");
    CHECK(contains(error_of([&] { (void)c.get<bool>("b", true); }), "expected true or false"));
    CHECK(contains(error_of([&] { (void)c.get<std::string>("s", ""); }), "expected a string"));
    CHECK(contains(error_of([&] { (void)c.get<std::vector<int>>("l", {}); }), "\"l[1]\": expected an integer"));
    CHECK(contains(error_of([&] { (void)c.get<int>("n", 0); }), "found null"));
    CHECK(contains(error_of([&] { (void)c.get<std::uint8_t>("u", 0); }), "0 to 255"));
    CHECK(contains(error_of([&] { (void)c.get<unsigned>("m", 0); }), "\"m\" is -1"));
    CHECK(contains(error_of([&] { (void)c.get<double>("o", 0); }), "expected a number, found the object {}"));
    CHECK(contains(error_of([&] { (void)c.require<int>("in_channels"); }), "\"in_channels\" is missing"));
    CHECK(contains(error_of([&] { (void)config("[1]"); }), "expected a JSON object"));
}

TEST_CASE("a configuration refuses keys that nobody reads, and values that are not supported") {
    ConfigReader c = config(R"({"_class_name": "X", "in_chanels": 4, "zzzzzz": 1, "act_fn": "silu"})");
    (void)c.get<int>("in_channels", 4);
    c.expect("act_fn", "silu");
    c.expect("absent", 1);
    c.ignore({"_class_name"});
    CHECK(error_of([&] { c.finish(); }) ==
          "c.json: unknown key \"in_chanels\" (did you mean \"in_channels\"?), \"zzzzzz\"");
    CHECK(error_of([&] { c.expect("act_fn", "gelu"); }) ==
          "c.json: \"act_fn\" is \"silu\", but only \"gelu\" is supported");
    c.ignore({"in_chanels", "zzzzzz"});
    c.finish();
}

TEST_CASE("the nearest name is near, or none") {
    const std::vector<std::string> names{"learning_rate", "lr", "max_train_steps", "seed", "width"};
    CHECK(reel::nearest_name("learnig_rate", names) == "learning_rate");
    CHECK(reel::nearest_name("max_trian_steps", names) == "max_train_steps");
    CHECK(reel::nearest_name("sede", names) == "seed");
    CHECK(reel::nearest_name("wdith", names) == "width");
    CHECK(reel::nearest_name("xy", names).empty());
    CHECK(reel::nearest_name("", names).empty());
    CHECK(reel::nearest_name("something_else", names).empty());
    CHECK(reel::nearest_name(std::string(100'000, 'a'), names).empty());
    CHECK(reel::edit_distance("kitten", "sitting") == 3);
    CHECK(reel::edit_distance("ab", "ba") == 1);
    CHECK(reel::edit_distance("", "abc") == 3);
}
