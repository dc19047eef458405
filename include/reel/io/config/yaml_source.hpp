#pragma once
// What yaml-cpp 0.7 lets pass although it is no YAML, found in the text at the places of its events. Needs yaml-cpp.

#include <cstddef>
#include <string>
#include <string_view>

#include <yaml-cpp/mark.h>

#include <reel/core/error.hpp>

namespace reel::detail {

/// The text that is parsed. A check throws Error that starts with "where:line: ".
class YamlSource {
public:
    YamlSource(std::string_view text, const std::string& where) : text_(text), where_(where) {
        if (text_.starts_with("\xef\xbb\xbf")) {
            text_.remove_prefix(3); // which yaml-cpp does not count
        }
    }

    /// A text in quotes must end before the file does, or a cut file would be read; and \' is no escape.
    void check_quotes(const YAML::Mark& mark) const {
        std::size_t at = after_properties(offset(mark));
        if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) {
            return; // a | or > block
        }
        const char quote = text_[at];
        for (++at; at < text_.size(); ++at) {
            if (quote == '"' && text_[at] == '\\') {
                ++at;
                require(at >= text_.size() || text_[at] != '\'', where_, ":", mark.line + 1,
                        ": \\' in a text in double quotes; write ' alone");
            } else if (text_[at] == quote) {
                if (quote == '"' || at + 1 >= text_.size() || text_[at + 1] != '\'') {
                    return;
                }
                ++at; // '' is one '
            }
        }
        fail(where_, ":", mark.line + 1, ": the quoted text that begins here does not end (is the file cut?)");
    }

    /// A value that is not there stands for null: after "key:", after "? key", but not after a word alone.
    void check_key(const YAML::Mark& key, const std::string& name, const YAML::Mark& null) const {
        require(key.pos != null.pos, where_, ":", key.line + 1, ": expected \"key: value\", found \"",
                name.substr(0, 80), "\" alone");
    }

    /// [a, , b] has an item that is not there.
    void check_item(const YAML::Mark& null) const {
        require(offset(null) >= text_.size() || text_[offset(null)] != ',', where_, ":", null.line + 1,
                ": a list with nothing before a comma");
    }

private:
    [[nodiscard]] static std::size_t offset(const YAML::Mark& mark) { return static_cast<std::size_t>(mark.pos); }

    /// Behind anchors and tags.
    [[nodiscard]] std::size_t after_properties(std::size_t at) const {
        constexpr std::string_view space = " \t\r\n";
        while (at < text_.size() && (text_[at] == '&' || text_[at] == '!')) {
            at = text_.find_first_not_of(space, text_.find_first_of(space, at));
        }
        return at;
    }

    std::string_view text_;
    const std::string& where_;
};

} // namespace reel::detail
