// video_tools on good clips of every format and on files that are none.

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_reader.hpp>

#include "support/programs.hpp"

namespace {

using namespace reel_test;

const std::string tools = REEL_VIDEO_TOOLS;

/// A folder with clip.mp4: a red square that moves 8 pixels a frame, 6 frames of 64x48 at 8 per second.
struct Workplace {
    TemporaryFolder folder;
    std::string clip = (folder / "clip.mp4").string();

    Workplace() { write_clip(clip); }
    std::string operator/(const std::string& name) const { return (folder / name).string(); }
};

Ended tool(const Words& words) {
    return run_well(Words{tools} + words);
}

/// The command fails with one line that has these texts, and leaves nothing in the folder.
void refused(const Workplace& work, const Words& words, const Words& texts, int status = 1) {
    const std::size_t before = work.folder.count();
    const Ended ended = run(Words{tools} + words);
    INFO(ended.err);
    CHECK(ended.status == status);
    Words lines = lines_of(ended.err); // on a slow machine, of progress too
    std::erase_if(lines, [](const std::string& line) { return line.find(" %") != std::string::npos; });
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("video_tools: error: "));
    for (const std::string& text : texts) {
        INFO("expected: ", text);
        CHECK(ended.err.find(text) != std::string::npos);
    }
    CHECK(work.folder.count() == before);
}

/// Which of the drawn clip's frames this is: the red square's centre tells.
int drawn_frame(const reel::Frames& clip, int index) {
    double sum = 0;
    int count = 0;
    for (int y = 0; y < clip.height; ++y) {
        for (int x = 0; x < clip.width; ++x) {
            const std::uint8_t* pixel = clip.pixel(index, y, x);
            if (pixel[0] > 205 && pixel[1] < 120) { // the background has up to 189 of red
                sum += x;
                ++count;
            }
        }
    }
    REQUIRE(count > 0);
    return static_cast<int>(std::lround((sum / count * 64 / clip.width - 11.5) / 8));
}

std::vector<int> drawn_frames(const std::string& path) {
    const reel::Frames clip = reel::read_video(path);
    std::vector<int> frames;
    for (int i = 0; i < clip.count; ++i) {
        frames.push_back(drawn_frame(clip, i));
    }
    return frames;
}

double mean_difference(const reel::Frames& a, const reel::Frames& b) {
    REQUIRE(a.rgb.size() == b.rgb.size());
    double sum = 0;
    for (std::size_t i = 0; i < a.rgb.size(); ++i) {
        sum += std::abs(int{a.rgb[i]} - int{b.rgb[i]});
    }
    return sum / static_cast<double>(a.rgb.size());
}

} // namespace

TEST_CASE("every format to every other, from FFmpeg's own files where it is installed") {
    const Workplace work;
    const reel::Frames original = reel::read_video(work.clip);
    const bool ffmpeg = run({"sh", "-c", "command -v ffmpeg"}).status == 0;
    Words inputs{work.clip};
    for (const std::string kind : {"mov", "avi", "gif", "webm"}) {
        const std::string made = work / ("made." + kind);
        if (ffmpeg) {
            const Ended ended = run({"ffmpeg", "-nostdin", "-v", "error", "-i", work.clip, made});
            if (ended.status != 0) {
                MESSAGE("skipped: this ffmpeg makes no ", kind);
                continue;
            }
        } else if (kind == "webm") {
            continue; // no encoder of ours
        } else {
            tool({"convert", work.clip, made});
        }
        inputs.push_back(made);
    }
    if (!ffmpeg) {
        MESSAGE("ffmpeg is not installed: the inputs are video_tools' own");
    }
    const std::vector<std::pair<std::string, std::string>> outputs{
        {"mp4", "h264"}, {"mov", "h264"}, {"avi", "mpeg4"}, {"gif", "gif"}};
    for (const std::string& input : inputs) {
        const reel::Frames source = reel::read_video(input);
        for (const auto& [kind, codec] : outputs) {
            INFO(input, " to ", kind);
            const std::string output = work / ("out." + kind);
            tool({"convert", input, output});
            const reel::VideoInfo info = reel::probe_video(output);
            CHECK(info.frames == 6);
            CHECK(info.width == 64);
            CHECK(info.height == 48);
            CHECK(info.fps == doctest::Approx(source.fps).epsilon(0.001));
            CHECK(info.codec == codec);
            CHECK(drawn_frames(output) == std::vector{0, 1, 2, 3, 4, 5});
            // The dots of ffmpeg's GIF are finer than the colours of yuv420p.
            CHECK(mean_difference(reel::read_video(output), source) < (input.ends_with(".gif") ? 12 : 8));
        }
        CHECK(source.fps == doctest::Approx(8).epsilon(0.03)); // ffmpeg's GIF: 7.83
        CHECK(mean_difference(source, original) < 30);         // ffmpeg's own losses
    }
}

