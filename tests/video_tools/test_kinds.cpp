// video_tools on a clip of every kind that people have, against the table that PyAV and ffmpeg made (make_kinds.py).

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/exif_orientation.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/lost_sound.hpp>
#include <reel/io/video/sound_copy.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/video/video_sink.hpp>
#include <reel/io/video/video_source.hpp>

#include "support/programs.hpp"

namespace {

using namespace reel_test;

const std::string tools = REEL_VIDEO_TOOLS;
const Path kinds = std::filesystem::absolute("video_tools/kinds");

const nlohmann::json& table() {
    static const nlohmann::json all = reel::read_json(kinds / "kinds.json").at("clips");
    return all;
}

/// Means of 4x3 cells, as the table has them.
std::vector<std::vector<double>> small(const reel::Frames& frame) {
    std::vector<std::vector<double>> cells;
    const auto edge = [](int length, int parts, int i) { // as numpy.array_split
        return i * (length / parts) + std::min(i, length % parts);
    };
    for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 4; ++c) {
            std::vector<double> sum(3);
            int count = 0;
            for (int y = edge(frame.height, 3, r); y < edge(frame.height, 3, r + 1); ++y) {
                for (int x = edge(frame.width, 4, c); x < edge(frame.width, 4, c + 1); ++x, ++count) {
                    for (int channel = 0; channel < 3; ++channel) {
                        sum[static_cast<std::size_t>(channel)] += frame.pixel(0, y, x)[channel];
                    }
                }
            }
            for (double& value : sum) {
                value /= count;
            }
            cells.push_back(sum);
        }
    }
    return cells;
}

double largest_difference_of(const std::vector<std::vector<double>>& found, const nlohmann::json& expected) {
    double largest = 0;
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        for (std::size_t channel = 0; channel < 3; ++channel) {
            largest = std::max(largest, std::abs(found[i][channel] - expected[i][channel].get<double>()));
        }
    }
    return largest;
}

/// The packets of a file's sound: when they are heard, and their bytes.
std::vector<std::pair<double, std::string>> sound_of(const Path& path) {
    reel::detail::SoundCopy sound(path);
    std::vector<std::pair<double, std::string>> packets;
    const auto packet = reel::detail::owned(av_packet_alloc());
    while (sound.next(*packet)) {
        packets.emplace_back(sound.start_of(*packet), std::string(reinterpret_cast<const char*>(packet->data),
                                                                  static_cast<std::size_t>(packet->size)));
    }
    return packets;
}

reel::Frames clip_of(int count) {
    return reel::make_frames(count, 48, 64);
}

/// What the table says that a clip lasts; 0 where it does not know.
double seconds_of(const nlohmann::json& row) {
    const double last = row.at("last_duration");
    return row.at("times").empty() || last <= 0 ? 0 : row.at("times").back().get<double>() + last;
}

} // namespace

TEST_CASE("every kind of clip: frames, their order, times, shape and pixels are those of PyAV") {
    CHECK(table().size() >= 80);
    for (const auto& row : table()) {
        const std::string name = row.at("file");
        CAPTURE(name);
        reel::VideoSource source(kinds / name);
        const auto& times = row.at("times");
        const auto& pictures = row.at("pictures");
        std::size_t index = 0;
        for (reel::Frames frame; source.next(frame); ++index) {
            CAPTURE(index);
            REQUIRE(index < pictures.size());
            CHECK(frame.width == row.at("width"));
            CHECK(frame.height == row.at("height"));
            const bool mapped = name.starts_with("wide_2020") || name == "wide_p3.mov";
            if (!row.contains("hdr") && (!mapped || avfilter_get_by_name("zscale") != nullptr)) {
                CHECK(largest_difference_of(small(frame), pictures[index]) < 4);
            }
            if (!times.empty()) { // of a raw stream, none; a rounded time may be that of the exact rate
                CHECK(std::abs(source.time().start - times[index].get<double>()) < 0.0011);
            }
        }
        CHECK(index == row.at("frames"));
        const auto [wide, high] = source.pixel_aspect();
        CHECK(wide == row.at("aspect")[0]);
        CHECK(high == row.at("aspect")[1]);
        if (const double seconds = seconds_of(row); seconds > 0) {
            CHECK(std::abs(source.time().end() - seconds) < 0.0021 + 0.03 * seconds);
            CHECK(std::abs(reel::probe_video(kinds / name).seconds - seconds) < 0.0021 + 0.03 * seconds);
        }
        // As ffmpeg's filter fps has it, to a frame.
        const TemporaryFolder folder;
        const Path out = folder / "ten.mp4";
        run_well({tools, "rate", kinds / name, out, "--fps", "10"});
        if (row.at("last_duration") > 0) { // else ffmpeg, too, guesses how long the last frame is shown
            CHECK(std::abs(reel::probe_video(out).frames - std::max(row.at("at_ten_a_second").get<int>(), 1)) <= 1);
        }
    }
}

