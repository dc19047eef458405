#pragma once
// YAML files as a plain tree with line numbers. Needs yaml-cpp (target reel::io). Typed reading: yaml_reader.hpp.

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/core/utf8.hpp>
#include <reel/io/config/yaml_source.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// One value of a YAML file. Scalars stay text until somebody says which type they should have, because YAML's own
/// guesses differ between versions (is `3e-5` a number? is `no` a word?).
struct YamlNode {
    enum class Kind { null, scalar, list, map };
    /// A key of a map, and where it stands.
    struct Key {
        std::string name;
        int line = 0;
    };

    Kind kind = Kind::null;
    int line = 0;                ///< counted from 1
    bool quoted = false;         ///< a scalar in quotes, or a | or > block: always a string
    std::string text{};          ///< of a scalar, UTF-8
    std::vector<Key> keys{};     ///< of a map, in the file's order
    std::vector<YamlNode> items; ///< of a list; of a map, one per key

    /// The value of a map's key, or null when the key is absent.
    [[nodiscard]] const YamlNode* find(std::string_view key) const {
        const auto found = ranges::find(keys, key, &Key::name);
        return found == keys.end() ? nullptr : &items[static_cast<std::size_t>(found - keys.begin())];
    }
};

/// `a list of 3 items`, `the quoted text "x"`, ... for messages.
[[nodiscard]] inline std::string describe(const YamlNode& node) {
    switch (node.kind) {
    case YamlNode::Kind::list:
        return concat_text("a list of ", node.items.size(), node.items.size() == 1 ? " item" : " items");
    case YamlNode::Kind::map:
        return "a group of keys";
    case YamlNode::Kind::scalar: {
        std::string shown = node.text.substr(0, 80);
        while (shown.size() < node.text.size() && (static_cast<unsigned char>(shown.back()) & 0xc0) == 0x80) {
            shown.pop_back(); // no half character at the cut
        }
        if (shown.size() < node.text.size()) {
            shown.back() = '.';
            shown += "..";
        }
        ranges::replace(shown, '\n', ' '); // messages are one line
        return node.quoted ? "the quoted text \"" + shown + "\"" : "\"" + shown + "\"";
    }
    case YamlNode::Kind::null:
        break;
    }
    return "nothing (null)";
}

namespace detail {

/// Builds the tree from yaml-cpp's events, within limits: an alias copies what it names, so without them a short file
/// could ask for any amount of memory.
class YamlTreeBuilder final : public YAML::EventHandler {
public:
    YamlTreeBuilder(std::string_view text, const std::string& where) : where_(where), source_(text, where) {}

    [[nodiscard]] YamlNode take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        require(documents_++ == 0, where_, ":", mark.line + 1, ": a second document begins here, expected one");
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        if (!open_.empty() && open_.back().node.kind == YamlNode::Kind::list) {
            source_.check_item(mark);
        } else if (!open_.empty() && !expects_key(open_.back())) {
            source_.check_key(open_.back().key, open_.back().node.keys.back().name, mark);
        }
        add({YamlNode::Kind::null, mark.line + 1, false, {}, {}, {}}, anchor);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto found = anchors_.find(anchor);
        require(found != anchors_.end(), where_, ":", mark.line + 1, ": an alias inside the very value it names");
        expands_ = true;
        spend(found->second.second, mark.line + 1);
        attach(found->second.first, found->second.second);
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check_tag(mark, tag);
        if (tag == "!") {
            source_.check_quotes(mark);
        }
        if (!open_.empty()) {
            open_.back().key = mark;
        }
        add({YamlNode::Kind::scalar, mark.line + 1, tag == "!", value, {}, {}}, anchor);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::list, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::map, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

private:
    static constexpr std::size_t depth_limit = 64;
    static constexpr std::size_t cost_limit = std::size_t{16} << 20; // bytes, roughly

    struct Open {
        YamlNode node;
        YAML::anchor_t anchor;
        std::size_t cost;
        std::map<std::string, int, std::less<>> lines{}; // of a map's keys
        YAML::Mark key{};                                // of a map: where its latest text is
    };

    [[nodiscard]] static bool expects_key(const Open& open) {
        return open.node.kind == YamlNode::Kind::map && open.node.keys.size() == open.node.items.size();
    }

    void check_tag(const YAML::Mark& mark, const std::string& tag) const {
        require(tag.empty() || tag == "?" || tag == "!", where_, ":", mark.line + 1, ": the tag \"", tag.substr(0, 80),
                "\" is not supported; write the value without it");
    }

    void spend(std::size_t cost, int line) {
        spent_ += cost;
        require(spent_ <= cost_limit, where_, ":", line,
                expands_ ? ": the file's aliases expand to too much"
                         : ": more values than a configuration may have (they would take over 16 MiB)");
    }

