#include "io/temporary_folder.hpp"

#include <reel/io/config/yaml_reader.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace reel_test;
using reel::YamlNode;
using reel::YamlReader;

namespace {

template <class Action>
std::string error_of(const Action& action) {
    return message_of<reel::Error>(action);
}

std::string yaml_error(const std::string& text) {
    return error_of([&] { (void)reel::parse_yaml(text, "t.yaml"); });
}

YamlReader reader(const std::string& text) {
    return {reel::parse_yaml(text, "t.yaml"), "t.yaml"};
}

template <class T>
T value_of(const std::string& text) {
    return reader("a: " + text).get<T>("a", T{});
}

template <class T>
std::string value_error(const std::string& text) {
    return error_of([&] { (void)value_of<T>(text); });
}

} // namespace

TEST_CASE("YAML becomes a tree with line numbers") {
    const YamlNode root = reel::parse_yaml("# comment\na: [1, \"2\", ~]\nb:\n  c: |\n    x\n    y\n", "t.yaml");
    REQUIRE(root.kind == YamlNode::Kind::map);
    REQUIRE(root.keys.size() == 2);
    CHECK(root.keys[1].name == "b");
    CHECK(root.keys[1].line == 3);
    const YamlNode* list = root.find("a");
    REQUIRE(list != nullptr);
    REQUIRE(list->items.size() == 3);
    CHECK_FALSE(list->items[0].quoted);
    CHECK(list->items[1].quoted);
    CHECK(list->items[2].kind == YamlNode::Kind::null);
    CHECK(root.find("b")->find("c")->text == "x\ny\n");
    CHECK(root.find("c") == nullptr);
    CHECK(reel::parse_yaml("a: 1", "t.yaml").find("a")->text == "1"); // no newline at the end
    CHECK(reel::parse_yaml("\xef\xbb\xbf"
                           "a: 1\r\nb: caf\xc3\xa9\r\n",
                           "t.yaml")
              .find("b")
              ->text == "caf\xc3\xa9");
    CHECK(reel::parse_yaml("", "t.yaml").kind == YamlNode::Kind::null);
}

TEST_CASE("broken YAML is refused with file and line") {
    CHECK(contains(yaml_error("a: 1\nb: [1, 2\n"), "t.yaml:"));
    CHECK(contains(yaml_error("a: 1\n  b: 2\n"), "t.yaml:2: not valid YAML"));
    CHECK(contains(yaml_error("a: 1\nb: 2\na: 3\n"), "t.yaml:3: the key \"a\" appears twice (first in line 1)"));
    CHECK(yaml_error("x: {a: 1}\ny: {a: 1}\n").empty());
    CHECK(contains(yaml_error("a: 1\n---\nb: 1\n"), "t.yaml:2: a second document"));
    CHECK(contains(yaml_error("a: !!python/object:os.system x\n"), "t.yaml:1: the tag"));
    CHECK(contains(yaml_error("[a]: 1\n"), "t.yaml:1: a key must be a word"));
    CHECK(contains(yaml_error("a: 1\nb: \xff\n"), "t.yaml:2: not valid UTF-8"));
    CHECK(contains(yaml_error(std::string("a: 1\nb: x\x04\nc: 3\n")), "t.yaml:2: holds a control character (code 4)"));
    CHECK(contains(yaml_error(std::string("a: \0", 4)), "control character"));
    CHECK(contains(yaml_error(std::string(100, '[')), "nested deeper than 64"));
    CHECK(contains(yaml_error(std::string((1 << 20) + 1, '#')), "too large"));
}

TEST_CASE("YAML aliases are copied, within limits") {
    CHECK(reel::parse_yaml("a: &x [1, 2]\nb: *x\n", "t.yaml").find("b")->items.size() == 2);
    CHECK(contains(yaml_error("a: &x [1, *x]\n"), "an alias inside the very value it names"));
    CHECK(contains(yaml_error("a: *x\n"), "t.yaml:1: not valid YAML"));
    std::string laughs = "a0: &a0 [l, l, l, l, l, l, l, l, l, l]\n";
    for (int i = 1; i < 12; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
        for (int k = 1; k < 10; ++k) {
            laughs += ", " + last;
        }
        laughs += "]\n";
    }
    CHECK(contains(yaml_error(laughs), "aliases expand to too much"));
}

