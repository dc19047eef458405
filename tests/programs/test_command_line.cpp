// examples/options.hpp: a struct of options as a command line.

#include <doctest/doctest.h>

#include <iostream>
#include <sstream>
#include <utility>
#include <vector>

#include "options.hpp"

#include "io/temporary_folder.hpp"

namespace {

enum class Side { left, right };

inline constexpr std::array side_names{reel::NamedValue{"left", Side::left}, reel::NamedValue{"right", Side::right}};

[[nodiscard]] constexpr const auto& names_of(Side) {
    return side_names;
}

/// Every type of value. A new option is two edits: its member, and its line in the list.
struct Everything {
    int count = 3;
    std::uint64_t world = 1;
    std::size_t limit = 0;
    double scale = 0.5;
    bool wet = false;
    std::string name = "x";
    std::optional<std::string> title;
    std::optional<std::uint64_t> seed;
    std::vector<std::string> words{"a", "b"};
    std::vector<double> weights{1};
    Side side = Side::left;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(reel::Option{"count", "of things", reel::at_least(0)}, self.count);
        visit(reel::Option{"world", "number"}, self.world);
        visit(reel::Option{"limit", "of memory", {.least = 0, .of = "bytes"}}, self.limit);
        visit(reel::Option{"scale", "of it", reel::from_to(0, 1)}, self.scale);
        visit(reel::Option{"wet", "or dry"}, self.wet);
        visit(reel::Option{"name", "of it"}, self.name);
        visit(reel::Option{"title", "above"}, self.title);
        visit(reel::Option{"seed", "of everything"}, self.seed);
        visit(reel::Option{"words", "to say"}, self.words);
        visit(reel::Option{"weights", "of words"}, self.weights);
        visit(reel::Option{"side", "to go by"}, self.side);
    }
};

struct Parsed {
    Everything options;
    std::string error;
    bool gave_count = false;
};

[[nodiscard]] Parsed parsed(std::vector<std::string> words) {
    Parsed result;
    words.insert(words.begin(), "program");
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    CLI::App app("test");
    program::add_options(app, result.options);
    try {
        static_cast<void>(program::parse(app, static_cast<int>(arguments.size()), arguments.data()));
        reel::check_options(result.options, program::option_name);
    } catch (const program::UsageError& error) {
        result.error = std::string("usage: ") + error.what();
    } catch (const reel::Error& error) {
        result.error = error.what();
    }
    result.gave_count = app.count("--count") > 0;
    return result;
}

} // namespace

