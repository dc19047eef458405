#include <reel/core/error.hpp>
#include <reel/core/shown_text.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace std::string_literals;

TEST_CASE("text for a terminal shows what would act on it") {
    CHECK(reel::terminal_text("conv_in.weight") == "conv_in.weight");
    CHECK(reel::terminal_text("café 日本 😀") == "café 日本 😀");
    CHECK(reel::terminal_text("\x1b]0;title\x07\x1b[31mred") == R"(\x1b]0;title\x07\x1b[31mred)");
    CHECK(reel::terminal_text("a\nb\r\tc"s + '\0') == R"(a\nb\r\tc\x00)");
    CHECK(reel::terminal_text("\u009b2J \u202egnp.exe \u2028 \ufeff") == R"(\x9b2J \u202egnp.exe \u2028 \ufeff)");
    CHECK(reel::terminal_text("\U000e0041") == R"(\U000e0041)");
    for (const char* text : {"a\x1b[2J\n\xff", "\\x1b", "C:\\n"}) {
        CHECK(reel::terminal_text(reel::terminal_text(text)) == reel::terminal_text(text));
    }
}

TEST_CASE("bytes that are no UTF-8 are shown as such") {
    CHECK(reel::terminal_text("a\xff\xc3") == R"(a\xff\xc3)");
    CHECK(reel::terminal_text("\xc0\xaf") == R"(\xc0\xaf)");                 // not the shortest form
    CHECK(reel::terminal_text("\xe0\x80\x80") == R"(\xe0\x80\x80)");         // nor this
    CHECK(reel::terminal_text("\xed\xa0\x80") == R"(\xed\xa0\x80)");         // a surrogate
    CHECK(reel::terminal_text("\xf4\x90\x80\x80") == R"(\xf4\x90\x80\x80)"); // above U+10FFFF
    CHECK(reel::terminal_text("\xe2\x82") == R"(\xe2\x82)");
}

TEST_CASE("an Error is one line, whatever names are in it") {
    std::string message;
    try {
        reel::fail("model.safetensors: tensor \"", "x\x1b[31m\n", "\" is missing");
    } catch (const reel::Error& error) {
        message = error.what();
    }
    CHECK(message == R"(model.safetensors: tensor "x\x1b[31m\n" is missing)");
}

TEST_CASE("a cell of a CSV file is no formula") {
    for (const char* same : {"", "a man", "-0.5", "+3e-5", "1.25", "-1e+30", "a=b", "0"}) {
        CHECK(reel::csv_cell(same) == same);
    }
    CHECK(reel::csv_cell("=cmd|' /C calc'!A0") == "'=cmd|' /C calc'!A0");
    CHECK(reel::csv_cell("@SUM(1,2)") == "\"'@SUM(1,2)\"");
    CHECK(reel::csv_cell("-2+3") == "'-2+3");
    CHECK(reel::csv_cell("+") == "'+");
    CHECK(reel::csv_cell("\t=1") == "'\t=1");
    CHECK(reel::csv_cell("a \"b\", c") == "\"a \"\"b\"\", c\"");
    CHECK(reel::csv_cell("two\nlines") == "\"two\nlines\"");
}

TEST_CASE("text for HTML ends no tag and no attribute") {
    CHECK(reel::html_text("a man & a <b>") == "a man &amp; a &lt;b&gt;");
    CHECK(reel::html_text("\" onload='x'") == "&quot; onload=&#39;x&#39;");
}
