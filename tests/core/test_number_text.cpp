// Numbers from text, against std::from_chars.

#include <doctest/doctest.h>

#include <bit>
#include <charconv>
#include <cstdint>
#include <string>
#include <vector>

#include <reel/core/number_text.hpp>

namespace {

/// How far it read, what, and how it ended.
struct Read {
    std::ptrdiff_t length = 0;
    std::uint64_t bits = 0;
    std::errc error{};
    bool operator==(const Read&) const = default;
};

Read expected(const std::string& text, bool exponent) {
    double value = -7;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value,
                                              exponent ? std::chars_format::general : std::chars_format::fixed);
    return {end - text.data(), std::bit_cast<std::uint64_t>(value), error};
}

Read found(const std::string& text, bool exponent) {
    double value = -7;
    const auto [end, error] = reel::detail::read_decimal(text, value, exponent);
    return {end - text.data(), std::bit_cast<std::uint64_t>(value), error};
}

} // namespace

TEST_CASE("read_decimal reads what std::from_chars does, to the bit") {
    std::vector<std::string> texts{"",
                                   "-",
                                   ".",
                                   "-.",
                                   "1.",
                                   ".5",
                                   "-.5",
                                   "1.5e",
                                   "1e+",
                                   "1e5x",
                                   "+1",
                                   " 1",
                                   "0x10",
                                   "1,5",
                                   "1.2.3",
                                   "--1",
                                   "1e400",
                                   "-1e400",
                                   "1e-400",
                                   "5e-324",
                                   "1e-310",
                                   "1.7976931348623157e308",
                                   "0.1",
                                   "123456789012345678901",
                                   "1E7",
                                   "-0",
                                   "00012",
                                   "1e0000001",
                                   "9007199254740993",
                                   "2.2250738585072011e-308"};
    std::uint64_t state = 1;
    for (int i = 0; i < 20000; ++i) {
        std::string text;
        for (int length = 0; length < 1 + i % 9; ++length) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            text += "0123456789.-+eE59x "[(state >> 33) % 19];
        }
        texts.push_back(text);
    }
    for (const std::string& text : texts) {
        for (const bool exponent : {true, false}) {
            CAPTURE(text);
            CAPTURE(exponent);
            CHECK(found(text, exponent) == expected(text, exponent));
        }
    }
}

TEST_CASE("is_number: from end to end, in a range") {
    double x = 1;
    CHECK(reel::is_number("2.5", x));
    CHECK(x == 2.5);
    for (const char* text : {"", "2.5 ", " 2", "+2", "2x", "1e999"}) {
        CAPTURE(text);
        CHECK(!reel::is_number(text, x));
    }
    int n = 1;
    CHECK(reel::is_number("-12", n));
    CHECK(n == -12);
    CHECK(!reel::is_number("1.0", n));
    CHECK(!reel::is_number("99999999999", n));
}
