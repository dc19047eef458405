// yaml-test-suite: nothing crashes, what the suite and OmegaConf refuse (Tune-A-Video reads its files with it) is
// refused in one sentence, and what is read is what OmegaConf reads, or what the suite says. extract.py makes
// cases.json.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <reel/io/config/json.hpp>
#include <reel/io/config/yaml_reader.hpp>
#include <reel/io/config/yaml_references.hpp>

#include "peers.hpp"

using namespace reel;
using nlohmann::json;

namespace {

/// Where the two differ, or nothing.
std::string difference(const YamlNode& node, const json& expected, const std::string& at) {
    using Kind = YamlNode::Kind;
    if (expected.is_object() && expected.contains("map")) {
        const json& pairs = expected["map"];
        if (node.kind != Kind::map || node.keys.size() != pairs.size()) {
            return at + ": " + describe(node) + " where " + std::to_string(pairs.size()) + " keys are expected";
        }
        for (const json& pair : pairs) {
            if (!pair[0].is_string()) {
                continue; // a key that Python takes for a number, say, has the text of the file here
            }
            const YamlNode* item = node.find(pair[0].get<std::string>());
            if (item == nullptr) {
                return at + ": no key " + pair[0].dump();
            }
            if (auto inner = difference(*item, pair[1], at + "." + pair[0].get<std::string>()); !inner.empty()) {
                return inner;
            }
        }
        return {};
    }
    if (expected.is_array()) {
        if (node.kind != Kind::list || node.items.size() != expected.size()) {
            return at + ": " + describe(node) + " where a list of " + std::to_string(expected.size()) + " is expected";
        }
        for (std::size_t i = 0; i < expected.size(); ++i) {
            if (auto inner = difference(node.items[i], expected[i], at + "[" + std::to_string(i) + "]");
                !inner.empty()) {
                return inner;
            }
        }
        return {};
    }
    const bool null = node.kind == Kind::null;
    const std::string found = at + ": " + describe(node) + " where " + expected.dump() + " is expected";
    if (expected.is_null() || null) {
        return expected.is_null() && null ? "" : found;
    }
    if (node.kind != Kind::scalar) {
        return found;
    }
    const auto number = node.quoted ? std::nullopt : detail::yaml_number<double>(node.text);
    const auto truth = node.quoted ? std::nullopt : detail::yaml_bool(node.text);
    const bool same = expected.is_boolean() ? truth && *truth == expected.get<bool>()
                      : expected.is_number()
                          ? number && *number == expected.get<double>()
                          : expected.is_string() && node.text == expected.get<std::string>() && !number && !truth;
    return same ? "" : found;
}

} // namespace

TEST_CASE("yaml-test-suite: what is no YAML is refused, and what is read means what it should") {
    // What yaml-cpp reads as it was meant, though it is no YAML: a comment right behind ">", an anchor or a list's
    // items too far left.
    const std::set<std::string> lenient{"G9HC/0", "X4QW/0", "Y79Y/3"};
    // PyYAML ends an anchor at a colon, and takes "! 12" for a number; in NAT4, yaml-cpp loses an empty line at the
    // beginning of a text in quotes.
    const std::set<std::string> other{"Y2GN/0", "S4JQ/0", "NAT4/0"};
    std::map<std::string, std::size_t> counts;
    for (const json& item : read_json(peers::suite("yaml-test-suite") / "cases.json")) {
        const auto text = item["yaml"].get<std::string>();
        const auto id = item["id"].get<std::string>();
        CAPTURE(id);
        CAPTURE(text);
        std::string message;
        YamlNode node;
        try {
            node = parse_yaml(text, "case");
            resolve_merges(node, "case");
        } catch (const Error& error) {
            message = error.what();
        }
        CAPTURE(message);
        const bool group = node.kind == YamlNode::Kind::map || node.kind == YamlNode::Kind::list;
        if (!message.empty()) {
            CHECK(message.starts_with("case:"));
            CHECK(std::none_of(message.begin(), message.end(),
                               [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
            ++counts[item["fail"].get<bool>()   ? "no YAML, refused"
                     : item.contains("refused") ? "refused by both"
                                                : "refused by reel alone"];
        } else if (!group) {
            ++counts["a text alone"]; // which no configuration is
        } else if (item["fail"].get<bool>() && item.contains("refused")) {
            CHECK(lenient.contains(id));
        } else if (item.contains("refused")) { // YAML 1.2, which PyYAML does not know
            if (item.contains("json")) {
                CHECK(difference(node, item["json"], "") == "");
            }
            ++counts["YAML, read by reel alone"];
        } else {
            CHECK(difference(node, item["read"], "").empty() != other.contains(id));
            ++counts["read by both"];
        }
    }
    std::size_t total = 0;
    for (const auto& entry : counts) {
        MESSAGE(entry.first, ": ", entry.second);
        total += entry.second;
    }
    CHECK(total == 403); // and the lenient ones
    CHECK(counts["read by both"] >= 127);
    CHECK(counts["no YAML, refused"] >= 80);
}
