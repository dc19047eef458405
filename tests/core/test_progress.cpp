#include <reel/core/progress.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/core/version.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using reel::Progress;

namespace {

constexpr const char* clear_line = "\r\x1b[K";

/// A loop of `steps` steps of `each` seconds, and what the bar wrote.
std::string loop(bool terminal, std::size_t steps, double each, std::size_t columns = 200) {
    std::ostringstream out;
    double now = 0;
    {
        Progress bar("tuning", steps, out, {terminal, columns, [&] { return now; }});
        for (std::size_t i = 0; i < steps; ++i) {
            now += each;
            bar.step();
        }
    }
    return out.str();
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        ++n;
    }
    return n;
}

} // namespace

TEST_CASE("durations are shown in words that fit them") {
    CHECK(reel::format_duration(0) == "0 s");
    CHECK(reel::format_duration(-1) == "0 s");
    CHECK(reel::format_duration(59.4) == "59 s");
    CHECK(reel::format_duration(59.6) == "1:00");
    CHECK(reel::format_duration(185) == "3:05");
    CHECK(reel::format_duration(3723) == "1:02:03");
    CHECK(reel::format_duration(360000) == "100:00:00");
    CHECK(reel::format_duration(1e12) == "?");
    CHECK(reel::format_duration(std::nan("")) == "?");
}

TEST_CASE("short work shows nothing") {
    CHECK(loop(true, 19, 0.1).empty());
    CHECK(loop(false, 19, 0.1).empty());
    std::ostringstream out;
    {
        const Progress bar("nothing", 0, out, {true, 80, [] { return 0.0; }});
    }
    CHECK(out.str().empty());
}

TEST_CASE("on a terminal the bar is redrawn ten times a second and removed at the end") {
    const std::string text = loop(true, 1000, 0.01); // ten seconds, eight of them shown
    const std::size_t redrawn = count(text, "\rtuning: [");
    CHECK(redrawn >= 70);
    CHECK(redrawn <= 81);
    CHECK(text.ends_with(clear_line));
    CHECK(count(text, "\n") == 0);
    CHECK(loop(true, 80, 0.125).find("[############------------] 50 % 40/80, 5 s, 5 s left") != std::string::npos);
}

TEST_CASE("the line fits the terminal") {
    const std::string text = loop(true, 10, 1, 20);
    CHECK(text.find("tuning") != std::string::npos);
    for (std::size_t at = text.find('\r'); at != std::string::npos; at = text.find('\r', at + 1)) {
        CHECK(text.find("\x1b[K", at) - at - 1 <= 19);
    }
}

TEST_CASE("in a file a line is written at each quarter and every 30 seconds") {
    const std::string quick = loop(false, 80, 0.125); // ten seconds
    CHECK(count(quick, "\n") == 4);
    CHECK(quick.find("tuning: 25 % 20/80, 3 s, 8 s left\n") != std::string::npos);
    CHECK(quick.ends_with("tuning: 100 % 80/80, 10 s\n"));
    CHECK(quick.find('\r') == std::string::npos);
    CHECK(quick.find('\x1b') == std::string::npos);
    const std::string slow = loop(false, 500, 1); // 25, 50, 75, 100 % and every 30 s between
    CHECK(count(slow, "\n") == 4 + 4 * 4);
    CHECK(count(loop(false, 3, 0.9), "\n") == 1); // 30 % and 60 % came too early
}

TEST_CASE("steps done before count, but not for the speed") {
    std::ostringstream out;
    double now = 0;
    Progress bar("resumed", 100, out, {false, 0, [&] { return now; }});
    bar.skip(60);
    now = 30;
    bar.step(10);
    CHECK(out.str() == "resumed: 70 % 70/100, 30 s, 1:30 left\n");
}

TEST_CASE("notes are shown, without control characters") {
    std::ostringstream out;
    double now = 0;
    Progress bar("a\x1b[31m\nb", 0, out, {false, 0, [&] { return now; }});
    bar.note("loss\t0.123");
    now = 31;
    bar.step();
    CHECK(out.str() == "a [31m b: 1 done, 31 s, loss 0.123\n");
}

TEST_CASE("the line is removed when an exception passes, and by clear()") {
    std::ostringstream out;
    try {
        Progress bar("tuning", 10, out, {true, 80, [] { return 3.0; }});
        bar.step();
        bar.clear();
        CHECK(out.str().ends_with(clear_line));
        bar.step(); // within a tenth of a second of the last
        throw std::runtime_error("stop");
    } catch (const std::runtime_error&) {
    }
    CHECK(out.str().ends_with(clear_line));
    CHECK(count(out.str(), clear_line) == 1);
}

TEST_CASE("on a terminal the line appears while a long step still runs") {
    std::ostringstream out;
    {
        const Progress bar("tuning", 3, out, {true, 80, {}});
        std::this_thread::sleep_for(std::chrono::milliseconds(2800));
    }
    CHECK(out.str().starts_with("\rtuning: [------------------------] 0 % 0/3, "));
    CHECK(out.str().ends_with(clear_line));
}

TEST_CASE("stages have times and peaks of their own, the inner ones' included") {
    constexpr std::size_t mebi = std::size_t{1} << 20;
    reel::MemoryPool pool;
    reel::StageTimer timer(reel::probe_of(pool));
    const auto use = [&](std::size_t bytes) {
        void* block = pool.allocate(bytes);
        std::memset(block, 1, bytes);
        pool.deallocate(block, bytes);
        pool.release_cached();
    };
    use(2 * mebi); // before any stage
    {
        const auto outer = timer.start("outer");
        use(8 * mebi);
        {
            const auto inner = timer.start("inner");
            use(64 * mebi);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        {
            auto light = timer.start("light");
            use(mebi);
            light.done();
            use(16 * mebi);
        }
    }
    const std::vector<reel::StageRecord> stages = timer.stages();
    REQUIRE(stages.size() == 3);
    CHECK(stages[0].name == "outer");
    CHECK(stages[0].peak_backend_bytes == 64 * mebi);
    CHECK(stages[1].name == "inner");
    CHECK(stages[1].peak_backend_bytes == 64 * mebi);
    CHECK(stages[2].peak_backend_bytes == mebi);
    CHECK(stages[1].seconds >= 0.02);
    CHECK(stages[0].seconds >= stages[1].seconds);
    CHECK(stages[2].seconds < 10);
    CHECK(stages[1].peak_resident_bytes >= 64 * mebi);
    CHECK(stages[0].peak_resident_bytes >= stages[1].peak_resident_bytes);
    if (timer.resident_per_stage()) {
        CHECK(stages[2].peak_resident_bytes + 32 * mebi < stages[1].peak_resident_bytes);
    }
    CHECK(timer.total().peak_backend_bytes == 64 * mebi);
    CHECK(timer.total().peak_resident_bytes >= 64 * mebi);
    CHECK(timer.total().seconds >= stages[0].seconds);
}

TEST_CASE("a stage that an exception ends is recorded; an open one is not") {
    reel::StageTimer timer;
    try {
        const auto stage = timer.start("fails");
        throw std::runtime_error("stop");
    } catch (const std::runtime_error&) {
    }
    const auto open = timer.start("open");
    REQUIRE(timer.stages().size() == 1);
    CHECK(timer.stages()[0].name == "fails");
    CHECK(timer.stages()[0].peak_backend_bytes == 0);
}

TEST_CASE("the headers and CMakeLists.txt have the same version") {
    CHECK(reel::version == REEL_CMAKE_VERSION);
}
