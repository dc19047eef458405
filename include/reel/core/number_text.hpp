#pragma once
// Numbers read from text, the same in every locale.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

namespace reel {

namespace detail {

/// How many of a text's first characters are decimal digits.
[[nodiscard]] inline std::size_t digits_at(std::string_view text) {
    const std::size_t end = text.find_first_not_of("0123456789");
    return end == std::string_view::npos ? text.size() : end;
}

/// The length of the number that a text begins with, as std::from_chars takes one; 0 where there is none.
[[nodiscard]] inline std::size_t decimal_length(std::string_view text, bool exponent) {
    const std::size_t sign = text.starts_with('-') ? 1 : 0;
    const std::size_t whole = digits_at(text.substr(sign));
    std::size_t end = sign + whole;
    std::size_t digits = whole;
    if (end < text.size() && text[end] == '.') {
        const std::size_t fraction = digits_at(text.substr(end + 1));
        digits += fraction;
        end += fraction + 1;
    }
    if (digits == 0) {
        return 0;
    }
    if (exponent && end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
        const bool has_sign = end + 1 < text.size() && (text[end + 1] == '+' || text[end + 1] == '-');
        const std::size_t begin = end + 1 + (has_sign ? 1 : 0);
        const std::size_t power = begin < text.size() ? digits_at(text.substr(begin)) : 0;
        end = power > 0 ? begin + power : end;
    }
    return end;
}

/// What std::from_chars does with decimal numbers, for standard libraries that cannot: that of clang before 20.
[[nodiscard]] inline std::from_chars_result read_decimal(std::string_view text, double& value, bool exponent) {
    const std::size_t length = decimal_length(text, exponent);
    if (length == 0) {
        return {text.data(), std::errc::invalid_argument};
    }
    std::istringstream in{std::string(text.substr(0, length))};
    in.imbue(std::locale::classic());
    double read = 0;
    in >> read;
    // What is small some streams fail at, others make 0 of.
    const std::string_view mantissa = text.substr(0, std::min(length, text.find_first_of("eE")));
    const bool is_zero = mantissa.find_first_of("123456789") == std::string_view::npos;
    const bool lost = (read == 0 && !is_zero) || (in.fail() && std::abs(read) >= std::numeric_limits<double>::max());
    if (!lost) {
        value = read;
    }
    return {text.data() + length, lost ? std::errc::result_out_of_range : std::errc{}};
}

} // namespace detail

/// Reads the number that a text begins with as std::from_chars does: no space before it and no +, with or (`exponent`
/// false) without an exponent. `value` stays where there is none or T cannot hold it. On libc++ before 20 "inf" and
/// "nan" are no numbers.
template <class T>
requires std::integral<T> || std::same_as<T, double>
[[nodiscard]] std::from_chars_result read_number(std::string_view text, T& value, bool exponent = true) {
    const char* const end = text.data() + text.size();
    if constexpr (std::integral<T>) {
        return std::from_chars(text.data(), end, value);
    } else {
#if defined(__cpp_lib_to_chars)
        return std::from_chars(text.data(), end, value,
                               exponent ? std::chars_format::general : std::chars_format::fixed);
#else
        return detail::read_decimal(text, value, exponent);
#endif
    }
}

/// Whether a text is one number from end to end; then it is in `value`.
template <class T>
[[nodiscard]] bool is_number(std::string_view text, T& value) {
    const auto [end, error] = read_number(text, value);
    return error == std::errc{} && end == text.data() + text.size();
}

} // namespace reel