TEST_CASE("rates are by time: what a container states counts where its pictures keep to it") {
    for (const auto& [name, fps] : std::vector<std::pair<std::string, double>>{{"browser.webm", 16},
                                                                               {"gap.webm", 8 / 1.375},
                                                                               {"two.gif", 100.0 / 12},
                                                                               {"apng_uneven.apng", 3 / 0.38},
                                                                               {"delays_uneven.gif", 6 / 1.9},
                                                                               {"delay_0.gif", 10},
                                                                               {"delay_1.gif", 10},
                                                                               {"delay_7.gif", 100.0 / 7},
                                                                               {"vfr.mp4", 5},
                                                                               {"vfr.mkv", 5},
                                                                               {"last_long.mp4", 10},
                                                                               {"rate_29_97.mkv", 30000.0 / 1001},
                                                                               {"rate_29_97.webm", 30000.0 / 1001},
                                                                               {"rate_60.mkv", 60},
                                                                               {"rate_25.mpg", 25},
                                                                               {"rate_25.ts", 25},
                                                                               {"rate_30.flv", 30},
                                                                               {"rate_30.h264", 30},
                                                                               {"timescale_600.mov", 30000.0 / 1001},
                                                                               {"rate_240.mp4", 240},
                                                                               {"late.mkv", 10},
                                                                               {"one.gif", 2}}) {
        CAPTURE(name);
        const double tolerance = name == "timescale_600.mov" ? 0.002 : 1e-4;
        CHECK(reel::probe_video(kinds / name).fps == doctest::Approx(fps).epsilon(tolerance));
        CHECK(reel::read_video(kinds / name).fps == doctest::Approx(fps).epsilon(tolerance));
        if (name != "one.gif") {
            CHECK(reel::VideoSource(kinds / name).scan().fps == doctest::Approx(fps).epsilon(0.01));
        }
    }
    // Of every second frame, half as many; of frames with gaps, by their own times.
    CHECK(reel::read_video(kinds / "rate_60.mkv", {.stride = 2}).fps == doctest::Approx(30));
    CHECK(reel::read_video(kinds / "vfr.mp4", {.stride = 2}).fps == doctest::Approx(2 / 1.0));
    CHECK(reel::read_video(kinds / "vfr.mp4", {.start = 1, .max_frames = 3}).fps < 8);
}

TEST_CASE("times survive conversion") {
    for (const std::string name : {"vfr.mkv", "vfr.webm", "delays_uneven.gif", "last_long.mp4", "last_long_tag.mkv",
                                   "gap.webm", "browser.webm", "late.mkv", "apng_uneven.apng", "rate_24000_1001.mp4"}) {
        reel::VideoSource source(kinds / name);
        std::vector<reel::PictureTime> times;
        while (source.skip()) {
            times.push_back(source.time());
        }
        for (const char* kind : {"mp4", "mov", "mkv", "gif", "avi"}) {
            CAPTURE(name);
            CAPTURE(kind);
            const TemporaryFolder folder;
            const Path out = folder / ("out." + std::string(kind));
            run_well({tools, "convert", kinds / name, out});
            reel::VideoSource back(out);
            for (std::size_t i = 0; back.skip(); ++i) {
                if (std::string(kind) != "avi") { // which has one rate
                    CAPTURE(i);
                    REQUIRE(i < times.size());
                    CHECK(std::abs(back.time().start - times[i].start) < (std::string(kind) == "gif"   ? 0.0051
                                                                          : std::string(kind) == "mkv" ? 0.0006
                                                                                                       : 0.0002));
                }
            }
            const double slack = std::string(kind) == "avi"   ? 0.2
                                 : std::string(kind) == "gif" ? 0.011
                                 : std::string(kind) == "mkv" ? 0.0011
                                                              : 0.0002;
            CHECK(std::abs(back.time().end() - times.back().end()) < slack);
            CHECK((std::string(kind) == "avi" || back.position() == static_cast<std::int64_t>(times.size())));
        }
    }
}

TEST_CASE("clips of frames that were read are shown at the frames' times") {
    const TemporaryFolder folder;
    const auto written = [&](const std::string& kind, const reel::Frames& clip, const reel::ClipTimes& times) {
        const Path out = folder / ("out." + kind);
        if (kind == "gif") {
            reel::write_gif(out, clip, times);
        } else {
            reel::write_mp4(out, clip, times);
        }
        reel::VideoSource back(out);
        std::vector<reel::PictureTime> shown;
        while (back.skip()) {
            shown.push_back(back.time());
        }
        REQUIRE(shown.size() == static_cast<std::size_t>(clip.count));
        return shown;
    };
    for (const std::string name : {"vfr.mkv", "vfr.mp4", "vfr.webm", "vfr.ts", "vfr_sound.mp4", "delays_uneven.gif",
                                   "last_long.mp4", "gap.webm", "apng_uneven.apng"}) {
        const auto row = *std::ranges::find_if(table(), [&](const auto& r) { return r.at("file") == name; });
        reel::VideoTaken taken;
        const reel::Frames clip = reel::read_video(kinds / name, {}, {}, &taken);
        REQUIRE(taken.times.each.size() == static_cast<std::size_t>(clip.count));
        for (const std::string kind : {"mp4", "gif"}) {
            CAPTURE(name);
            CAPTURE(kind);
            const double slack = kind == "gif" ? 0.0061 : 0.0012;
            const auto shown = written(kind, clip, taken.times);
            for (std::size_t i = 0; i < shown.size(); ++i) {
                CAPTURE(i);
                CHECK(std::abs(shown[i].start - row.at("times")[i].get<double>()) < slack);
            }
            if (const double seconds = seconds_of(row); seconds > 0) {
                CHECK(std::abs(shown.back().end() - seconds) < slack + 0.03 * seconds);
            }
        }
    }
    // Of a part, the last until the next one of the file, which is not taken: 0.04, 0.4, 0.433 s, until 1 s.
    reel::VideoTaken taken;
    const reel::Frames part = reel::read_video(kinds / "vfr.mkv", {.start = 1, .max_frames = 3}, {}, &taken);
    const auto shown = written("mp4", part, taken.times);
    CHECK(shown[1].start == doctest::Approx(0.36).epsilon(0.003));
    CHECK(shown[2].start == doctest::Approx(0.393).epsilon(0.003));
    CHECK(shown[2].end() == doctest::Approx(0.96).epsilon(0.002));
    CHECK_THROWS_AS(reel::write_mp4(folder / "out.mp4", clip_of(2), taken.times), reel::Error);
    CHECK(taken.times.of(2).each.empty());
    // Evenly: a steady rate, a rate that is given, and frames that are no neighbours.
    for (const auto& [name, chosen] :
         std::vector<std::pair<std::string, reel::VideoSelection>>{{"rate_24000_1001.mp4", {}},
                                                                   {"rate_29_97.mkv", {}},
                                                                   {"rate_25.ts", {}},
                                                                   {"rate_30.flv", {.start = 1, .max_frames = 3}},
                                                                   {"delay_7.gif", {}},
                                                                   {"late.mkv", {.max_frames = 4}},
                                                                   {"vfr.mkv", {.fps = 12}},
                                                                   {"vfr.mkv", {.stride = 2}}}) {
        CAPTURE(name);
        static_cast<void>(reel::read_video(kinds / name, chosen, {}, &taken));
        CHECK(taken.times.each.empty());
        CHECK(taken.times.fps > 0);
    }
}