    void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        check_tag(mark, tag);
        require(open_.size() < depth_limit, where_, ":", mark.line + 1, ": nested deeper than ", depth_limit,
                " levels");
        spend(sizeof(YamlNode), mark.line + 1);
        open_.push_back({{kind, mark.line + 1, false, {}, {}, {}}, anchor, sizeof(YamlNode)});
    }

    void close() {
        Open done = std::move(open_.back());
        open_.pop_back();
        finish(std::move(done.node), done.anchor, done.cost);
    }

    void add(YamlNode node, YAML::anchor_t anchor) {
        const std::size_t cost = sizeof(YamlNode) + node.text.size();
        spend(cost, node.line);
        finish(std::move(node), anchor, cost);
    }

    void finish(YamlNode node, YAML::anchor_t anchor, std::size_t cost) {
        if (anchor != YAML::NullAnchor) {
            spend(cost, node.line);
            anchors_.insert_or_assign(anchor, std::pair(node, cost));
        }
        attach(std::move(node), cost);
    }

    void attach(YamlNode node, std::size_t cost) {
        if (open_.empty()) {
            root_ = std::move(node);
            return;
        }
        Open& parent = open_.back();
        parent.cost += cost;
        if (expects_key(parent)) {
            require(node.kind == YamlNode::Kind::scalar, where_, ":", node.line, ": a key must be a word, found ",
                    describe(node));
            add_key(parent, std::move(node));
        } else {
            parent.node.items.push_back(std::move(node));
        }
    }

    void add_key(Open& map, YamlNode key) const {
        const auto [first, added] = map.lines.try_emplace(key.text, key.line);
        require(added, where_, ":", key.line, ": the key \"", key.text, "\" appears twice (first in line ",
                first->second, ")");
        map.node.keys.push_back({std::move(key.text), key.line});
    }

    const std::string& where_;
    YamlSource source_;
    YamlNode root_{YamlNode::Kind::null, 1, false, {}, {}, {}}; // of an empty file
    std::vector<Open> open_;
    std::map<YAML::anchor_t, std::pair<YamlNode, std::size_t>> anchors_;
    std::size_t spent_ = 0;
    bool expands_ = false; // whether an alias has copied something
    int documents_ = 0;
};

/// YAML is UTF-8 without control characters. yaml-cpp would replace bad bytes and stop at the byte 0x04.
inline void check_yaml_text(std::string_view text, const std::string& where) {
    std::size_t line = 1;
    for (std::size_t at = 0; at < text.size();) {
        const text::Utf8Step step = text::decode_utf8_step(text, at);
        require(step.valid, where, ":", line, ": not valid UTF-8; expected a text file in UTF-8");
        const char32_t c = step.code_point;
        require((c >= 0x20 && c != 0x7f) || c == '\t' || c == '\n' || c == '\r', where, ":", line,
                ": holds a control character (code ", static_cast<unsigned>(c), "); expected a YAML text file");
        line += c == '\n' ? 1 : 0;
        at += step.length;
    }
}

/// The first line that begins with a tab, after spaces or none, and holds more; 0: none.
[[nodiscard]] inline int line_indented_by_tab(std::string_view text) {
    int line = 1;
    for (std::size_t at = 0; at < text.size(); ++line) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view content = text.substr(at, end - at);
        const std::size_t first = content.find_first_not_of(" \t\r");
        if (first != std::string_view::npos && content[first] != '#' &&
            content.substr(0, first).find('\t') != std::string_view::npos) {
            return line;
        }
        at = end + 1;
    }
    return 0;
}

} // namespace detail

/// Parses one YAML document. A repeated key, a tag (`!!python/...`), a second document, nesting deeper than 64 and
/// values that take more than 16 MiB, which aliases may, are errors. Throws Error that starts with "where:line: ".
[[nodiscard]] inline YamlNode parse_yaml(std::string_view text, const std::string& where) {
    require(text.size() <= std::size_t{1} << 20, where, ": too large for a configuration (", text.size(),
            " bytes, at most 1048576)");
    detail::check_yaml_text(text, where);
    detail::YamlTreeBuilder builder(text, where);
    std::istringstream stream{std::string(text)};
    try {
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const YAML::Exception& error) {
        if (const int line = detail::line_indented_by_tab(text); line > 0) {
            fail(where, ":", line, ": a tab indents this line; YAML takes spaces alone");
        }
        fail(where, ":", error.mark.line + 1, ": not valid YAML: ", error.msg, " (column ", error.mark.column + 1, ")");
    }
    return builder.take();
}

/// Reads a YAML file (at most 1 MiB) as parse_yaml does.
[[nodiscard]] inline YamlNode read_yaml(const std::filesystem::path& path) {
    const MappedFile file(path);
    return parse_yaml({reinterpret_cast<const char*>(file.bytes().data()), file.size()}, path.string());
}

} // namespace reel
