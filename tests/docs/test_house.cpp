// docs/README.md shows the house in one picture, the roof first. The headers' includes must agree with it.

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <regex>
#include <set>

#include "markdown.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path root = REEL_SOURCE_FOLDER;

/// A line of the picture: a folder ("io/files/") or a header ("tensor.hpp"), relative to include/reel, and its page.
struct Room {
    std::string name;
    std::string page;
    std::size_t height = 0; ///< 0: the ground
};

[[nodiscard]] std::string contents_of(const fs::path& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// The rooms below include/reel, the lowest first.
[[nodiscard]] std::vector<Room> rooms() {
    std::vector<Room> found;
    for (const docs::Block& block : docs::blocks_of(root, "docs/README.md")) {
        if (block.file != "house") {
            continue;
        }
        for (const std::string& line : docs::split_lines(block.text)) {
            std::istringstream words(line);
            Room room;
            words >> room.name;
            for (std::string word; words >> word;) {
                room.page = word;
            }
            if (room.name != "examples/" && room.name != "include/reel/") {
                found.push_back(room);
            }
        }
    }
    std::reverse(found.begin(), found.end());
    for (std::size_t i = 0; i < found.size(); ++i) {
        found[i].height = i;
    }
    return found;
}

/// The room of a header: the longest name that it begins with.
[[nodiscard]] std::optional<Room> room_of(const std::vector<Room>& house, const std::string& header) {
    std::optional<Room> best;
    for (const Room& room : house) {
        if (header.starts_with(room.name) && (!best || room.name.size() > best->name.size())) {
            best = room;
        }
    }
    return best;
}

/// What each header of reel includes of reel.
[[nodiscard]] std::map<std::string, std::vector<std::string>> includes() {
    static const std::regex line("#include [<\"]reel/([^>\"]+)[>\"]");
    std::map<std::string, std::vector<std::string>> found;
    for (const auto& entry : fs::recursive_directory_iterator(root / "include" / "reel")) {
        if (!entry.is_regular_file() || entry.path().extension() == ".txt") {
            continue;
        }
        const std::string text = contents_of(entry.path());
        auto& list = found[fs::relative(entry.path(), root / "include" / "reel").generic_string()];
        for (std::sregex_iterator match(text.begin(), text.end(), line), end; match != end; ++match) {
            list.push_back((*match)[1]);
        }
    }
    return found;
}

} // namespace

TEST_CASE("the picture has every folder of the library, and a page for each") {
    const std::vector<Room> house = rooms();
    REQUIRE(house.size() > 10);
    std::set<std::string> used;
    for (const auto& [header, list] : includes()) {
        CAPTURE(header);
        const auto room = room_of(house, header);
        REQUIRE(room);
        used.insert(room->name);
        const auto folder = header.substr(0, header.rfind('/') + 1);
        // a folder below a room may share its line: a product's own in its backend, a target's own files,
        // bodies in a header each
        CHECK((room->name == header || room->name == folder || folder == room->name + "onednn/" ||
               folder == room->name + "bodies/" || folder == "compiled/pipelines/" || folder == "compiled/cuda/" ||
               folder == "pipelines/any/"));
    }
    for (const Room& room : house) {
        CAPTURE(room.name);
        CHECK(used.contains(room.name));
        CHECK(fs::exists(root / "docs" / room.page));
    }
    CHECK_FALSE(room_of(house, "elsewhere/a.hpp"));
}

TEST_CASE("a room uses what lies below it and nothing above") {
    const std::vector<Room> house = rooms();
    std::size_t arrows = 0;
    for (const auto& [header, list] : includes()) {
        for (const std::string& included : list) {
            CAPTURE(header);
            CAPTURE(included);
            const auto from = room_of(house, header);
            const auto to = room_of(house, included);
            REQUIRE(from);
            REQUIRE(to);
            CHECK(to->height <= from->height);
            ++arrows;
        }
    }
    CHECK(arrows > 400);
}

TEST_CASE("no header includes itself by way of others, and none includes a program") {
    const auto all = includes();
    std::map<std::string, int> state; // 1: being visited, 2: done
    std::vector<std::string> circle;
    const auto visit = [&](const auto& self, const std::string& header) -> void {
        state[header] = 1;
        for (const std::string& next : all.at(header)) {
            if (!all.contains(next)) {
                FAIL_CHECK(header << " includes " << next << ", which does not exist");
            } else if (state[next] == 1) {
                circle.push_back(header + " includes " + next);
            } else if (state[next] == 0) {
                self(self, next);
            }
        }
        state[header] = 2;
    };
    for (const auto& [header, list] : all) {
        if (state[header] == 0) {
            visit(visit, header);
        }
        CHECK(contents_of(root / "include" / "reel" / header).find("examples/") == std::string::npos);
    }
    CHECK(circle == std::vector<std::string>{});
}