TEST_CASE("trim and side go by time") {
    const TemporaryFolder folder;
    const Path out = folder / "out.mp4";
    const auto trimmed = [&](const std::string& start, const std::string& end) {
        run_well({tools, "trim", kinds / "vfr.mkv", out, "--start", start, "--end", end});
        const reel::VideoInfo info = reel::probe_video(out);
        return std::pair(info.frames, std::lround(info.seconds * 1000));
    };
    // Frames begin at 0, 0.04, 0.4, 0.433, 1 and 1.1 s; the last ends at 1.2.
    CHECK(trimmed("0.04s", "1s") == std::pair(3, 960L));
    CHECK(trimmed("0.41s", "1.2s") == std::pair(3, 767L));
    CHECK(trimmed("0s", "0.6s") == std::pair(4, 600L)); // the frame that is shown at the end is cut there
    CHECK(trimmed("1", "4") == std::pair(3, 960L));
    const Ended late = run({tools, "trim", kinds / "vfr.mkv", out, "--end", "1.3s"});
    CHECK(late.status == 1);
    CHECK(late.err.find("6 frames in 1.2 s; --end is 1.3s") != std::string::npos);

    // A clip of 10 a second beside one of 60: each shows what it shows at the time.
    run_well({tools, "side", kinds / "rate_60.mp4", kinds / "upright.mp4", "--output", out, "--gap", "0"});
    CHECK(reel::probe_video(out).fps == doctest::Approx(60));
    const reel::Frames slow = reel::read_video(kinds / "upright.mp4", {.max_frames = 1});
    const reel::Frames both = reel::read_video(out);
    REQUIRE(both.count == 6);
    for (int i = 0; i < both.count; ++i) { // a tenth of a second: the slow clip's first frame
        double sum = 0;
        for (int y = 0; y < 48; ++y) {
            for (int x = 0; x < 64; ++x) {
                sum += std::abs(int{both.pixel(i, y, 64 + x)[1]} - int{slow.pixel(0, y, x)[1]});
            }
        }
        CHECK(sum / (48 * 64) < 4);
    }
    run_well({tools, "side", kinds / "vfr.mkv", kinds / "rate_5.mp4", "--output", out});
    CHECK(reel::probe_video(out).seconds == doctest::Approx(1.2).epsilon(0.001));
}

TEST_CASE("pixels that are not square are kept, or made square where the output's are") {
    const TemporaryFolder folder;
    const auto made = [&](const std::string& command, const std::string& output, const Words& more = {}) {
        run_well(Words{tools, command, kinds / "wide_pixels.mp4", folder / output} + more);
        reel::VideoSource source(folder / output);
        CHECK(source.skip());
        const auto [wide, high] = source.pixel_aspect();
        return std::vector{source.file_width(), source.file_height(), wide, high};
    };
    for (const char* kind : {"a.mp4", "a.mov", "a.mkv", "a.avi"}) {
        CAPTURE(kind);
        CHECK(made("convert", kind) == std::vector{64, 48, 64, 45});
    }
    CHECK(made("convert", "a.gif") == std::vector{91, 48, 1, 1});
    CHECK(made("resize", "b.mp4", {"--width", "182"}) == std::vector{182, 96, 1, 1});
    CHECK(made("rate", "c.mp4", {"--fps", "5"}) == std::vector{64, 48, 64, 45});
    run_well({tools, "frames", kinds / "wide_pixels.mp4", folder / "frames", "--list", "0"});
    CHECK(reel::read_png(folder / "frames" / "frame-00000.png").width == 91);
    CHECK(run_well({tools, "count", kinds / "wide_turned.mp4"}).out.find("48x64, 45:64 pixels") != std::string::npos);
}

