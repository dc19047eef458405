// make_units ROOT FOLDER: the pages' C++ as translation units of a test, FOLDER/NAME.cpp. The rules:
// - `#include` lines go to the top of the unit;
// - types, templates, namespaces and functions (they begin in the first column and end with the `}` that closes them)
// go into the
//   page's namespace; all else into its function, each block in a scope inside the former block's, so that it sees the
//   former's names and may declare them anew;
// - what a page leaves open is in given/PAGE.hpp, which also prepares files; given/PAGE_check.hpp uses what a page
// defines;
// - a block that names its file is a program, which test_commands compiles.

#include <array>
#include <iostream>
#include <map>
#include <regex>
#include <set>

#include "markdown.hpp"

namespace {

/// Pages that take long to compile, and the unit they are in; the others share one.
const std::map<std::string, std::string> units{
    {"pipelines", "models"}, {"models", "models"}, {"metrics", "models"}, {"schedulers", "schedulers"}};
const std::array unit_names{"models", "schedulers", "others"};

/// What is replaced in a page: what takes long, and names of folders that are not to be written to.
struct Replacement {
    std::string page, from, to;
};
const std::vector<Replacement> replacements{
    {"pipelines", "500", "2"},
    {"pipelines", "50", "4"},
    {"pipelines", "[15]", "[2]"},
    {"pipelines", ".skipped = 15", ".skipped = 2"},
    {"pipelines", ".steps = 40", ".steps = 2"},
    {"video", "512", "64"},
    {"text", "\"model/tokenizer\"", "\"mine/tokenizer\""},
    {"io", "from_file(\"model/unet/config.json\")",
     "from_file(\"three_keys.json\")"}, // the block reads three keys only
};

/// Blocks that are not compiled.
[[nodiscard]] bool is_left_out(const docs::Block& block) {
    return !block.file.empty() ||
           block.text.find("<reel/backend/cuda/cuda.cuh>") != std::string::npos; // for nvcc; see tests/backend
}

struct Page {
    std::string declarations;
    std::string statements;
    int scopes = 0;
};

void add(Page& page, const docs::Block& block, std::set<std::string>& includes) {
    static const std::regex declaration(R"((///|namespace|template|struct|class|enum)\b.*|[\w:<>, ]+ \w+\(.*\) \{)");
    const auto lines = docs::split_lines(block.text);
    bool declares = false;
    std::ptrdiff_t depth = 0; // of braces in a declaration
    bool code = false;
    int number = block.line - 1;
    const std::string file = "\"" + block.page + "\"\n";
    ++page.scopes;
    page.statements += "{\n#line " + std::to_string(block.line) + " " + file;
    for (const std::string& line : lines) {
        ++number;
        if (line.starts_with("#include")) {
            includes.insert(line);
            page.statements += "\n";
            continue;
        }
        if (!declares && (std::regex_match(line, declaration) || line.starts_with("///"))) {
            declares = true;
            page.declarations += "#line " + std::to_string(number) + " " + file;
        }
        (declares ? page.declarations : page.statements) += line + "\n";
        if (declares) {
            page.statements += "\n";
            depth += std::ranges::count(line, '{') - std::ranges::count(line, '}');
        }
        declares = declares && (depth > 0 || !line.starts_with("}"));
        code = code || !line.empty();
    }
    if (declares || !code) {
        throw std::runtime_error(block.page + ": the block at line " + std::to_string(block.line) +
                                 " has a declaration without an end, or no code");
    }
}

void replace_in(docs::Block& block, const std::string& page, std::set<std::string>& used) {
    for (const auto& [where, from, to] : replacements) {
        for (std::size_t at = 0; where == page && (at = block.text.find(from, at)) != std::string::npos;
             at += to.size()) {
            block.text.replace(at, from.size(), to);
            used.insert(from);
        }
    }
}

void write_units(const std::filesystem::path& root, const std::filesystem::path& folder) {
    std::map<std::string, std::string> bodies;
    std::map<std::string, std::set<std::string>> includes;
    std::set<std::string> used;
    for (const std::string& path : docs::pages_of(root)) {
        const std::string name = std::filesystem::path(path).stem().string();
        const auto found = units.find(name);
        const std::string unit = found == units.end() ? "others" : found->second;
        Page page;
        for (docs::Block block : docs::blocks_of(root, path)) {
            if (block.language == "cpp" && !is_left_out(block)) {
                replace_in(block, name, used);
                add(page, block, includes[unit]);
            }
        }
        if (page.scopes == 0) {
            continue;
        }
        const bool given = std::filesystem::exists(root / "tests/docs/given" / (name + ".hpp"));
        if (given) {
            includes[unit].insert("#include \"docs/given/" + name + ".hpp\"");
        }
        const bool checked = std::filesystem::exists(root / "tests/docs/given" / (name + "_check.hpp"));
        const std::string space = "docs::" + name + "_md";
        bodies[unit] += "namespace " + space + " {\n" + page.declarations + "void run() {\n" + page.statements +
                        std::string(static_cast<std::size_t>(page.scopes), '}') + "\n}\n}\n" +
                        (checked ? "#include \"docs/given/" + name + "_check.hpp\"\n" : "") +
                        "TEST_CASE(\"the code in " + path + "\") {\n    const docs::Here here;\n" +
                        (given ? "    " + space + "::prepare();\n" : "") + "    docs::run(" + space + "::run);\n" +
                        (checked ? "    " + space + "::check();\n" : "") + "}\n\n";
    }
    for (const auto& [page, from, to] : replacements) {
        if (!used.contains(from)) {
            throw std::runtime_error("docs/" + page + ".md has no \"" + from + "\" that make_units.cpp could replace");
        }
    }
    std::filesystem::create_directories(folder);
    for (const char* unit : unit_names) {
        std::ofstream file(folder / (std::string(unit) + ".cpp"));
        for (const std::string& include : includes[unit]) {
            file << include << '\n';
        }
        file << "#include \"docs/here.hpp\"\n\n" << bodies[unit];
    }
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 3) {
        throw std::runtime_error("expected the repository and a folder");
    }
    write_units(argv[1], argv[2]);
    return 0;
} catch (const std::exception& e) {
    std::cerr << "make_units: " << e.what() << '\n';
    return 1;
}