TEST_CASE("trim takes frames and seconds") {
    const Workplace work;
    const std::string out = work / "out.mp4";
    const auto trimmed = [&](const Words& words) {
        tool(Words{"trim", work.clip, out} + words);
        return drawn_frames(out);
    };
    CHECK(trimmed({"--start", "1", "--end", "3"}) == std::vector{1, 2});
    CHECK(trimmed({"--start", "4"}) == std::vector{4, 5});
    CHECK(trimmed({"--end", "6"}) == std::vector{0, 1, 2, 3, 4, 5});
    CHECK(trimmed({"--start", "0.25s", "--end", "0.5s"}) == std::vector{2, 3});
    CHECK(trimmed({"--start", "0.2s", "--end", "0.51s"}) == std::vector{2, 3, 4}); // between two frames: the next one
    CHECK(trimmed({"--start", "1s", "--end", "5", "--source_fps", "2"}) == std::vector{2, 3, 4});
    const std::string none = work / "none.mp4";
    refused(work, {"trim", work.clip, none, "--end", "7"}, {work.clip, "it has 6 frames", "--end is frame 7"});
    refused(work, {"trim", work.clip, none, "--start", "6"}, {"it has 6 frames", "--start is frame 6"});
    refused(work, {"trim", work.clip, none, "--start", "3", "--end", "0.25s"}, {"is not after --start"});
    refused(work, {"trim", work.clip, none, "--start", "1.5"}, {"--start", "1.5", "0.5s"}, 2);
    refused(work, {"trim", work.clip, none, "--start", "-1"}, {"--start"}, 2);
}

TEST_CASE("resize keeps the aspect unless it is told not to") {
    const Workplace work;
    const std::string out = work / "out.mp4";
    const auto resized = [&](const Words& words) {
        tool(Words{"resize", work.clip, out} + words);
        const reel::VideoInfo info = reel::probe_video(out);
        return std::pair(info.width, info.height);
    };
    CHECK(resized({"--width", "32"}) == std::pair(32, 24));
    CHECK(resized({"--height", "96"}) == std::pair(128, 96));
    CHECK(resized({"--width", "100", "--height", "60"}) == std::pair(80, 60));
    CHECK(resized({"--width", "80", "--height", "20", "--stretch"}) == std::pair(80, 20));
    CHECK(drawn_frames(out) == std::vector{0, 1, 2, 3, 4, 5});
    CHECK(resized({"--width", "48", "--height", "48", "--crop"}) == std::pair(48, 48));
    // Only the sides were cut off: at the same size, the middle is what it was.
    const reel::Frames whole = reel::read_video(work.clip);
    const reel::Frames middle = reel::read_video(out);
    double largest = 0;
    for (int y = 0; y < 48; ++y) {
        for (int x = 0; x < 48; ++x) {
            largest = std::max(largest, std::abs(double(whole.pixel(0, y, x + 8)[2]) - middle.pixel(0, y, x)[2]));
        }
    }
    CHECK(largest < 40);
    const std::string none = work / "none.mp4";
    refused(work, {"resize", work.clip, none}, {"--width", "--height"}, 2);
    refused(work, {"resize", work.clip, none, "--width", "8", "--crop"}, {"--crop", "--height"}, 2);
    refused(work, {"resize", work.clip, none, "--width", "8", "--height", "8", "--crop", "--stretch"}, {"--stretch"},
            2);
    refused(work, {"resize", work.clip, none, "--width", "-8"}, {"-8"});
    refused(work, {"resize", work.clip, none, "--width", "20000"}, {"20000"});
}