TEST_CASE("what is to be known of a clip is said: interlaced, HDR") {
    const TemporaryFolder folder;
    const Ended combs = run_well({tools, "convert", kinds / "interlaced.mpg", folder / "a.mp4"});
    CHECK(lines_of(combs.err).size() == 1);
    CHECK(combs.err.find("interlaced") != std::string::npos);
    CHECK(combs.err.find("bwdif") != std::string::npos);
    CHECK(run_well({tools, "convert", kinds / "rate_25.mpg", folder / "a.mp4"}).err.empty());
    // By every command that shows pictures, once for each clip.
    const Path one = kinds / "interlaced.mpg";
    const Path other = kinds / "rate_25.mpg";
    const Path out = folder / "b.mp4";
    for (const Words& words : {Words{"trim", one, out},
                               {"resize", one, out, "--width", "32"},
                               {"rate", one, out, "--fps", "5"},
                               {"convert", one, folder / "pictures", "--frames"},
                               {"frames", one, folder / "frames"},
                               {"grid", one, other, "--output", folder / "a.png"},
                               {"side", other, one, "--output", out},
                               {"side", other, one, "--output", out, "--layout", "turns"},
                               {"side", one, other, "--output", out, "--layout", "wipe"}}) {
        CAPTURE(words.front());
        CAPTURE(words.back());
        CHECK(run_well(Words{tools} + words).err == combs.err);
    }
    if (avfilter_get_by_name("zscale") == nullptr) {
        MESSAGE("skipped: HDR (this FFmpeg has no zscale)");
        return;
    }
    for (const char* name : {"hdr_pq.mp4", "hdr_hlg.mp4"}) {
        CAPTURE(name);
        const Ended hdr = run_well({tools, "convert", kinds / name, folder / "a.mp4"});
        CHECK(hdr.err.find("HDR") != std::string::npos);
        // The drawn square has nearly the signal's whole range and is white; the background, at 40 to 140 of 255, is
        // darker in light than in signal (PQ), not pale.
        const reel::Frames clip = reel::read_video(kinds / name);
        CHECK(clip.pixel(0, 4, 4)[1] > 200);
        CHECK(clip.pixel(0, 40, 4)[0] < 45);
    }
}

TEST_CASE("colours of BT.2020 and P3 are mapped, and it is said") {
    const bool maps = avfilter_get_by_name("zscale") != nullptr;
    const TemporaryFolder folder;
    for (const auto& [name, primaries] :
         {std::pair{"wide_2020.mp4", "BT.2020"}, {"wide_2020_untold.mkv", "BT.2020"}, {"wide_p3.mov", "P3"}}) {
        CAPTURE(name);
        reel::VideoTaken taken;
        const reel::Frames clip = reel::read_video(kinds / name, {}, {}, &taken);
        REQUIRE(taken.notes.size() == 1);
        CHECK(taken.notes[0].find("the clip's colours are " + std::string(primaries)) != std::string::npos);
        CHECK(taken.notes[0].find(maps ? "are mapped" : "cannot map") != std::string::npos);
        const Ended converted = run_well({tools, "convert", kinds / name, folder / "a.mp4"});
        CHECK(converted.err.find(taken.notes[0]) != std::string::npos);
        if (maps) { // what was made of it is a screen's, and stays so
            CHECK(largest_difference_of(small(reel::read_video(folder / "a.mp4", {.max_frames = 1})),
                                        nlohmann::json(small(clip))) < 4);
            reel::VideoTaken again;
            static_cast<void>(reel::read_video(folder / "a.mp4", {}, {}, &again));
            CHECK(again.notes.empty());
        }
    }
    CHECK(reel::VideoSource(kinds / "ten_bits.mp4").notes().empty());
}

