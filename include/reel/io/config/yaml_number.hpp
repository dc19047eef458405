#pragma once
// Which plain scalars of YAML are numbers. No other library.

#include <charconv>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <reel/core/number_text.hpp>

namespace reel::detail {

/// Takes a plain scalar apart from its beginning. `taken` functions say whether there was something, and step over it.
class YamlScalar {
public:
    explicit YamlScalar(std::string_view text) : text_(text) {}

    [[nodiscard]] bool done() const { return at_ == text_.size(); }
    [[nodiscard]] char next() const { return done() ? '\0' : text_[at_]; }

    bool take(std::string_view any_of) {
        const bool found = !done() && any_of.find(text_[at_]) != std::string_view::npos;
        at_ += found ? 1 : 0;
        return found;
    }
    bool take_all(std::string_view any_of) {
        bool found = false;
        while (take(any_of)) {
            found = true;
        }
        return found;
    }
    /// Digits, between which single underscores may stand.
    bool take_grouped() {
        if (!take_all(digits)) {
            return false;
        }
        for (std::size_t before = at_; take("_"); before = at_) {
            if (!take_all(digits)) {
                at_ = before;
                break;
            }
        }
        return true;
    }
    /// Digits, after the first of which underscores may stand anywhere.
    bool take_loose() { return next() != '_' && take(digits) && (take_all(digits_and_gaps), true); }

    /// "e5", "E-5"; with `sign`, a sign is needed.
    bool take_exponent(bool sign) { return take("eE") && (take("+-") || !sign) && take_all(digits); }
    /// ":30" once or more often.
    bool take_sixties() {
        bool found = false;
        while (take(":")) {
            const char first = next();
            if (!take(digits)) {
                return false;
            }
            if (first <= '5') {
                take(digits);
            }
            found = true;
        }
        return found;
    }

    static constexpr std::string_view digits = "0123456789";
    static constexpr std::string_view digits_and_gaps = "0123456789_";

private:
    std::string_view text_;
    std::size_t at_ = 0;
};

[[nodiscard]] inline std::string without_gaps(std::string_view text) {
    std::string digits;
    for (const char c : text) {
        if (c != '_') {
            digits += c;
        }
    }
    return digits;
}

/// "1:30" in the sixties that YAML 1.1 counts in.
template <class T>
[[nodiscard]] std::optional<T> sixties(std::string_view text) {
    T sum{};
    while (true) {
        const std::size_t colon = text.find(':');
        const std::string_view part = text.substr(0, colon);
        T value{};
        if (!is_number(part, value) || sum > T(1'000'000'000'000'000 / 60)) {
            return std::nullopt;
        }
        sum = static_cast<T>(sum * 60 + value);
        if (colon == std::string_view::npos) {
            return sum;
        }
        text.remove_prefix(colon + 1);
    }
}

/// The whole number that YAML 1.1 reads: `12`, `1_000`, `0x1F`, `0b11`, `012` (ten) and `1:30` (ninety), after a sign
/// or without; nothing for other text, and for what does not fit.
[[nodiscard]] inline std::optional<std::pair<bool, unsigned long long>> yaml_integer(std::string_view text) {
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    const auto value_of = [&](std::string_view prefix, std::string_view allowed,
                              int base) -> std::optional<std::pair<bool, unsigned long long>> {
        if (text.substr(prefix.size()).find_first_not_of(allowed) != std::string_view::npos) {
            return std::nullopt;
        }
        const std::string digits = without_gaps(text.substr(prefix.size()));
        unsigned long long value = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
        if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
            return std::nullopt;
        }
        return std::pair(negative, value);
    };
    if (text.starts_with("0b")) {
        return value_of("0b", "01_", 2);
    }
    if (text.starts_with("0x")) {
        return value_of("0x", "0123456789abcdefABCDEF_", 16);
    }
    if (text.size() > 1 && text[0] == '0') {
        return value_of("0", "01234567_", 8);
    }
    if (text == "0" || (!text.empty() && text[0] >= '1' && text[0] <= '9')) {
        if (text.find(':') == std::string_view::npos) {
            return value_of("", YamlScalar::digits_and_gaps, 10);
        }
        YamlScalar scalar(text);
        if (scalar.take_loose() && scalar.take_sixties() && scalar.done()) {
            if (const auto value = sixties<unsigned long long>(without_gaps(text))) {
                return std::pair(negative, *value);
            }
        }
    }
    return std::nullopt;
}

/// The number with a point or an exponent that OmegaConf 2.4 reads: `3e-5`, `1.`, `.5`, `1_0.5`, but not `-.5` or
/// `.5e3`, which are texts to it.
[[nodiscard]] inline std::optional<double> yaml_real(std::string_view text) {
    const auto matches = [&](const auto& form) {
        YamlScalar scalar(text);
        return form(scalar) && scalar.done();
    };
    const auto fraction = [](YamlScalar& s) { return s.take(".") && (s.take_all(YamlScalar::digits_and_gaps), true); };
    const bool in_sixties = matches([&](YamlScalar& s) {
        s.take("+-");
        return s.take_loose() && s.take_sixties() && fraction(s);
    });
    const bool plain = matches([&](YamlScalar& s) { // 1_0.5, 1_0.5e3
        s.take("+-");
        return s.take_grouped() && fraction(s) && (s.done() || s.take_exponent(false));
    });
    const bool loose = matches([&](YamlScalar& s) { // 1__0.5, 1__0.5e+3
        s.take("+-");
        return s.take_loose() && fraction(s) && (s.done() || s.take_exponent(true));
    });
    const bool exponent = matches([&](YamlScalar& s) { // 1e5
        s.take("+-");
        return s.take_grouped() && s.take_exponent(false);
    });
    const bool bare = matches([&](YamlScalar& s) { // .5, .5e+3
        return s.take(".") && s.take_loose() && (s.done() || s.take_exponent(true));
    });
    if (!in_sixties && !plain && !loose && !exponent && !bare) {
        return std::nullopt;
    }
    std::string digits = without_gaps(text);
    const bool negative = digits.starts_with('-');
    if (negative || digits.starts_with('+')) {
        digits.erase(0, 1);
    }
    if (in_sixties) {
        const auto value = sixties<double>(digits);
        return value ? std::optional(negative ? -*value : *value) : std::nullopt;
    }
    double value = 0;
    if (!is_number(digits, value)) {
        return std::nullopt;
    }
    return negative ? -value : value;
}

/// The number that OmegaConf 2.4 reads, which Tune-A-Video reads its files with. Nothing for what it takes for text,
/// and for a number that T cannot hold, infinities among them.
template <class T>
[[nodiscard]] std::optional<T> yaml_number(std::string_view text) {
    const auto whole = yaml_integer(text);
    if constexpr (std::is_floating_point_v<T>) {
        if (whole) {
            const T value = static_cast<T>(whole->second);
            return whole->first ? -value : value;
        }
        const auto real = yaml_real(text);
        return real ? std::optional(static_cast<T>(*real)) : std::nullopt;
    } else {
        if (!whole) {
            return std::nullopt;
        }
        const auto [negative, value] = *whole;
        const auto most = static_cast<unsigned long long>(std::numeric_limits<T>::max());
        if (!negative || value == 0) {
            return value <= most ? std::optional(static_cast<T>(value)) : std::nullopt;
        }
        if (std::is_unsigned_v<T> || value > most + 1) {
            return std::nullopt;
        }
        return static_cast<T>(-static_cast<long long>(value - 1) - 1);
    }
}

} // namespace reel::detail
