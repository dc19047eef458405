// A rank that dies, hangs or fails: the others end soon, with a sentence, and programs leave no half of a file.

#include <chrono>
#include <thread>

#include "parallel/launch.hpp"

using namespace reel_test;

namespace {

struct EndedSoon : Ended {
    double seconds = 0;
    std::map<std::string, std::string> said{}; ///< by "said-RANK"
};

/// three ranks, of which rank 1 does something in its third step.
[[nodiscard]] EndedSoon ended_when_one(const std::string& how, const std::string& limit) {
    const TemporaryFolder folder;
    const auto start = std::chrono::steady_clock::now();
    EndedSoon ended{run(on_ranks(3, {REEL_ONE_ENDS, how, limit, folder / "said"})), 0, {}};
    ended.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ended.said = files_in(folder.path());
    return ended;
}

} // namespace

TEST_CASE("a rank that hangs is waited for until the time limit, and named") {
    const EndedSoon ended = ended_when_one("hangs", "2");
    CHECK(ended.status != 0);
    CHECK(ended.seconds >= 2);
    CHECK(ended.seconds < 30);
    CHECK_FALSE(ended.said.contains("said-1"));
    REQUIRE_FALSE(ended.said.empty()); // who is first ends the other
    for (const auto& [file, text] : ended.said) {
        CAPTURE(text);
        CHECK(text.starts_with("rank " + file.substr(5) + " of 3 on "));
        CHECK(text.find("the sum of a step: waited 2 s for rank 1, which does not come") != std::string::npos);
    }
}

TEST_CASE("a rank that is slow is waited for") {
    const EndedSoon ended = ended_when_one("sleeps", "20");
    CHECK(ended.status == 0);
    CHECK(ended.said.empty());
}

TEST_CASE("a rank that is killed, leaves or fails ends all, and somebody says so") {
    for (const std::string how : {"killed", "leaves", "fails"}) {
        CAPTURE(how);
        const EndedSoon ended = ended_when_one(how, "20");
        CAPTURE(ended.err);
        CHECK(ended.status != 0);
        CHECK(ended.seconds < 30);
        if (how == "fails") {
            CHECK(ended.status == 4);
            REQUIRE(ended.said.contains("said-1"));
            CHECK(ended.said.at("said-1") == "something else is wrong\n");
        }
        CHECK((!ended.err.empty() || !ended.said.empty()));
    }
}
