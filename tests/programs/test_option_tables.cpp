// The tables of options in the documentation are those of the programs: names, defaults, texts, and none is left out.

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>

#include <reel/pipelines/insert_options.hpp>
#include <reel/pipelines/tune_video_options.hpp>

#include "world/demonstration.hpp"

namespace {

[[nodiscard]] std::string page(const std::string& name) {
    std::ifstream file(std::string(REEL_SOURCE_FOLDER) + "/docs/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The options' lines as a table has them, each once.
template <class O>
void check_table(const std::string& text, const O& options, const std::set<std::string>& elsewhere = {}) {
    std::set<std::string> names;
    reel::for_each_option(options, [&](const reel::Option& option, const auto& value, const std::string& name) {
        CHECK(names.insert(name).second);
        if (elsewhere.contains(name)) {
            return;
        }
        const std::string standard = reel::option_text(value);
        const std::string line = reel::concat_text("\n| `--", name, "` | ", standard, standard.empty() ? "" : " ", "| ",
                                                   option.text, " |\n");
        INFO("expected in the page: ", line);
        CHECK(text.find(line) != std::string::npos);
    });
}

} // namespace

TEST_CASE("the page of the programs has every option of insert_object and tune_video") {
    const std::string programs = page("programs.md");
    REQUIRE(programs.size() > 10000);
    const reel::InsertOptions insert;
    check_table(programs, insert);
    check_table(programs, world::SceneOptions{});
    // Those that both have stand once, with insert_object's defaults: the file's are the reference's.
    std::set<std::string> shared;
    reel::for_each_option(insert, [&](const auto&, const auto&, const std::string& name) { shared.insert(name); });
    check_table(programs, reel::TuneVideoOptions{}, shared);
}

TEST_CASE("the page of configurations has every key") {
    const std::string config = page("config.md");
    const reel::TuneAVideoConfig defaults;
    reel::for_each_option(defaults, [&](const auto&, const auto&, const std::string& path) {
        const std::size_t dot = path.find('.');
        const std::string last = dot == std::string::npos ? path : path.substr(dot);
        CAPTURE(path);
        CHECK((config.find("`" + path + "`") != std::string::npos ||
               config.find("`" + last + "`") != std::string::npos ||
               (last.starts_with("adam_") && config.find("`" + last + "`") != std::string::npos)));
    });
}