TEST_CASE("options are set by name, and keep what they have") {
    const Parsed nothing = parsed({});
    CHECK(nothing.error.empty());
    CHECK_FALSE(nothing.gave_count);
    CHECK(nothing.options.words == std::vector<std::string>{"a", "b"});
    const Everything set = parsed({"--count", "7",         "--world",      "18446744073709551615",
                                   "--limit", "4GB",       "--scale=1e-3", "--wet",
                                   "--name",  "",          "--title",      "two words",
                                   "--seed",  "9",         "--words",      "c",
                                   "d e",     "--weights", "1,2.5",        "--side",
                                   "right"})
                               .options;
    CHECK(set.count == 7);
    CHECK(set.world == 18446744073709551615ULL);
    CHECK(set.limit == 4'000'000'000);
    CHECK(set.scale == 1e-3);
    CHECK(set.wet);
    CHECK(set.name.empty());
    CHECK(set.title == "two words");
    CHECK(set.seed == 9);
    CHECK(set.words == std::vector<std::string>{"c", "d e"});
    CHECK(set.weights == std::vector<double>{1, 2.5});
    CHECK(set.side == Side::right);
    CHECK_FALSE(parsed({"--wet", "false"}).options.wet);
    CHECK(parsed({"--wet=true"}).options.wet);
    CHECK(parsed({"--words", "c", "--words", "d"}).options.words == std::vector<std::string>{"c", "d"});
    CHECK(parsed({"--count", "1"}).gave_count);
}

TEST_CASE("a wrong command line says which option, what was expected, and the nearest name") {
    CHECK(parsed({"--count", "many"}).error == "usage: --count: expected a whole number, found \"many\"; see --help");
    CHECK(parsed({"--count", "1.5"}).error == "usage: --count: expected a whole number, found \"1.5\"; see --help");
    CHECK(parsed({"--seed", "-1"}).error ==
          "usage: --seed: expected a whole number, 0 or more, found \"-1\"; see --help");
    CHECK(parsed({"--side", "rihgt"}).error ==
          "usage: --side: expected one of left, right, found \"rihgt\" (did you mean \"right\"?); see --help");
    CHECK(parsed({"--weights", "1,x"}).error == "usage: --weights: expected a number, found \"x\"; see --help");
    CHECK(parsed({"--limit", "4 apples"}).error ==
          "usage: --limit: expected a size such as 4GB, found \"4 apples\"; see --help");
    CHECK(parsed({"--cuont", "1"}).error == "usage: --cuont: unknown option (did you mean \"--count\"?); see --help");
    CHECK(parsed({"word"}).error == "usage: \"word\" belongs to no option; see --help");
    CHECK(parsed({"--name"}).error.starts_with("usage: --name"));
    CHECK(parsed({"--name", "a", "--name", "b"}).error.starts_with("usage: --name"));
    CHECK(parsed({"--count", "-1"}).error == "--count: expected at least 0, found -1");
    CHECK(parsed({"--scale", "nan"}).error == "--scale: expected a number from 0 to 1, found nan");
}

TEST_CASE("what leads to other options is found before they are parsed") {
    std::vector<std::string> words{"program", "--config=a.yaml", "--edit", "--config"};
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    CHECK(program::first_value(4, arguments.data(), "--config") == "a.yaml");
    CHECK(program::first_value(4, arguments.data(), "--edit") == "--config");
    CHECK(program::first_value(4, arguments.data(), "--model").empty());
    CHECK(program::any_given(4, arguments.data(), {"--model", "--edit"}));
    CHECK(program::any_given(4, arguments.data(), {"--config"}));
    CHECK_FALSE(program::any_given(4, arguments.data(), {"--model"}));
}

namespace {

struct Outcome {
    int status = 0;
    std::string out;
    std::string err;
};

/// program::run() with a command line, and what it writes.
template <class O, class Work>
[[nodiscard]] Outcome outcome(const program::About& about, std::vector<std::string> words, const Work& work) {
    words.insert(words.begin(), about.name);
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    std::ostringstream out;
    std::ostringstream err;
    std::streambuf* const usual_out = std::cout.rdbuf(out.rdbuf());
    std::streambuf* const usual_err = std::cerr.rdbuf(err.rdbuf());
    const int status = program::run(about, static_cast<int>(arguments.size()), arguments.data(), O{}, work);
    std::cout.rdbuf(usual_out);
    std::cerr.rdbuf(usual_err);
    return {status, out.str(), err.str()};
}

} // namespace

TEST_CASE("a program of one struct of options does its work, or says in one line why not") {
    std::vector<Everything> done;
    const auto work = [&](const Everything& options) {
        reel::require(options.name != "bad", "no work with ", options.name);
        done.push_back(options);
    };
    const auto run = [&](const std::vector<std::string>& words) {
        return outcome<Everything>({"worker", "Works.", {"--name", "--count"}}, words, work);
    };
    CHECK(run({"--name", "y", "--count", "4"}).status == 0);
    REQUIRE(done.size() == 1);
    CHECK(done[0].name == "y");
    CHECK(done[0].count == 4);
    const Outcome help = run({"--help"});
    CHECK(help.status == 0);
    CHECK(help.out.starts_with("Works.\n"));
    CHECK(help.out.find("--count INT=3 REQUIRED") != std::string::npos);
    for (const auto& [words, says] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"--count", "4"}, "--name is required; see --help"},
             {{"--name", "y", "--count", "-4"}, "--count: expected at least 0, found -4; see --help"},
             {{"--name", "y", "--count", "4", "--cuont", "1"},
              "--cuont: unknown option (did you mean \"--count\"?); see --help"}}) {
        const Outcome refused = run(words);
        CHECK(refused.status == program::wrong_command_line);
        CHECK(refused.err == "worker: error: " + says + "\n");
    }
    const Outcome failed = run({"--name", "bad", "--count", "4"});
    CHECK(failed.status == program::failed);
    CHECK(failed.err == "worker: error: no work with bad\n");
    CHECK(done.size() == 1);
}

TEST_CASE("an edit of a clip wants all its options, and a folder to write into before the work") {
    int done = 0;
    const auto run = [&](const std::string& output) {
        return outcome<program::ClipEdit>(
            {"editor", "Edits.", program::clip_edit_options},
            {"--model", "m", "--video", "v", "--prompt", "p", "--edit", "e", "--output", output},
            [&](const program::ClipEdit&) { ++done; });
    };
    const reel_test::TemporaryFolder folder;
    CHECK(run("edit.gif").status == 0);
    CHECK(run(folder / "edit.gif").status == 0);
    CHECK(done == 2);
    const std::string absent = folder / "absent";
    const Outcome refused = run(absent + "/edit.gif");
    CHECK(refused.status == program::wrong_command_line);
    CHECK(refused.err == "editor: error: --output " + absent + "/edit.gif: there is no folder " + absent +
                             "; make it first; see --help\n");
    CHECK(done == 2);
}