TEST_CASE("pictures are a clip, in the order of their numbers, and a clip becomes pictures") {
    const TemporaryFolder folder;
    const Path pictures = folder / "pictures";
    run_well({tools, "convert", kinds / "rate_25.mpg", pictures, "--frames"});
    const reel::Frames clip = reel::read_video(kinds / "rate_25.mpg");
    const auto same = [&](const reel::Frames& found) {
        return found.count == clip.count && std::equal(found.rgb.begin(), found.rgb.end(), clip.rgb.begin());
    };
    CHECK(same(reel::read_video(pictures)));
    CHECK(same(reel::read_video(pictures / "frame-%05d.png")));
    CHECK(reel::read_video(pictures).fps == 0);
    CHECK(reel::read_video(pictures, {.fps = 12}).fps == 12);
    for (const auto& [name, bytes] : files_in(pictures)) { // 10 comes after 9 without zeros, too
        const int number = std::stoi(name.substr(6, 5)) + 7;
        std::filesystem::rename(pictures / name, pictures / ("p" + std::to_string(number) + ".png"));
    }
    put_text(pictures / "notes.txt", "no picture");
    CHECK(same(reel::read_video(pictures)));
    CHECK(same(reel::read_video(pictures / "p%d.png")));
    // Lossless clips give the pixels back.
    for (const char* kind : {"a.mp4", "a.mov", "a.mkv"}) {
        CAPTURE(kind);
        run_well({tools, "convert", pictures, folder / kind, "--fps", "12", "--lossless"});
        CHECK(same(reel::read_video(folder / kind)));
        CHECK(reel::probe_video(folder / kind).fps == doctest::Approx(12).epsilon(1e-3));
    }
    run_well({tools, "convert", kinds / "odd.mkv", folder / "odd.mp4", "--lossless"});
    CHECK(reel::read_video(folder / "odd.mp4") == reel::read_video(kinds / "odd.mkv"));
    run_well({tools, "rate", pictures, folder / "b.mp4", "--source_fps", "12", "--fps", "6"});
    CHECK(reel::probe_video(folder / "b.mp4").frames == 3);
    CHECK(run_well({tools, "count", pictures}).out.find("6 frames, 64x48, unknown rate") != std::string::npos);

    const auto refused = [&](const Words& words, const std::string& text) {
        const Ended ended = run(Words{tools} + words);
        CHECK(ended.status == 1);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(ended.err.find(text) != std::string::npos);
    };
    refused({"convert", pictures, folder / "c.mp4"}, "--source_fps");
    refused({"convert", pictures / "q%d.png", folder / "c.mp4"}, "no file has a name of this pattern");
    refused({"convert", kinds / "vfr.mp4", folder / "c.gif", "--lossless"}, "lossless clips are mp4, mov or mkv");
    refused({"convert", kinds / "vfr.mp4", pictures, "--frames"}, "there already");
    reel::write_png(pictures / "p9.png", reel::make_frames(1, 8, 8));
    refused({"convert", pictures, folder / "c.mp4", "--fps", "8"}, "it is 8x8, the first picture of the clip is 64x48");
    refused({"count", pictures / "p9.png"}, "it is a single picture; expected a clip, or a folder of pictures");
    put_text(folder / "a.webp", std::string("RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0", 24) + std::string(64, '\0'));
    refused({"count", folder / "a.webp"}, "it is an animated WebP");
    std::filesystem::create_directory(folder / "empty");
    refused({"count", folder / "empty"}, "a folder without pictures");
    // 16 bits, grey and JPEG, where ffmpeg is there to make them.
    if (run({"sh", "-c", "command -v ffmpeg"}).status == 0) {
        for (const auto& [format, name] : {std::pair{"rgb48be", "d%02d.png"},
                                           {"gray", "g%02d.png"},
                                           {"gray16be", "h%02d.png"},
                                           {"yuvj420p", "j%02d.jpg"}}) {
            CAPTURE(format);
            const Path made = folder / format;
            std::filesystem::create_directory(made);
            run_well(
                {"ffmpeg", "-nostdin", "-v", "error", "-i", kinds / "rate_25.mpg", "-pix_fmt", format, made / name});
            const reel::Frames back = reel::read_video(made);
            REQUIRE(back.count == 6);
            double sum = 0; // of green: grey is mostly that
            for (std::size_t i = 1; i < back.rgb.size(); i += 3) {
                sum += std::abs(int{back.rgb[i]} - int{clip.rgb[i]});
            }
            CHECK(sum / (static_cast<double>(back.rgb.size()) / 3) < 13);
        }
    }
}

TEST_CASE("transport streams joined by cat are read over the joint, with their sound, and it is said") {
    const TemporaryFolder folder;
    int found = 0;
    for (const auto& row : table()) {
        if (!row.contains("parts")) {
            continue;
        }
        ++found;
        const std::string name = row.at("file");
        CAPTURE(name);
        const std::string note =
            "the clip is " + std::to_string(row.at("parts").get<int>()) + " recordings joined; time goes on";
        CHECK(reel::probe_video(kinds / name).fps == doctest::Approx(10).epsilon(1e-3));
        CHECK(reel::VideoSource(kinds / name).scan().count == row.at("frames"));
        reel::VideoTaken taken;
        CHECK(reel::read_video(kinds / name, {}, {}, &taken).count == row.at("frames"));
        REQUIRE(taken.notes.size() == 1);
        CHECK(taken.notes[0].find(note) != std::string::npos);
        for (const Words& words : {Words{"convert", kinds / name, folder / "a.mp4"}, Words{"count", kinds / name},
                                   Words{"resize", kinds / name, folder / "b.mp4", "--width", "32"},
                                   Words{"rate", kinds / name, folder / "c.mp4", "--fps", "5"},
                                   Words{"trim", kinds / name, folder / "d.mp4", "--start", "0.3s"}}) {
            const Ended ended = run_well(Words{tools} + words);
            CHECK(lines_of(ended.err).size() == 1);
            CHECK(ended.err.find(note) != std::string::npos);
        }
        if (!row.contains("sound") && name != "joined_sound.ts") {
            continue;
        }
        // The sound goes on, too, in step with the pictures: nothing is missing and nothing is late.
        const auto sound = sound_of(folder / "a.mp4");
        CHECK(sound.size() > 75); // of 3 * 26 packets
        for (std::size_t i = 1; i < sound.size(); ++i) {
            CHECK(sound[i].first > sound[i - 1].first);
            CHECK(sound[i].first < sound[i - 1].first + 0.07);
        }
        CHECK(sound.back().first == doctest::Approx(1.8).epsilon(0.03));
    }
    CHECK(found == 7);
    // Where packets are lost, it is no joint. Pictures begin in packets of stream 256 with a mark; small ones are one
    // packet each.
    const std::string whole = read_text(kinds / "joined_back.ts");
    std::vector<std::size_t> begins;
    for (std::size_t at = 0; at < whole.size(); at += 188) {
        if (whole[at + 1] == '\x41' && whole[at + 2] == '\0') {
            begins.push_back(at);
        }
    }
    REQUIRE(begins.size() == 12);
    for (const std::size_t lost : {2, 3, 4, 8, 9, 10}) {
        CAPTURE(lost);
        put_text(folder / "lost.ts", whole.substr(0, begins[lost]) + whole.substr(begins[lost] + 188));
        const Ended ended = run({tools, "count", folder / "lost.ts"});
        CHECK(ended.status == 1);
        CHECK(ended.err.find("damaged after frame") != std::string::npos);
    }
    // Nor is a picture that stays for long.
    CHECK(reel::VideoSource(kinds / "vfr.ts").scan().joints == 0);
}

