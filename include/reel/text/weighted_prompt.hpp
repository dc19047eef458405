#pragma once
// Prompts whose words have weights. Needs nlohmann-json and utf8proc.
//
// The syntax is that of AUTOMATIC1111's stable-diffusion-webui: (words) count 1.1 times, [words] 1 / 1.1 times,
// (words:1.3) 1.3 times, brackets within brackets multiply, and \( \) \[ \] \\ are the characters themselves.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/number_text.hpp>
#include <reel/core/ranges.hpp>
#include <reel/text/clip_tokenizer.hpp>
#include <reel/text/prompt_syntax.hpp>

namespace reel {

/// A piece of a prompt, and how much it counts.
struct WeightedText {
    std::string text;
    double weight = 1;
};

namespace detail {

/// Reads a prompt with brackets from left to right. A bracket that is never closed counts to the end, one that was
/// never opened is a character.
class BracketReader {
public:
    explicit BracketReader(std::string_view prompt) : rest_(prompt) {}

    [[nodiscard]] std::vector<WeightedText> read() {
        while (!rest_.empty()) {
            step();
        }
        while (!open_.empty()) {
            close(open_.back().round ? by_bracket : 1 / by_bracket);
        }
        return joined();
    }

private:
    static constexpr double by_bracket = 1.1;

    struct Open {
        bool round;
        std::size_t first; ///< piece
    };

    void step() {
        const char c = rest_.front();
        if (c == '\\') {
            const bool escaped =
                rest_.size() > 1 && std::string_view("()[]\\").find(rest_[1]) != std::string_view::npos;
            put(escaped ? rest_.substr(1, 1) : std::string_view());
            rest_.remove_prefix(escaped ? 2 : 1); // one alone goes
        } else if (c == '(' || c == '[') {
            open_.push_back({c == '(', pieces_.size()});
            pieces_.emplace_back(); // what follows is a piece of its own
            rest_.remove_prefix(1);
        } else if (c == ')' || c == ']') {
            const bool closes = closes_last(c == ')');
            rest_.remove_prefix(1);
            closes ? close(c == ')' ? by_bracket : 1 / by_bracket) : put(c == ')' ? ")" : "]");
        } else if (const auto weight = weight_here(); weight && closes_last(true)) {
            rest_.remove_prefix(weight->second);
            close(weight->first);
        } else {
            put(rest_.substr(0, 1));
            rest_.remove_prefix(1);
        }
    }

    /// ":1.3)" at the front: the number, and how many characters.
    [[nodiscard]] std::optional<std::pair<double, std::size_t>> weight_here() const {
        if (rest_.front() != ':') {
            return std::nullopt;
        }
        const std::size_t end = rest_.substr(0, 40).find(')'); // no number is longer
        if (end == std::string_view::npos) {
            return std::nullopt;
        }
        std::string_view number = rest_.substr(1, end - 1);
        number.remove_prefix(std::min(number.find_first_not_of(" \t"), number.size()));
        number = number.substr(0, number.find_last_not_of(" \t") + 1);
        number.remove_prefix(number.starts_with('+') ? 1 : 0);
        double value = 0;
        const auto [last, error] = read_number(number, value, false);
        const bool whole = error == std::errc{} && last == number.data() + number.size() && std::isfinite(value);
        return whole ? std::optional(std::pair{value, end + 1}) : std::nullopt;
    }

    /// Whether there is an open bracket of this kind; the kinds need not be nested properly.
    [[nodiscard]] bool closes_last(bool round) {
        const auto last = std::find_if(open_.rbegin(), open_.rend(), [&](const Open& o) { return o.round == round; });
        if (last == open_.rend()) {
            return false;
        }
        std::rotate(last.base() - 1, last.base(), open_.end()); // to the end, where close() takes it
        return true;
    }

    void close(double factor) {
        for (std::size_t i = open_.back().first; i < pieces_.size(); ++i) {
            pieces_[i].weight *= factor;
        }
        open_.pop_back();
        pieces_.emplace_back();
    }

    void put(std::string_view text) {
        if (pieces_.empty()) {
            pieces_.emplace_back();
        }
        pieces_.back().text += text;
    }

    /// Neighbours of one weight in one piece, none empty.
    [[nodiscard]] std::vector<WeightedText> joined() const {
        std::vector<WeightedText> result;
        for (const WeightedText& piece : pieces_) {
            if (piece.text.empty()) {
                continue;
            }
            if (!result.empty() && result.back().weight == piece.weight) {
                result.back().text += piece.text;
            } else {
                result.push_back(piece);
            }
        }
        return result;
    }

    std::string_view rest_;
    std::vector<WeightedText> pieces_;
    std::vector<Open> open_;
};

} // namespace detail

/// A prompt as pieces with weights; a plain one is one piece of weight 1, an empty one none. Throws Error where it has
/// more than 1000 brackets.
[[nodiscard]] inline std::vector<WeightedText> weighted_texts(std::string_view prompt, PromptSyntax syntax) {
    if (syntax == PromptSyntax::plain) {
        return {{std::string(prompt), 1}};
    }
    require(ranges::count_if(prompt, [](char c) { return c == '(' || c == '['; }) <= 1000, "prompt: more than 1000 "
                                                                                           "brackets");
    return detail::BracketReader(prompt).read();
}

/// A prompt's ids with a weight each: start, end and padding count 1.
struct WeightedEncoding {
    Encoding encoding;
    std::vector<float> weights; ///< as many as ids

    [[nodiscard]] bool is_plain() const {
        return ranges::all_of(weights, [](float weight) { return weight == 1; });
    }
};

/// Encodes a prompt piece by piece, as stable-diffusion-webui does. Throws Error as CLIPTokenizer::encode().
[[nodiscard]] inline WeightedEncoding encode_weighted(const CLIPTokenizer& tokenizer, std::string_view prompt,
                                                      PromptSyntax syntax) {
    if (syntax == PromptSyntax::plain) {
        return {tokenizer.encode_with_details(prompt), std::vector<float>(tokenizer.max_length(), 1)};
    }
    std::vector<std::int32_t> ids;
    std::vector<float> weights;
    for (const WeightedText& piece : weighted_texts(prompt, syntax)) {
        const std::vector<std::int32_t> more = tokenizer.token_ids(piece.text);
        ids.insert(ids.end(), more.begin(), more.end());
        weights.insert(weights.end(), more.size(), static_cast<float>(piece.weight));
    }
    weights.resize(tokenizer.max_length() - 2, 1);
    weights.insert(weights.begin(), 1);
    weights.push_back(1);
    return {tokenizer.encode_ids(ids), std::move(weights)};
}

} // namespace reel