TEST_CASE("rate drops and repeats frames, or plays the same ones faster") {
    const Workplace work;
    const std::string out = work / "out.mp4";
    const auto at = [&](const std::string& fps, const Words& more = {}) {
        tool(Words{"rate", work.clip, out, "--fps", fps} + more);
        CHECK(reel::probe_video(out).fps == doctest::Approx(std::stod(fps)));
        return drawn_frames(out);
    };
    CHECK(at("4") == std::vector{0, 2, 4});
    CHECK(at("16") == std::vector{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5});
    CHECK(at("12") == std::vector{0, 0, 1, 2, 2, 3, 4, 4, 5});
    CHECK(at("24", {"--retime"}) == std::vector{0, 1, 2, 3, 4, 5});
    const std::string gif = work / "fast.gif";
    const Ended fast = tool({"rate", work.clip, gif, "--fps", "64"}); // 48 pictures; a GIF cannot show as many
    CHECK(fast.out == gif + ": 24 frames, 32 per second (of 48: a GIF has at most 50)\n");
    CHECK(reel::probe_video(gif).frames == 24);
    refused(work, {"rate", work.clip, work / "none.mp4", "--fps", "0"}, {"--fps"}, 2);
    refused(work, {"rate", work.clip, work / "none.mp4"}, {"--fps", "required"}, 2);
}

TEST_CASE("frames are the clip's, to the byte") {
    const Workplace work;
    const reel::Frames clip = reel::read_video(work.clip);
    const auto names = [&](const Words& words) {
        const Path folder = work / "frames";
        std::filesystem::remove_all(folder);
        tool(Words{"frames", work.clip, folder} + words);
        Words found;
        for (const auto& [name, bytes] : files_in(folder)) {
            const reel::Frames picture = reel::read_png(folder / name);
            const int index = std::stoi(name.substr(6, 5));
            const auto expected = clip.frame(index);
            CHECK(std::equal(picture.rgb.begin(), picture.rgb.end(), expected.begin(), expected.end()));
            found.push_back(name);
        }
        return found;
    };
    CHECK(names({}).size() == 6);
    CHECK(names({"--every", "2"}) == Words{"frame-00000.png", "frame-00002.png", "frame-00004.png"});
    CHECK(names({"--list", "5,1,1"}) == Words{"frame-00001.png", "frame-00005.png"});
    const Ended ended = run({tools, "frames", work.clip, work / "some", "--list", "1,6"});
    CHECK(ended.status == 1);
    CHECK(ended.err.find("there is no frame 6") != std::string::npos);
    refused(work, {"frames", work.clip, work.clip}, {work.clip, "it is the clip that is read"});
    refused(work, {"frames", work.clip, work / "f", "--every", "0"}, {"--every"}, 2);
}

