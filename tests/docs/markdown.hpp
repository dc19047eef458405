#pragma once
// The blocks of code in README.md and docs/.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace docs {

/// One block. A fence says what it holds: cpp, cmake, yaml, python, sh, or text for what is no code; a name after it is
/// the file that it belongs in. Blocks that are set off by four spaces are commands.
struct Block {
    std::string page; ///< "docs/io.md"
    int line = 0;     ///< of the block's first line of code
    std::string language;
    std::string file;
    std::string text;
};

[[nodiscard]] inline std::vector<std::string> split_lines(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

[[nodiscard]] inline std::vector<Block> blocks_of(const std::filesystem::path& root, const std::string& page) {
    std::ifstream file(root / page);
    if (!file) {
        throw std::runtime_error("cannot read " + page);
    }
    std::vector<Block> blocks;
    bool fenced = false;
    bool indented = false;
    bool blank = true;
    bool list = false; // four spaces continue an item
    int number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        const std::size_t begin = std::min(line.find_first_not_of(' '), line.size());
        if (line.compare(begin, 3, "```") == 0) {
            fenced = !fenced;
            indented = false;
            if (fenced) {
                std::istringstream words(line.substr(begin + 3));
                Block block{page, number + 1, {}, {}, {}};
                words >> block.language >> block.file;
                blocks.push_back(block);
            }
        } else if (fenced) {
            blocks.back().text += line + "\n";
        } else if (begin >= 4 && begin < line.size() && (indented || blank) && !list) {
            if (!indented) {
                blocks.push_back({page, number, "sh", {}, {}});
            }
            indented = true;
            blocks.back().text += line.substr(4) + "\n";
        } else if (begin < line.size()) {
            indented = false;
            if (begin == 0) {
                list = line.starts_with("- ") || line.starts_with("* ") ||
                       (std::isdigit(line[0]) != 0 && line.substr(1, 2) == ". ");
            }
        } else if (indented) {
            blocks.back().text += "\n";
        }
        blank = begin == line.size();
    }
    if (fenced) {
        throw std::runtime_error(page + ": a fence is not closed");
    }
    return blocks;
}

/// README.md and the pages of docs/, by name.
[[nodiscard]] inline std::vector<std::string> pages_of(const std::filesystem::path& root) {
    std::vector<std::string> pages{"README.md"};
    for (const auto& entry : std::filesystem::directory_iterator(root / "docs")) {
        if (entry.path().extension() == ".md") {
            pages.push_back("docs/" + entry.path().filename().string());
        }
    }
    std::sort(pages.begin(), pages.end());
    return pages;
}

} // namespace docs