TEST_CASE("pictures are turned as their Exif orientation says, each as its own does") {
    const nlohmann::json rows = reel::read_json(kinds / "kinds.json").at("folders");
    REQUIRE(rows.size() == 2);
    for (const auto& row : rows) {
        const std::string name = row.at("folder");
        CAPTURE(name);
        const reel::Frames clip = reel::read_video(kinds / name);
        CHECK(clip.width == row.at("width"));
        CHECK(clip.height == row.at("height"));
        REQUIRE(static_cast<std::size_t>(clip.count) == row.at("pictures").size());
        reel::VideoSource source(kinds / name);
        for (int i = 0; i < clip.count; ++i) {
            CAPTURE(i);
            reel::Frames frame;
            REQUIRE(source.next(frame));
            CHECK(source.file_width() == row.at("width"));
            CHECK(largest_difference_of(small(frame), row.at("pictures")[static_cast<std::size_t>(i)]) < 4);
            CHECK(std::ranges::equal(frame.rgb, clip.frame(i)));
        }
        CHECK(reel::probe_video(kinds / name).width == row.at("width"));
    }
    CHECK(reel::read_video(kinds / "exif_jpg" / "%d.jpg", {.start = 5, .max_frames = 1}).rgb ==
          reel::read_video(kinds / "exif_jpg", {.start = 5, .max_frames = 1}).rgb);
    // As they are shown, pictures of a clip are of one size.
    const TemporaryFolder folder;
    std::string lying = read_text(kinds / "exif_jpg" / "3.jpg"); // 64x48, and now to be turned by a quarter
    const std::size_t tag = lying.find(std::string("\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03", 10));
    REQUIRE(tag != std::string::npos);
    lying[tag + 9] = 6;
    std::filesystem::copy_file(kinds / "exif_jpg" / "1.jpg", folder / "1.jpg");
    put_text(folder / "2.jpg", lying);
    const Ended mixed = run({tools, "count", folder / ""});
    CHECK(mixed.status == 1);
    CHECK(lines_of(mixed.err).size() == 1);
    CHECK(mixed.err.find("2.jpg: it is 48x64 (turned, as its Exif orientation says), the first picture of the clip is "
                         "64x48") != std::string::npos);
    put_text(folder / "1.jpg", lying);
    CHECK(reel::read_video(folder / "").height == 64);
}