TEST_CASE("a folder of pictures has those of the last run and no others, and nothing else is touched") {
    const Workplace work;
    const Path folder = work / "pictures";
    const auto pictures = [&] {
        Words names;
        for (const auto& [name, bytes] : files_in(folder)) {
            names.push_back(name);
        }
        return names;
    };
    tool({"convert", work.clip, folder, "--frames"});
    CHECK(pictures().size() == 6);
    tool({"trim", work.clip, work / "pictures/", "--end", "2", "--frames"});
    CHECK(pictures() == Words{"frame-00000.png", "frame-00001.png"});
    tool({"frames", work.clip, folder, "--list", "1,5"});
    CHECK(pictures() == Words{"frame-00001.png", "frame-00005.png"});
    tool({"frames", work.clip, folder, "--list", "3"});
    CHECK(pictures() == Words{"frame-00003.png"});
    const auto whole = files_in(folder);
    refused(work, {"frames", folder, folder, "--every", "2"}, {folder, "it is the clip that is read"});
    refused(work, {"trim", folder, folder, "--end", "1", "--fps", "2", "--frames"}, {"it is the clip that is read"});
    refused(work, {"frames", work.clip, folder, "--list", "6"}, {"there is no frame 6"}); // what was there stays
    CHECK(files_in(folder) == whole);

    // A link to the folder stays one.
    std::filesystem::create_directory_symlink(folder, work / "link");
    tool({"frames", work.clip, work / "link", "--list", "2"});
    CHECK(std::filesystem::is_symlink(work / "link"));
    CHECK(pictures() == Words{"frame-00002.png"});

    // Whatever reel does not write is refused before the work, and stays.
    for (const std::string name : {"notes.txt", "frame-1.png", "frame-00001.jpg", "my frame-00001.png", "00001.png"}) {
        put_text(folder / name, "mine");
        const auto mine = files_in(folder);
        for (const Words& words : {Words{"frames", work.clip, folder}, {"convert", work.clip, folder, "--frames"}}) {
            refused(work, words, {folder, "there already", name});
            CHECK(files_in(folder) == mine);
        }
        std::filesystem::remove(folder / name);
    }
    std::filesystem::create_directory(folder / "frame-00007.png");
    refused(work, {"frames", work.clip, folder}, {"frame-00007.png"});
    std::filesystem::remove(folder / "frame-00007.png");
    const Ended here = run(Words{"sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh", folder} +
                           Words{tools, "frames", work.clip, "."});
    CHECK(here.status == 1);
    CHECK(here.err.find("it is the current folder") != std::string::npos);
    CHECK(pictures() == Words{"frame-00002.png"});
}

TEST_CASE("count tells what is in a clip") {
    const Workplace work;
    CHECK(tool({"count", work.clip}).out ==
          work.clip + ": 6 frames, 64x48, 8 per second, 0.75 s, h264 in mov,mp4,m4a,3gp,3g2,mj2\n");
    tool({"convert", work.clip, work / "clip.gif"});
    const auto json = nlohmann::json::parse(tool({"count", "--json", work.clip, work / "clip.gif"}).out);
    REQUIRE(json.size() == 2);
    CHECK(json[0]["frames"] == 6);
    CHECK(json[0]["seconds"] == 0.75);
    CHECK(json[1]["codec"] == "gif");
    tool({"frames", work.clip, work / "pictures"}); // which have a rate where it is given, as to every other command
    CHECK(tool({"count", work / "pictures"}).out.find("unknown rate") != std::string::npos);
    CHECK(tool({"count", work / "pictures", "--fps", "12"}).out.find("12 per second, 0.5 s") != std::string::npos);
}

