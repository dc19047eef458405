#pragma once
// Merges (`<<: *base`) and interpolations (`${a.b}`) in YAML, as OmegaConf 2.4 has them. Needs yaml-cpp (reel::io).

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/config/yaml.hpp>

namespace reel {

/// Puts the keys of every `<<:` group, or list of groups, into the group that names it. Its own keys count before them,
/// and in a list earlier groups before later ones. Throws Error with the line where `<<` is something else.
inline void resolve_merges(YamlNode& node, const std::string& where) {
    for (YamlNode& item : node.items) {
        resolve_merges(item, where);
    }
    const auto merge = ranges::find(node.keys, "<<", &YamlNode::Key::name);
    if (node.kind != YamlNode::Kind::map || merge == node.keys.end()) {
        return;
    }
    const int line = merge->line;
    const auto at = merge - node.keys.begin();
    YamlNode from = std::move(node.items[static_cast<std::size_t>(at)]);
    node.keys.erase(node.keys.begin() + at);
    node.items.erase(node.items.begin() + at);
    const std::vector<YamlNode> groups = from.kind == YamlNode::Kind::list ? from.items : std::vector{from};
    for (const YamlNode& group : groups) {
        require(group.kind == YamlNode::Kind::map, where, ":", line, ": <<: expected a group of keys, found ",
                describe(group));
        for (std::size_t i = 0; i < group.keys.size(); ++i) {
            if (node.find(group.keys[i].name) == nullptr) {
                node.keys.push_back(group.keys[i]);
                node.items.push_back(group.items[i]);
            }
        }
    }
}

namespace detail {

/// Puts the values of other keys in the place of `${...}`.
class YamlInterpolation {
public:
    YamlInterpolation(YamlNode& root, const std::string& where) : root_(root), where_(where) {}

    void resolve() {
        std::vector<YamlNode*> path{&root_};
        visit(path);
    }

private:
    static constexpr std::size_t most_bytes = std::size_t{1} << 20; ///< of a text that refers to others

    /// `path`: the nodes from the root to the one to resolve.
    void visit(std::vector<YamlNode*>& path) {
        YamlNode& node = *path.back();
        if (node.kind == YamlNode::Kind::scalar) {
            resolve_scalar(path);
            return;
        }
        for (YamlNode& item : node.items) {
            path.push_back(&item);
            visit(path);
            path.pop_back();
        }
    }

    void resolve_scalar(std::vector<YamlNode*>& path) {
        YamlNode& node = *path.back();
        if (node.text.find("${") == std::string::npos) {
            return;
        }
        require(in_work_.insert(&node).second, where_, ":", node.line, ": ", node.text.substr(0, 80),
                " refers to itself");
        std::string result;
        std::size_t at = 0;
        std::optional<YamlNode> whole;
        while (at < node.text.size()) {
            const std::size_t open = node.text.find("${", at);
            if (open == std::string::npos) {
                break;
            }
            if (open > 0 && node.text[open - 1] == '\\') { // \${x} is the text ${x}
                result += node.text.substr(at, open - 1 - at) + "${";
                at = open + 2;
                continue;
            }
            const std::size_t close = node.text.find('}', open);
            require(close != std::string::npos, where_, ":", node.line,
                    ": an interpolation without its end: ", node.text.substr(0, 80));
            const std::string name = node.text.substr(open + 2, close - open - 2);
            const YamlNode value = look_up(path, name, node.line);
            if (open == 0 && close + 1 == node.text.size()) {
                whole = value;
            } else {
                require(value.kind == YamlNode::Kind::scalar, where_, ":", node.line, ": ${", name,
                        "} within a text is ", describe(value));
                result += node.text.substr(at, open - at) + value.text;
                require(result.size() <= most_bytes, where_, ":", node.line, ": the interpolations become too long");
            }
            at = close + 1;
        }
        in_work_.erase(&node);
        const int line = node.line;
        if (whole) {
            const std::size_t size = bytes_of(*whole);
            spent_ += size;
            require(spent_ <= 16 * most_bytes, where_, ":", line, ": the file's interpolations expand to too much");
            node = *whole;
            node.line = line;
            return;
        }
        node.text = result + node.text.substr(at);
        node.quoted = true; // a text, whatever it looks like
    }

    static std::size_t bytes_of(const YamlNode& node) {
        std::size_t bytes = sizeof(YamlNode) + node.text.size();
        for (const YamlNode& item : node.items) {
            bytes += bytes_of(item);
        }
        return bytes;
    }

    /// `a.b`, `a[0].b`, from the root; `.b` from the group that the scalar is in, `..b` from the one around that.
    [[nodiscard]] YamlNode look_up(const std::vector<YamlNode*>& from, const std::string& name, int line) {
        const auto refuse = [&](const char* why) {
            fail(where_, ":", line, ": the interpolation ${", name.substr(0, 80), "} ", why);
        };
        if (name.find_first_of(":${ ") != std::string::npos) {
            refuse("calls a resolver or holds another one, which is not supported; write the value itself");
        }
        std::vector<YamlNode*> path;
        std::size_t dots = 0;
        while (dots < name.size() && name[dots] == '.') {
            ++dots;
        }
        if (dots == 0) {
            path = {&root_};
        } else {
            if (dots >= from.size()) {
                refuse("leads out of the file");
            }
            path.assign(from.begin(), from.end() - static_cast<std::ptrdiff_t>(dots));
        }
        std::string steps = name.substr(dots);
        ranges::replace(steps, '[', '.');
        std::erase(steps, ']');
        for (std::size_t at = 0; at <= steps.size();) {
            const std::size_t end = std::min(steps.find('.', at), steps.size());
            YamlNode* next = step(*path.back(), steps.substr(at, end - at));
            if (next == nullptr) {
                refuse("names a key that the file does not have");
            }
            path.push_back(next);
            if (next->kind == YamlNode::Kind::scalar) {
                resolve_scalar(path);
            }
            at = end + 1;
        }
        require(ranges::find(from, path.back()) == from.end(), where_, ":", line, ": ${", name,
                "} refers to the group that it is in");
        visit(path);
        return *path.back();
    }

    [[nodiscard]] static YamlNode* step(YamlNode& node, const std::string& name) {
        if (node.kind == YamlNode::Kind::map) {
            const auto key = ranges::find(node.keys, name, &YamlNode::Key::name);
            return key == node.keys.end() ? nullptr : &node.items[static_cast<std::size_t>(key - node.keys.begin())];
        }
        if (node.kind != YamlNode::Kind::list || name.empty() || name.size() > 6 ||
            name.find_first_not_of("0123456789") != std::string::npos) {
            return nullptr;
        }
        const std::size_t index = std::stoul(name);
        return index < node.items.size() ? &node.items[index] : nullptr;
    }

    YamlNode& root_;
    const std::string& where_;
    std::set<const YamlNode*> in_work_;
    std::size_t spent_ = 0;
};

} // namespace detail

/// Puts the values of other keys in the place of `${a.b}`, `${.b}` (of the same group) and `${a[0]}`, alone or within a
/// text; `\${` is a text. Throws Error with the line for keys that are not there, circles, and what OmegaConf computes
/// (`${oc.env:HOME}`), which is not supported.
inline void resolve_interpolations(YamlNode& root, const std::string& where) {
    detail::YamlInterpolation(root, where).resolve();
}

} // namespace reel
