#include "io/temporary_folder.hpp"

#include <reel/io/config/yaml_reader.hpp>
#include <reel/io/config/yaml_references.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
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

TEST_CASE("what yaml-cpp lets pass is refused: a text that does not end, a word alone, an item that is not there") {
    CHECK(contains(yaml_error("a: 1\nb: \"cut\n"), "t.yaml:2: the quoted text that begins here does not end"));
    CHECK(contains(yaml_error("b: 'cut\nc: 2\n"), "t.yaml:1: the quoted text that begins here does not end"));
    CHECK(contains(yaml_error("b: &x 'it''s\n"), "t.yaml:1: the quoted text that begins here does not end"));
    CHECK(contains(yaml_error("b: \"a\\\"\n"), "t.yaml:1: the quoted text that begins here does not end"));
    CHECK(contains(yaml_error("b: \"it\\'s\"\n"), "t.yaml:1: \\' in a text in double quotes"));
    CHECK(contains(yaml_error("a: 1\nseed\n"), "t.yaml:2: expected \"key: value\", found \"seed\" alone"));
    CHECK(contains(yaml_error("a:\n  b: 1\n  seed\n"), "t.yaml:3: expected \"key: value\", found \"seed\" alone"));
    CHECK(contains(yaml_error("\xef\xbb\xbfseed\n: x\na: [1, , 2]\n"), "t.yaml:"));
    CHECK(contains(yaml_error("a: [, 1]\n"), "t.yaml:1: a list with nothing before a comma"));
    CHECK(contains(yaml_error("\xef\xbb\xbf"
                              "a: [1, , 2]\n"),
                   "t.yaml:1: a list with nothing before a comma"));
    for (const char* text : {"a: \"x\"\n\"b c\": 'it''s'\n", "a:\nb: ~\nc:", "? a\n? b\n", "{a, b: , c: [1, 2,]}",
                             "a: |\n  \"x\nb: >-\n  'y\n",
                             "\xef\xbb\xbf"
                             "a: \"x\"\r\nb: [~, 1]\r\n",
                             "a: &n !  'x'\nb: *n\n", "a: \"\\\\\"\nb: \"\"\nc: ''\n", "- a:\n- b\n-\n- c\n"}) {
        CAPTURE(text);
        CHECK(yaml_error(text).empty());
    }
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

TEST_CASE("numbers are those of OmegaConf 2.4.1, whole, with a point or an exponent, or texts") {
    struct Row {
        const char* text;
        std::optional<long long> whole;
        std::optional<double> real; ///< where it is not whole
    };
    const std::vector<Row> rows{{"1", 1, {}},
                                {"-12", -12, {}},
                                {"+12", 12, {}},
                                {"1_000", 1000, {}},
                                {"+1_000", 1000, {}},
                                {"1__0", 10, {}},
                                {"_1", {}, {}},
                                {"1_", 1, {}},
                                {"012", 10, {}},
                                {"010", 8, {}},
                                {"+012", 10, {}},
                                {"-010", -8, {}},
                                {"08", {}, {}},
                                {"09", {}, {}},
                                {"00", 0, {}},
                                {"0", 0, {}},
                                {"-0", 0, {}},
                                {"0_0", 0, {}},
                                {"0_1", 1, {}},
                                {"0o10", {}, {}},
                                {"0x10", 16, {}},
                                {"0x1_F", 31, {}},
                                {"0b101", 5, {}},
                                {"0b1_0", 2, {}},
                                {"1:30", 90, {}},
                                {"190:20:30", 685230, {}},
                                {"1:30.5", {}, 90.5},
                                {"1e5", {}, 1e5},
                                {"1E5", {}, 1e5},
                                {"1e-5", {}, 1e-5},
                                {"1e+5", {}, 1e5},
                                {"3e-5", {}, 3e-5},
                                {"3.0e-05", {}, 3e-5},
                                {"3E-5", {}, 3e-5},
                                {"+3e-5", {}, 3e-5},
                                {"-3e-5", {}, -3e-5},
                                {".5", {}, 0.5},
                                {"5.", {}, 5.0},
                                {"+.9", {}, {}},
                                {"-.9", {}, {}},
                                {".5e3", {}, {}},
                                {"1.e5", {}, 1e5},
                                {"1.5e3", {}, 1500.0},
                                {"1.5E+3", {}, 1500.0},
                                {"1_0.5", {}, 10.5},
                                {"1_0e5", {}, 1e6},
                                {"1_0e1_0", {}, {}},
                                {"-1_0e-3", {}, -0.01},
                                {"100e100", {}, 1e102},
                                {"0_e0", {}, {}},
                                {"0e5", {}, 0.0},
                                {"1.2_", {}, 1.2},
                                {"1__2.1", {}, 12.1},
                                {"1_1_2.1", {}, 112.1},
                                {"1.2_3", {}, 1.23},
                                {".1_2", {}, 0.12},
                                {"._1", {}, {}},
                                {"5._", {}, 5.0},
                                {"5_.0", {}, 5.0},
                                {"0_1.5", {}, 1.5},
                                {"012.5", {}, 12.5},
                                {"09.5", {}, 9.5},
                                {"00.5", {}, 0.5},
                                {"0.0", {}, 0.0},
                                {".", {}, {}},
                                {"+", {}, {}},
                                {"1,5", {}, {}},
                                {"1,000", {}, {}},
                                {"1e", {}, {}},
                                {"1e1.5", {}, {}},
                                {"inf", {}, {}},
                                {"nan", {}, {}},
                                // Numbers to it, but no value of an option.
                                {"1e999", {}, {}},
                                {".inf", {}, {}},
                                {"-.inf", {}, {}},
                                {".nan", {}, {}}};
    for (const Row& row : rows) {
        CAPTURE(row.text);
        if (row.whole) {
            CHECK(value_of<std::int64_t>(row.text) == *row.whole);
            CHECK(value_of<double>(row.text) == static_cast<double>(*row.whole));
            continue;
        }
        CHECK(contains(value_error<std::int64_t>(row.text), "expected an integer"));
        if (row.real) {
            CHECK(value_of<double>(row.text) == doctest::Approx(*row.real).epsilon(1e-15));
        } else {
            CHECK(contains(value_error<double>(row.text), "expected a number"));
        }
    }
    CHECK(value_of<std::int64_t>("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
    CHECK(contains(value_error<std::int64_t>("9223372036854775808"), "expected an integer"));
    CHECK(contains(value_error<std::int64_t>("-9223372036854775809"), "expected an integer"));
    CHECK(value_of<std::uint64_t>("18446744073709551615") == 18446744073709551615ULL);
    CHECK(contains(value_error<std::uint64_t>("18446744073709551616"), "expected an integer"));
}

TEST_CASE("a tab in the indentation is said to be one") {
    CHECK(yaml_error("a:\n\tb: 1\n") == "t.yaml:2: a tab indents this line; YAML takes spaces alone");
    CHECK(yaml_error("a: 1\nc:\n  d: 1\n  \te: [2\n").starts_with("t.yaml:4: a tab indents"));
    CHECK(reel::parse_yaml("a: 1\t# a tab\nb: x\ty\n", "t.yaml").find("b")->text == "x\ty");
}

TEST_CASE("every unknown key is named, each with its nearest") {
    YamlReader file = reader("width: 1\nwidht: 2\nheigth: 3\nqqqqqqqqqq: 4\n");
    static_cast<void>(file.get("width", 0));
    static_cast<void>(file.get("height", 0));
    CHECK(error_of([&] { file.finish(); }) ==
          "t.yaml:2: widht: unknown key (did you mean \"width\"?); t.yaml:3: heigth: unknown key (did you mean "
          "\"height\"?); t.yaml:4: qqqqqqqqqq: unknown key");
}

namespace {

YamlNode resolved(const std::string& text) {
    YamlNode root = reel::parse_yaml(text, "t.yaml");
    reel::resolve_merges(root, "t.yaml");
    reel::resolve_interpolations(root, "t.yaml");
    return root;
}

} // namespace

TEST_CASE("merges and interpolations are those of OmegaConf 2.4.1") {
    YamlReader root(resolved("base: &b {x: 1, y: 2}\n"
                             "d:\n  <<: *b\n  y: 3\n"
                             "e: {<<: [*b, {z: 4, x: 5}], x: 9}\n"
                             "w: ${d.y}\n"
                             "t: \"a ${base.x} b ${d.y}\"\n"
                             "r: {i: \"${..w}\", j: \"${.k}\", k: 7}\n"
                             "l: [5, 6]\n"
                             "m: ${l[1]}\n"
                             "n: ${l.0}\n"
                             "o: ${r}\n"
                             "esc: \\${x}\n"
                             "chain: ${w}\n"),
                    "t.yaml");
    YamlReader d = root.section("d");
    CHECK(d.get("x", 0) == 1);
    CHECK(d.get("y", 0) == 3);
    YamlReader e = root.section("e");
    CHECK(e.get("x", 0) == 9);
    CHECK(e.get("y", 0) == 2);
    CHECK(e.get("z", 0) == 4);
    CHECK(root.get("w", 0) == 3);
    CHECK(root.get<std::string>("t", "") == "a 1 b 3");
    YamlReader o = root.section("o");
    CHECK(o.get("i", 0) == 3);
    CHECK(o.get("j", 0) == 7);
    CHECK(root.get("m", 0) == 6);
    CHECK(root.get("n", 0) == 5);
    CHECK(root.get<std::string>("esc", "") == "${x}");
    CHECK(root.get("chain", 0) == 3);

    for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
             {"a: ${b}\n", "t.yaml:1: the interpolation ${b} names a key that the file does not have"},
             {"a: 1\nb: ${a.c}\n", "t.yaml:2: the interpolation ${a.c} names a key"},
             {"a: ${oc.env:HOME}\n", "calls a resolver"},
             {"k: x\na: ${b.${k}}\n", "calls a resolver or holds another one"},
             {"a: ${b}\nb: ${a}\n", "refers to itself"},
             {"a: ${a}\n", "refers to itself"},
             {"a: {b: \"${a}\"}\n", "refers to the group that it is in"},
             {"a: ${...b}\n", "leads out of the file"},
             {"a: ${b\n", "an interpolation without its end"},
             {"l: [1]\na: x${l}\n", "${l} within a text is a list of 1 item"},
             {"a: {<<: 3}\n", "t.yaml:1: <<: expected a group of keys, found \"3\""}}) {
        CAPTURE(text);
        CHECK(contains(error_of([&] { (void)resolved(text); }), message));
    }
    std::string laughs = "a0: [l, l, l, l, l, l, l, l, l, l]\n";
    for (int i = 1; i < 9; ++i) {
        laughs += "a" + std::to_string(i) + ": [";
        for (int k = 0; k < 10; ++k) {
            laughs += "\"${a" + std::to_string(i - 1) + "}\", ";
        }
        laughs += "]\n";
    }
    CHECK(contains(error_of([&] { (void)resolved(laughs); }), "expand to too much"));
}

TEST_CASE("scalars of another type are refused") {
    for (const char* text : {"1.0", "1e3", "x", "True", "\"1\"", "08", "0o10", "1:60", "2147483648", "_1", "+", "--1",
                             "+-1", "1 2", "[1]", "{b: 1}"}) {
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