TEST_CASE("a grid shows the chosen frames above their captions") {
    const Workplace work;
    const std::string gif = work / "clip.gif";
    const std::string out = work / "grid.png";
    tool({"convert", work.clip, gif});
    tool({"grid", work.clip, gif, "--output", out, "--frames", "0,5,2", "--gap", "2", "--caption", "the clip",
          "--caption", "the same, but its caption is too long for a single line of this size"});
    const reel::Frames sheet = reel::read_png(out);
    CHECK(sheet.width == 3 * 64 + 2 * 2);
    const int caption = 2 + 3 * 11; // 196 pixels are 32 letters: three lines
    CHECK(sheet.height == 2 * (48 + caption) + 2);
    for (int row = 0; row < 2; ++row) {
        const reel::Frames clip = reel::read_video(row == 0 ? work.clip : gif);
        int column = 0;
        for (const int index : {0, 5, 2}) {
            for (int y = 0; y < 48; ++y) {
                const std::uint8_t* drawn = sheet.pixel(0, row * (48 + caption + 2) + y, column * 66);
                CHECK(std::equal(drawn, drawn + 3 * 64, clip.pixel(index, y, 0)));
            }
            ++column;
        }
        std::vector<int> ink(3); // in each of the caption's lines
        for (int y = 0; y < 33; ++y) {
            for (int x = 0; x < sheet.width; ++x) {
                ink[static_cast<std::size_t>(y / 11)] +=
                    sheet.pixel(0, row * (48 + caption + 2) + 50 + y, x)[0] == 0 ? 1 : 0;
            }
        }
        CHECK(ink[0] > 40);
        CHECK((ink[1] > 40) == (row == 1));
        CHECK((ink[2] > 40) == (row == 1));
    }
    tool({"grid", work.clip, "--output", out, "--columns", "3", "--cell_width", "32", "--numbers", "--dark"});
    const reel::Frames small = reel::read_png(out);
    CHECK(small.width == 3 * 32 + 2 * 4);
    CHECK(small.height == 24);
    CHECK(small.pixel(0, 0, 0)[0] == 0);   // the number's paper
    CHECK(small.pixel(0, 12, 33)[0] == 0); // the gap
    const std::string none = work / "none.png";
    refused(work, {"grid", work.clip, "--output", none, "--frames", "6"}, {"there is no frame 6"});
    refused(work, {"grid", work.clip, "--output", work / "none.jpg"}, {".png"});
    refused(work, {"grid", work.clip, gif, "--output", none, "--caption", "one"}, {"1 captions for 2 clips"}, 2);
    refused(work, {"grid", work.clip, "--output", none, "--columns", "300"}, {"larger than 16384"});
}

TEST_CASE("clips beside each other, in turns and with a wipe") {
    const Workplace work;
    const std::string four = work / "four.mp4";
    const std::string out = work / "out.gif";
    tool({"trim", work.clip, four, "--start", "2"});
    const auto size_of = [&](const Words& words) {
        tool(Words{"side", work.clip, four, "--output", out} + words);
        const reel::VideoInfo info = reel::probe_video(out);
        return std::vector{info.frames, info.width, info.height};
    };
    CHECK(size_of({}) == std::vector{4, 132, 48});
    const reel::Frames row = reel::read_video(out);
    for (int i = 0; i < 4; ++i) {
        reel::Frames left = reel::make_frames(1, 48, 64);
        reel::Frames right = left;
        for (int y = 0; y < 48; ++y) {
            std::copy_n(row.pixel(i, y, 0), left.row_bytes(), left.pixel(0, y, 0));
            std::copy_n(row.pixel(i, y, 68), left.row_bytes(), right.pixel(0, y, 0));
        }
        CHECK(drawn_frame(left, 0) == i);
        CHECK(drawn_frame(right, 0) == i + 2);
    }
    CHECK(size_of({"--hold", "--gap", "0"}) == std::vector{6, 128, 48});
    CHECK(size_of({"--layout", "column"}) == std::vector{4, 64, 100});
    CHECK(size_of({"--layout", "turns"}) == std::vector{10, 64, 48});
    CHECK(drawn_frames(out) == std::vector{0, 1, 2, 3, 4, 5, 2, 3, 4, 5});
    CHECK(size_of({"--layout", "turns", "--caption", "before", "--caption", "two lines after"}) ==
          std::vector{10, 64, 48 + 4 + 22});
    CHECK(size_of({"--layout", "wipe", "--period", "0.5", "--width", "32"}) == std::vector{4, 32, 24});
    tool({"side", work.clip, work.clip, "--layout", "wipe", "--output", out, "--period", "1"});
    CHECK(reel::read_video(out).count == 6);
    refused(work, {"side", work.clip, "--output", work / "none.gif"}, {"two clips"}, 2);
    refused(work, {"side", work.clip, four, four, "--layout", "wipe", "--output", work / "none.gif"}, {"two clips"}, 2);
    refused(work, {"side", work.clip, four, "--layout", "pile", "--output", work / "none.gif"}, {"pile"}, 2);
}