TEST_CASE("scalars get their type on request") {
    for (const char* text : {"3e-5", "3.0e-05", "3E-5", "+3e-5", "0.00003", ".00003", "0.000_03"}) {
        CAPTURE(text);
        CHECK(value_of<double>(text) == 3e-5);
    }
    CHECK(value_of<double>("1") == 1.0);
    CHECK(value_of<double>("-1.") == -1.0);
    CHECK(value_of<int>("-12") == -12);
    CHECK(value_of<int>("+1_000") == 1000);
    CHECK(value_of<std::uint64_t>("18446744073709551615") == 18446744073709551615ULL);
    for (const char* text : {"True", "true", "TRUE", "yes", "Yes", "on", "ON"}) {
        CAPTURE(text);
        CHECK(value_of<bool>(text));
        std::string no = text[0] == 'T' || text[0] == 't' ? "False" : text[0] == 'y' || text[0] == 'Y' ? "No" : "off";
        CHECK_FALSE(reader("a: " + no).get<bool>("a", true));
    }
    for (const char* text : {"word", "'word'", "\"word\"", "  word  # comment"}) {
        CHECK(value_of<std::string>(text) == "word");
    }
    CHECK(value_of<std::string>("no") == "no");
    CHECK(value_of<std::string>("33") == "33");
    CHECK(value_of<std::string>("''").empty());
    CHECK(value_of<std::vector<std::string>>("[x, 'y z']") == std::vector<std::string>{"x", "y z"});
    CHECK(reader("a:\n  - 1\n  - 2\n").get<std::vector<int>>("a", {}) == std::vector<int>{1, 2});
    CHECK(reader("b: 1").get("a", 7) == 7);
    for (const char* text : {"", "~", "null", "NULL"}) {
        CAPTURE(text);
        CHECK_FALSE(reader("a: " + std::string(text)).get_optional<int>("a").has_value());
        CHECK(contains(value_error<int>(text), "found nothing (null)"));
        CHECK(contains(value_error<std::string>(text), "expected text, found nothing (null)"));
    }
}

TEST_CASE("an interpolation in place of a number or boolean is named, as one in a text is") {
    for (const std::string& message :
         {value_error<int>("${train_data.width}"), value_error<double>("${a}"), value_error<bool>("${b.c}")}) {
        CHECK(message == "t.yaml:1: a: holds an interpolation ${...}, which is not supported; write the value itself");
    }
    CHECK(contains(value_error<std::vector<int>>("[1, \"${x}\"]"), "a[1]: holds an interpolation"));
}

TEST_CASE("scalars of another type are refused") {
    for (const char* text : {"1.0", "1e3", "x", "True", "\"1\"", "010", "0x10", "1:30", "2147483648", "1_", "_1", "+",
                             "--1", "+-1", "1 2", "[1]", "{b: 1}"}) {
        CAPTURE(text);
        CHECK(contains(value_error<int>(text), "t.yaml:1: a: expected an integer from -2147483648 to 2147483647"));
    }
    CHECK(contains(value_error<std::uint64_t>("-1"), "expected an integer"));
    for (const char* text : {"x", "\"1\"", "nan", ".nan", "inf", "-.inf", "infinity", ".", "e5", "1e", "0x1p3", "1e999",
                             "1,5", "1 000", "-.e5", "no"}) {
        CAPTURE(text);
        CHECK(contains(value_error<double>(text), "t.yaml:1: a: expected a number, found "));
    }
    for (const char* text : {"1", "y", "n", "tRue", "\"True\"", "[]"}) {
        CAPTURE(text);
        CHECK(contains(value_error<bool>(text), "expected True or False"));
    }
    CHECK(contains(value_error<std::string>("[x]"), "expected text, found a list of 1 item"));
    CHECK(contains(value_error<std::vector<std::string>>("x"), "expected a list, each item text, found \"x\""));
    CHECK(contains(value_error<std::vector<int>>("[1, x]"), "t.yaml:1: a[1]: expected an integer"));
}