TEST_CASE("Exif's orientation of a file that is cut off or lies is 1, and is found in no endless time") {
    const auto of = [](const std::string& bytes) {
        return reel::exif_orientation([&](std::int64_t at) {
            const bool inside = at >= 0 && at < static_cast<std::int64_t>(bytes.size());
            return inside ? std::optional(static_cast<std::uint8_t>(bytes[static_cast<std::size_t>(at)]))
                          : std::nullopt;
        });
    };
    for (const std::string name : {"exif_jpg/6.jpg", "exif_others/2.png", "exif_others/1.webp", "exif_others/3.tif"}) {
        CAPTURE(name);
        const std::string whole = read_text(kinds / name);
        const int orientation = of(whole);
        CHECK(orientation > 4);
        int found = 0;
        for (std::size_t size = 0; size < std::min<std::size_t>(whole.size(), 3000); ++size) {
            const int cut = of(whole.substr(0, size));
            CHECK((cut == 1 || cut == orientation));
            found += cut == orientation ? 1 : 0;
        }
        CHECK((found > 0 || name.find("jpg") == std::string::npos));
    }
    CHECK(of(std::string("\xff\xd8") + std::string(100'000, '\xff')) == 1);
    CHECK(of(std::string("II*\0\x08\0\0\0\xff\xff", 10) + std::string(1'000'000, '\0')) == 1);
    CHECK(of(std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09", 20) + std::string(9, '\0')) == 1);
    CHECK(of(std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x08", 22)) == 8); // a long
}

TEST_CASE("sound is copied as it is, cut to the pictures' time") {
    const TemporaryFolder folder;
    const auto converted = [&](const Words& words, const std::string& output) {
        run_well(Words{tools} + words);
        return sound_of(folder / output);
    };
    for (const std::string name : {"sound_first.mp4", "sound_first.mkv", "pictures_first.mp4", "sound.webm"}) {
        const auto source = sound_of(kinds / name);
        REQUIRE(source.size() > 20);
        reel::VideoSource pictures(kinds / name);
        CHECK(pictures.skip());
        for (const std::string kind : {"mp4", "mkv", "mov"}) {
            if (name == "sound.webm" && kind == "mov") {
                continue; // Opus does not fit there: below
            }
            CAPTURE(name);
            CAPTURE(kind);
            for (const double from : {0.0, 0.2}) {
                const double until = from == 0 ? 0.6 : 0.5;
                const Words words =
                    from == 0 ? Words{"convert", kinds / name, folder / ("o." + kind)}
                              : Words{"trim", kinds / name, folder / ("o." + kind), "--start", "0.2s", "--end", "0.5s"};
                const auto copied = converted(words, "o." + kind);
                reel::VideoSource shown(folder / ("o." + kind));
                CHECK(shown.skip());
                // Every packet that is heard while the pictures are shown is there, at its time, and no other.
                std::size_t expected = 0;
                for (const auto& [start, bytes] : source) {
                    const double heard = start - pictures.origin() - from;
                    if (heard < -1e-6 || heard >= until - from) {
                        continue;
                    }
                    ++expected;
                    const auto found = std::ranges::find(copied, bytes, &std::pair<double, std::string>::second);
                    REQUIRE(found != copied.end());
                    CHECK(std::abs(found->first - shown.origin() - heard) < 0.0225 + (kind == "mkv" ? 0.001 : 0));
                }
                CHECK(copied.size() >= expected);
                CHECK(copied.size() <= expected + 4); // before the cut, hidden: decoders begin there
                CHECK(expected > (name == "pictures_first.mp4" && from == 0 ? 8U : 5U));
            }
        }
    }
    CHECK(converted({"convert", kinds / "sound_first.mp4", folder / "n.mp4", "--no_audio"}, "n.mp4").empty());
    CHECK(converted({"resize", kinds / "sound_first.mp4", folder / "r.mp4", "--width", "32"}, "r.mp4").size() > 5);
    CHECK(converted({"rate", kinds / "sound_first.mp4", folder / "f.mp4", "--fps", "5"}, "f.mp4").size() > 5);
    CHECK(converted({"rate", kinds / "sound_first.mp4", folder / "t.mp4", "--fps", "5", "--retime"}, "t.mp4").empty());
}

TEST_CASE("sound that a container cannot hold is left out and named, and the pictures are written") {
    const TemporaryFolder folder;
    for (const auto& [name, codec] :
         {std::pair{"sound_flac.mkv", "flac"}, {"sound_truehd.mkv", "truehd"}, {"sound.webm", "opus"}}) {
        REQUIRE(sound_of(kinds / name).size() > 5);
        for (const auto& [kind, muxer] :
             {std::pair{"mp4", "mp4"}, {"mov", "mov"}, {"avi", "avi"}, {"mkv", "matroska"}}) {
            CAPTURE(name);
            CAPTURE(kind);
            const Path out = folder / (std::string("o.") + kind);
            const Ended ended = run_well({tools, "convert", kinds / name, out});
            CHECK(reel::probe_video(out).frames == 6);
            const std::string lost = reel::lost_sound(kinds / name, muxer);
            CHECK(lost.empty() == (sound_of(out).size() > 5)); // which hold it differs between releases of FFmpeg
            CHECK(ended.err == (lost.empty() ? "" : "note: " + out.string() + ": " + lost + "\n"));
            CHECK((lost.empty() ||
                   lost == std::string(muxer) + " cannot hold the sound (" + codec + "), which is left out; mkv can"));
            CHECK((lost.empty() || kind != std::string("mkv")));
            if (kind == std::string("mkv")) { // all of it, though packets of TrueHD are shorter than its clock's ticks
                std::size_t heard = 0;
                for (const auto& [start, bytes] : sound_of(kinds / name)) {
                    heard += start < 0.59 ? 1 : 0;
                }
                CHECK(sound_of(out).size() >= heard);
            }
        }
    }
    CHECK(!reel::lost_sound(kinds / "sound.webm", "mov").empty());
    CHECK(reel::lost_sound(kinds / "rate_5.mp4", "mp4").empty());
}

TEST_CASE("a clip that is cut off is refused in a sentence, or its beginning is read") {
    const TemporaryFolder folder;
    for (const std::string name : {"cut.mp4", "cut.mkv", "cut.webm", "cut.avi", "cut.gif", "cut.ts"}) {
        const auto row = std::ranges::find_if(table(), [&](const auto& r) { return r.at("file") == name; });
        const std::string whole = read_text(kinds / name);
        for (std::size_t tenth = 0; tenth < 10; ++tenth) {
            CAPTURE(name);
            CAPTURE(tenth);
            put_text(folder / name, whole.substr(0, whole.size() * tenth / 10));
            const Ended ended = run({tools, "count", "--json", folder / name});
            if (ended.status != 0) {
                CHECK(ended.status == 1);
                CHECK(lines_of(ended.err).size() == 1);
                CHECK(ended.err.find(name) != std::string::npos);
                continue;
            }
            CHECK(!name.ends_with("mkv")); // its head says how long it is, as that of a webm
            CHECK(!name.ends_with("webm"));
            reel::VideoSource source(folder / name);
            std::size_t index = 0;
            for (reel::Frames frame; source.next(frame); ++index) {
                // The last before the cut may be one that others, which are lost, come before.
                const auto cells = small(frame);
                while (index < 10 && largest_difference_of(cells, row->at("pictures")[index]) >= 4) {
                    ++index;
                }
                CHECK(index < 10);
            }
            CHECK(source.time().duration < 0.15); // what the whole file's head says of its end is no longer true
        }
    }
}

TEST_CASE("a sound file with a cover picture is no clip") {
    for (const auto& [name, text] : {std::pair{"song.m4a", "it is a sound file with a cover picture"},
                                     {"song.mka", "it is a sound file with a cover picture"},
                                     {"song.mp3", "it is a sound file"},
                                     {"song.flac", "it is a sound file"}}) {
        CAPTURE(name);
        const Ended ended = run({tools, "count", kinds / name});
        CHECK(ended.status == 1);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(ended.err.find(text) != std::string::npos);
        CHECK(ended.err.find("cover picture") != std::string::npos);
    }
}

TEST_CASE("a clip of a DV camera") {
    if (run({"sh", "-c", "command -v ffmpeg"}).status != 0) {
        MESSAGE("skipped: ffmpeg is not installed"); // 120 kB a frame are not for the table
        return;
    }
    const TemporaryFolder folder;
    run_well({"ffmpeg",
              "-nostdin",
              "-v",
              "error",
              "-i",
              kinds / "rate_30000_1001.mp4",
              "-i",
              kinds / "sound_first.mp4",
              "-map",
              "0:v",
              "-map",
              "1:a",
              "-shortest",
              "-vf",
              "scale=720:480,setsar=8/9",
              "-pix_fmt",
              "yuv411p",
              "-r",
              "30000/1001",
              "-c:v",
              "dvvideo",
              "-ar",
              "48000",
              "-ac",
              "2",
              folder / "camera.dv"});
    reel::VideoTaken taken;
    const reel::Frames clip = reel::read_video(folder / "camera.dv", {.width = 64, .height = 48}, {}, &taken);
    CHECK(clip.count == 6);
    CHECK(clip.fps == doctest::Approx(30000.0 / 1001));
    CHECK(taken.file_width == 720);
    CHECK(largest_difference_of(small(clip), nlohmann::json(small(reel::read_video(kinds / "rate_30000_1001.mp4")))) <
          6);
    run_well({tools, "convert", folder / "camera.dv", folder / "a.mkv"});
    CHECK(reel::probe_video(folder / "a.mkv").frames == 6);
    CHECK(sound_of(folder / "a.mkv").size() > 3);
}

TEST_CASE("count goes on after a file that is none") {
    const TemporaryFolder folder;
    put_text(folder / "bad.mp4", "no clip");
    const Ended ended = run({tools, "count", kinds / "rate_5.mp4", folder / "bad.mp4", kinds / "two.gif"});
    CHECK(ended.status == 1);
    CHECK(lines_of(ended.out).size() == 2);
    CHECK(ended.out.find("two.gif: 2 frames") != std::string::npos);
    CHECK(lines_of(ended.err).size() == 1);
    CHECK(ended.err.find("bad.mp4") != std::string::npos);
    const Ended json = run({tools, "count", "--json", folder / "bad.mp4", kinds / "two.gif"});
    CHECK(json.status == 1);
    CHECK(nlohmann::json::parse(json.out).size() == 1);
}

TEST_CASE("of a long clip only what is needed is decoded, and the pictures are the same") {
    if (run({"sh", "-c", "command -v ffmpeg"}).status != 0) {
        MESSAGE("skipped: ffmpeg is not installed");
        return;
    }
    const TemporaryFolder folder;
    // Key pictures every 50 frames, those of an open group among them; and, in MPEG-4, one only at the beginning.
    const std::vector<std::pair<std::string, Words>> kinds_of_clips{
        {"h264.mp4", {"-c:v", "libx264", "-g", "50", "-bf", "3", "-x264-params", "open-gop=1"}},
        {"h264.mkv", {"-c:v", "libx264", "-g", "50", "-bf", "3"}},
        {"vp9.webm", {"-c:v", "libvpx-vp9", "-g", "50", "-deadline", "realtime", "-cpu-used", "8"}},
        {"one_key.mp4", {"-c:v", "mpeg4", "-g", "100000"}},
        {"mpeg.ts", {"-c:v", "mpeg2video", "-g", "50"}}};
    for (const auto& [name, codec] : kinds_of_clips) {
        CAPTURE(name);
        const Path clip = folder / name;
        const Ended made = run(
            Words{"ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=30:duration=60"} +
            codec + Words{"-pix_fmt", "yuv420p", clip});
        if (made.status != 0) {
            MESSAGE("skipped: this ffmpeg makes no ", name);
            continue;
        }
        reel::VideoTaken taken;
        const reel::VideoSelection chosen{.start = 1003, .stride = 260, .max_frames = 4};
        const reel::Frames found = reel::read_video(clip, chosen, {}, &taken);
        reel::VideoSource source(clip);
        int compared = 0;
        for (reel::Frames frame; source.position() <= 1003 + 3 * 260;) {
            const std::int64_t index = source.position();
            if (index < 1003 || (index - 1003) % 260 != 0) {
                REQUIRE(source.skip());
                continue;
            }
            REQUIRE(source.next(frame));
            CHECK(std::ranges::equal(frame.rgb, found.frame(compared++)));
        }
        CHECK(compared == 4);
        CHECK(taken.first == doctest::Approx(1003 / 30.0).epsilon(0.001));
        CHECK(found.fps == doctest::Approx(30.0 / 260));
        const bool seeks = name.starts_with("h264") || name.starts_with("vp9");
        CHECK((taken.decoded < 500) == seeks);
        const Ended few = run({tools, "frames", clip, folder / "none", "--list", "1800"});
        CHECK(few.err.find("it has 1800 frames") != std::string::npos);
        CHECK_THROWS_AS((void)reel::read_video(clip, {.start = 1700, .stride = 90, .max_frames = 3}), reel::Error);
    }
}