TEST_CASE("files that are no clips: one line, and nothing is written") {
    const Workplace work;
    const std::string bad = work / "bad.mp4";
    const std::string out = work / "out.mp4";
    std::filesystem::create_directory(work / "folder.mp4");
    put_text(work / "empty.mp4", "");
    put_text(work / "text.mp4", "this is no video\n");
    std::filesystem::copy_file(work.clip, bad);
    std::filesystem::resize_file(bad, std::filesystem::file_size(bad) / 2);
    for (const std::string name : {"empty.mp4", "text.mp4", "bad.mp4", "folder.mp4", "missing.mp4"}) {
        INFO(name);
        const std::string input = work / name;
        refused(work, {"trim", input, out}, {input});
        refused(work, {"resize", input, out, "--width", "8"}, {input});
        refused(work, {"rate", input, out, "--fps", "4"}, {input});
        refused(work, {"convert", input, out}, {input});
        refused(work, {"count", input}, {input});
        refused(work, {"frames", input, work / "frames"}, {input});
        refused(work, {"grid", work.clip, input, "--output", work / "out.png"}, {input});
        refused(work, {"side", work.clip, input, "--output", out}, {input});
    }
    // Whole by its index, but the pictures' last bytes are noise: found while decoding.
    std::string bytes = read_text(work.clip);
    std::fill(bytes.end() - static_cast<std::ptrdiff_t>(bytes.size() / 10), bytes.end(), '\xff');
    put_text(work / "torn.mp4", bytes);
    refused(work, {"convert", work / "torn.mp4", out}, {"torn.mp4", "damaged after frame"});
    refused(work, {"frames", work / "torn.mp4", work / "frames"}, {"torn.mp4", "damaged after frame"});
    refused(work, {"convert", work.clip, work / "out.webm"}, {"out.webm", ".mp4, .mov, .mkv, .avi or .gif"});
    refused(work, {"convert", work.clip, work / "no/out.mp4"}, {"does not exist"});
    refused(work, {"convert", work.clip, work / "folder.mp4"}, {"folder.mp4"});
    const std::string whole = read_text(work.clip);
    tool({"convert", work.clip, work.clip}); // over itself: the old file stays until the new one is whole
    CHECK(drawn_frames(work.clip) == std::vector{0, 1, 2, 3, 4, 5});
    CHECK(read_text(work.clip) != whole);
    CHECK(temporaries_in(work.folder.path()).empty());
}

TEST_CASE("the command line of video_tools") {
    const Workplace work;
    refused(work, {}, {"a command is required", "trim"}, 2);
    refused(work, {"trimm"}, {"trimm", "did you mean \"trim\"?"}, 2);
    refused(work, {"trim", work.clip}, {"OUTPUT", "required"}, 2);
    refused(work, {"trim", work.clip, work / "o.mp4", "--strat", "1"}, {"--strat", "did you mean \"--start\"?"}, 2);
    refused(work, {"trim", work.clip, work / "o.mp4", "more"}, {"more"}, 2);
    refused(work, {"convert", work.clip, work / "o.mp4", "--crf", "99"}, {"--crf"}, 2);
    refused(work, {"convert", work.clip, work / "o.mp4", "--preset", "warp"}, {"warp"});
    for (const std::string command : {"trim", "resize", "rate", "frames", "count", "convert", "grid", "side"}) {
        CHECK(tool({command, "--help"}).out.find("INPUT") != std::string::npos);
        CHECK(tool({"--help"}).out.find(command) != std::string::npos);
    }
}
