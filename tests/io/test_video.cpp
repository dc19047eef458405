#include "io/temporary_folder.hpp"
#include "io/test_video_support.hpp"

#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/video/video_stream.hpp>
#include <reel/io/video/video_writer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

using reel::Frames;
using namespace reel_test;

namespace {

template <class Action>
std::string error_of(const Action& action) {
    return message_of<reel::Error>(action);
}

} // namespace

TEST_CASE("mp4: what is written is read back") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(10, 48, 64);
    reel::write_mp4(folder / "a.mp4", clip, 8.0);
    CHECK(folder.count() == 1);
    const reel::VideoInfo info = reel::probe_video(folder / "a.mp4");
    CHECK(info.frames == 10);
    CHECK(info.width == 64);
    CHECK(info.height == 48);
    CHECK(info.fps == doctest::Approx(8.0));
    CHECK(info.codec == "h264");
    CHECK(contains(info.container, "mp4"));
    const Frames back = reel::read_video(folder / "a.mp4");
    REQUIRE(back.count == 10);
    CHECK(back.fps == doctest::Approx(8.0));
    for (int f = 0; f < 10; ++f) {
        CAPTURE(f);
        CHECK(psnr(back.frame(f), clip.frame(f)) > 32.0);
        // The neighbour differs by the block's move: order and count are right, not only the average.
        CHECK(psnr(back.frame(f), clip.frame((f + 1) % 10)) < 28.0);
    }
}

TEST_CASE("mp4: colours survive, so matrix and range are marked as they were applied") {
    const TemporaryFolder folder;
    const std::vector<std::array<std::uint8_t, 3>> colours{{255, 0, 0},     {0, 255, 0},   {0, 0, 255},
                                                           {255, 255, 255}, {0, 0, 0},     {128, 128, 128},
                                                           {30, 200, 120},  {250, 180, 10}};
    for (std::size_t i = 0; i < colours.size(); ++i) {
        CAPTURE(i);
        const Frames clip = flat(2, 32, 32, colours[i][0], colours[i][1], colours[i][2]);
        reel::write_mp4(folder / "flat.mp4", clip, 30.0);
        CHECK(largest_difference(reel::read_video(folder / "flat.mp4").rgb, clip.rgb) <= 3);
    }
}

TEST_CASE("mp4: odd sizes repeat their last row and column") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(3, 33, 47);
    reel::write_mp4(folder / "odd.mp4", clip, 8.0, {.crf = 4});
    const Frames back = reel::read_video(folder / "odd.mp4");
    REQUIRE(back.width == 48);
    REQUIRE(back.height == 34);
    Frames inner = reel::make_frames(3, 33, 47);
    int edge = 0;
    for (int f = 0; f < 3; ++f) {
        for (int y = 0; y < 33; ++y) {
            std::copy_n(back.pixel(f, y, 0), 3 * 47, inner.pixel(f, y, 0));
            edge = std::max(edge, std::abs(int{back.pixel(f, y, 47)[1]} - int{back.pixel(f, y, 46)[1]}));
        }
    }
    CHECK(psnr(inner.rgb, clip.rgb) > 32.0);
    CHECK(edge <= 8);
}

TEST_CASE("write_mp4 with full colour keeps the colours of single pixels") {
    const TemporaryFolder folder;
    reel::Frames clip = reel::make_frames(3, 16, 16, 8);
    for (std::size_t i = 0; i < clip.rgb.size() / 3; ++i) { // neighbours of different colours and similar brightness
        const bool red = (i + i / 16) % 2 == 0;
        clip.rgb[3 * i] = red ? 200 : 40;
        clip.rgb[3 * i + 1] = red ? 40 : 100;
        clip.rgb[3 * i + 2] = red ? 60 : 180;
    }
    const auto worst = [&](const reel::Frames& read) {
        int difference = 0;
        for (std::size_t i = 0; i < clip.rgb.size(); ++i) {
            difference = std::max(difference, std::abs(int{clip.rgb[i]} - int{read.rgb[i]}));
        }
        return difference;
    };
    reel::write_mp4(folder / "full.mp4", clip, 8, {.crf = 1, .full_colour = true});
    reel::write_mp4(folder / "half.mp4", clip, 8, {.crf = 1});
    CHECK(worst(reel::read_video(folder / "full.mp4")) < 12);
    CHECK(worst(reel::read_video(folder / "half.mp4")) > 40);
}

TEST_CASE("mp4: sound that cannot be read costs the sound alone") {
    const TemporaryFolder folder;
    const auto path = folder / "clip.mp4";
    put_text(folder / "text.mp4", "this is no video");
    for (const char* name : {"text.mp4", "missing.mp4"}) {
        const std::string lost = reel::write_mp4(path, moving_block(5, 32, 32), 8, {.sound = {folder / name}});
        CHECK(contains(lost, name));
        CHECK(contains(lost, "left out"));
        CHECK(reel::probe_video(path).frames == 5);
    }
    CHECK(reel::write_mp4(path, moving_block(5, 32, 32), 8).empty());
}

TEST_CASE("the same clip gives the same bytes") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(6, 32, 32);
    reel::write_mp4(folder / "a.mp4", clip, 8.0);
    reel::write_mp4(folder / "b.mp4", clip, 8.0);
    CHECK(read_text(folder / "a.mp4") == read_text(folder / "b.mp4"));
    reel::write_gif(folder / "a.gif", clip, 8.0);
    reel::write_gif(folder / "b.gif", clip, 8.0);
    CHECK(read_text(folder / "a.gif") == read_text(folder / "b.gif"));
}

TEST_CASE("frames are chosen as range(start, count, stride)[:n]") {
    const TemporaryFolder folder;
    reel::write_mp4(folder / "a.mp4", moving_block(11, 32, 32), 24.0);
    const Frames all = reel::read_video(folder / "a.mp4");
    REQUIRE(all.count == 11);
    const auto expect = [&](const reel::VideoSelection& chosen, const std::vector<int>& indices) {
        const Frames part = reel::read_video(folder / "a.mp4", chosen);
        REQUIRE(part.count == static_cast<int>(indices.size()));
        CHECK(part.fps == doctest::Approx(24.0 / chosen.stride));
        for (int i = 0; i < part.count; ++i) {
            CHECK(std::ranges::equal(part.frame(i), all.frame(indices[static_cast<std::size_t>(i)])));
        }
    };
    expect({.start = 0, .stride = 2, .max_frames = 3}, {0, 2, 4});
    expect({.start = 1, .stride = 4}, {1, 5, 9});
    expect({.start = 10}, {10});
    expect({.start = 1, .stride = 5, .max_frames = 2}, {1, 6});
    expect({.start = 3, .stride = 100, .max_frames = 1}, {3});
}

TEST_CASE("too few frames: the message counts them and names the options") {
    const TemporaryFolder folder;
    reel::write_mp4(folder / "a.mp4", moving_block(11, 32, 32), 24.0);
    const std::string few =
        error_of([&] { (void)reel::read_video(folder / "a.mp4", {.start = 1, .stride = 2, .max_frames = 8}); });
    CHECK(contains(few, "it has 11 frames"));
    CHECK(contains(few, "give 5"));
    CHECK(contains(few, "asks for 8"));
    CHECK(contains(few, "n_sample_frames"));
    CHECK(contains(few, "sample_frame_rate"));
    CHECK(contains(few, "sample_start_idx"));
    const std::string late = error_of([&] { (void)reel::read_video(folder / "a.mp4", {.start = 11}); });
    CHECK(contains(late, "it has 11 frames"));
    CHECK(contains(late, "sample_start_idx"));
}

TEST_CASE("a resize to the same size changes nothing, another gives that size") {
    const TemporaryFolder folder;
    reel::write_mp4(folder / "a.mp4", moving_block(3, 48, 64), 8.0);
    const Frames native = reel::read_video(folder / "a.mp4");
    CHECK(reel::read_video(folder / "a.mp4", {.width = 64, .height = 48}) == native);
    // No cropping, aspect not kept; sizes that are no multiple of anything.
    const Frames small = reel::read_video(folder / "a.mp4", {.width = 23, .height = 31});
    CHECK(small.width == 23);
    CHECK(small.height == 31);
    CHECK(small.rgb.size() == 3U * 3 * 23 * 31);
    // The gradient runs from edge to edge in both.
    CHECK(std::abs(int{small.pixel(0, 30, 0)[0]} - int{native.pixel(0, 47, 0)[0]}) <= 6);
    CHECK(std::abs(int{small.pixel(0, 30, 22)[0]} - int{native.pixel(0, 47, 63)[0]}) <= 6);
}

TEST_CASE("GIF: frames, delays and colours are read back") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(9, 40, 56);
    reel::write_gif(folder / "a.gif", clip, 8.0);
    const Frames back = reel::read_video(folder / "a.gif");
    REQUIRE(back.count == 9);
    REQUIRE(back.width == 56);
    REQUIRE(back.height == 40);
    CHECK(back.fps == doctest::Approx(8.0).epsilon(0.02));
    for (int f = 0; f < 9; ++f) {
        CAPTURE(f);
        CHECK(psnr(back.frame(f), clip.frame(f)) > 34.0);
    }
    // Each frame's delay is in its graphic control block: 21 F9 04, flags, delay low, delay high.
    const std::string bytes = read_text(folder / "a.gif");
    std::vector<int> delays;
    for (std::size_t at = bytes.find("\x21\xF9\x04"); at != std::string::npos;
         at = bytes.find("\x21\xF9\x04", at + 1)) {
        delays.push_back(static_cast<unsigned char>(bytes[at + 4]) + 256 * static_cast<unsigned char>(bytes[at + 5]));
    }
    CHECK(delays == std::vector<int>{13, 12, 13, 12, 13, 12, 13, 12, 13});
    // The repeat block of browsers, with 0 for "for ever".
    CHECK(contains(bytes, std::string_view("NETSCAPE2.0\x03\x01\0\0\0", 16)));
}

TEST_CASE("GIF: of a fast clip every n-th frame is shown, as long as the clip lasts") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(13, 40, 56);
    CHECK(reel::gif_stride(50) == 1);
    CHECK(reel::gif_stride(8) == 1);
    for (const auto& [fps, stride] :
         {std::pair{50.5, 2}, {60.0, 2}, {100.0, 2}, {120.0, 3}, {240.0, 5}, {1000.0, 20}}) {
        CAPTURE(fps);
        REQUIRE(reel::gif_stride(fps) == stride);
        reel::write_gif(folder / "a.gif", clip, fps);
        const Frames back = reel::read_video(folder / "a.gif");
        REQUIRE(back.count == (13 + stride - 1) / stride);
        for (int i = 0; i < back.count; ++i) {
            CHECK(psnr(back.frame(i), clip.frame(i * stride)) > 34.0);
        }
        const std::string bytes = read_text(folder / "a.gif");
        int hundredths = 0;
        for (std::size_t at = bytes.find("\x21\xF9\x04"); at != std::string::npos;
             at = bytes.find("\x21\xF9\x04", at + 1)) {
            const int delay =
                static_cast<unsigned char>(bytes[at + 4]) + 256 * static_cast<unsigned char>(bytes[at + 5]);
            CHECK(delay >= 2); // players slow down what is shorter
            hundredths += delay;
        }
        CHECK(std::abs(hundredths - 100 * 13 / fps) <= 2);
    }
    CHECK(reel::gif_stride_text(2) == "every 2nd picture");
    CHECK(reel::gif_stride_text(3) == "every 3rd picture");
    CHECK(reel::gif_stride_text(11) == "every 11th picture");
    CHECK(reel::gif_stride_text(21) == "every 21st picture");
}

TEST_CASE("GIF: a rate is what the pictures' times say, of a part as of the whole, and nothing that FFmpeg guesses") {
    const TemporaryFolder folder;
    reel::write_gif(folder / "a.gif", moving_block(9, 40, 56), 8.0); // delays of 13 and 12 hundredths in turn
    const auto rate = [&](const reel::VideoSelection& chosen) {
        return reel::read_video(folder / "a.gif", chosen).fps;
    };
    CHECK(rate({}) == 8);
    CHECK(rate({.max_frames = 3}) == 8);
    CHECK(rate({.max_frames = 2}) == doctest::Approx(1 / 0.13));
    CHECK(rate({.max_frames = 1}) == doctest::Approx(1 / 0.13));
    CHECK(rate({.start = 1, .max_frames = 1}) == doctest::Approx(1 / 0.12));
    CHECK(rate({.stride = 2, .max_frames = 3}) == 4);
    CHECK(rate({.stride = 2, .max_frames = 1}) == doctest::Approx(1 / 0.26));
    CHECK(reel::probe_video(folder / "a.gif").fps == 8);
    reel::VideoTaken taken;
    static_cast<void>(reel::read_video(folder / "a.gif", {.max_frames = 2}, {}, &taken));
    REQUIRE(taken.times.each.size() == 2); // they end after 25 hundredths, not after two of 13
    CHECK(taken.times.each.back().end() == doctest::Approx(0.25));
    for (const double fps : {12.0, 24.0, 7.0, 30.0, 15.0, 12.5, 30 / 1.001}) {
        CAPTURE(fps);
        reel::write_gif(folder / "b.gif", moving_block(12, 40, 56), fps);
        CHECK(reel::read_video(folder / "b.gif").fps == doctest::Approx(fps).epsilon(0.0011));
    }
    reel::detail::RateMeter meter(reel::detail::usual_rates(), 0.01, reel::detail::RateSource::guessed);
    meter.add(0);
    CHECK_FALSE(meter.steady());
}

TEST_CASE("GIF: a frame that stays for longer than GIF can count is there again") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(3, 24, 32);
    reel::write_gif(folder / "a.gif", clip, 1 / 900.0);
    const reel::VideoInfo info = reel::probe_video(folder / "a.gif");
    CHECK(info.frames == 6);
    CHECK(info.seconds == doctest::Approx(2700).epsilon(1e-4));
    const Frames back = reel::read_video(folder / "a.gif");
    for (int i = 0; i < 6; ++i) {
        CHECK(psnr(back.frame(i), clip.frame(i / 2)) > 34.0);
    }
    reel::VideoSink sink(folder / "b.gif", 1 / 900.0);
    for (int i = 0; i < 3; ++i) {
        sink.write(clip, i);
    }
    sink.finish();
    CHECK(sink.shown() == 3);
    CHECK(reel::probe_video(folder / "b.gif").seconds == doctest::Approx(2700).epsilon(1e-4));
    CHECK_THROWS_AS(reel::write_gif(folder / "a.gif", clip, 1e-6), reel::Error);
}

TEST_CASE("GIF: one frame, one pixel, still clips") {
    const TemporaryFolder folder;
    for (const Frames& clip : {flat(1, 1, 1, 9, 90, 200), flat(5, 16, 24, 200, 10, 60), moving_block(1, 30, 30)}) {
        CAPTURE(clip.count);
        CAPTURE(clip.width);
        reel::write_gif(folder / "a.gif", clip, 12.5);
        const Frames back = reel::read_video(folder / "a.gif");
        CHECK(back.count == clip.count);
        CHECK(psnr(back.rgb, clip.rgb) > 34.0);
    }
}

TEST_CASE("frames that cannot be written are refused, and no file is left") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(4, 96, 96);
    Frames liar = clip;
    liar.count = 5;
    for (const char* name : {"a.mp4", "a.gif"}) {
        CAPTURE(name);
        const auto write = [&](const std::filesystem::path& path, const Frames& frames, double fps) {
            if (path.extension() == ".gif") {
                reel::write_gif(path, frames, fps);
            } else {
                reel::write_mp4(path, frames, fps);
            }
        };
        CHECK_THROWS_AS(write(folder / name, Frames{}, 8.0), reel::Error);
        CHECK_THROWS_AS(write(folder / name, liar, 8.0), reel::Error);
        CHECK_THROWS_AS(write(folder / name, clip, 0.0), reel::Error);
        CHECK_THROWS_AS(write(folder / name, clip, -1.0), reel::Error);
        CHECK_THROWS_AS(write(folder / name, clip, 1e9), reel::Error);
        CHECK_THROWS_AS(write(folder / name, clip, std::nan("")), reel::Error);
        CHECK(contains(error_of([&] { write(folder / "none" / name, clip, 8.0); }), "does not exist"));
        // A disk that fills at the first byte, on the way and at the very last one.
        write(folder / name, clip, 8.0);
        const auto size = std::filesystem::file_size(folder / name);
        std::filesystem::remove(folder / name);
        for (const auto room : {std::uintmax_t{0}, std::uintmax_t{256}, size / 2, size - 1}) {
            CAPTURE(room);
            const FullDisk full(room);
            CHECK(contains(error_of([&] { write(folder / name, clip, 8.0); }), name));
            CHECK(folder.count() == 0);
        }
        CHECK(folder.count() == 0);
    }
    CHECK_THROWS_AS(reel::write_mp4(folder / "a.mp4", clip, 8.0, {.crf = 52}), reel::Error);
    CHECK_THROWS_AS(reel::write_mp4(folder / "a.mp4", clip, 8.0, {.preset = "no such"}), reel::Error);
    CHECK(folder.count() == 0);
}

TEST_CASE("FFmpeg's log level is as it was") {
    const TemporaryFolder folder;
    const int before = av_log_get_level();
    av_log_set_level(AV_LOG_WARNING);
    reel::write_mp4(folder / "a.mp4", moving_block(2, 32, 32), 8.0);
    CHECK_THROWS_AS((void)reel::read_video(folder / "none.mp4"), reel::Error);
    (void)reel::read_video(folder / "a.mp4");
    CHECK(av_log_get_level() == AV_LOG_WARNING);
    av_log_set_level(before);
}

// The tolerance allows for other processors' colour conversions; another filter (bicubic, area) or rounding flag
// differs by 10 to 30 levels. On x86-64 with FFmpeg 5.1 every byte is equal.
TEST_CASE("pixels agree with decord, the reference's reader") {
    const std::string expected = read_text("io/golden/video_golden.rgb");
    REQUIRE(expected.size() == 101376);
    std::size_t at = 0;
    const auto compare = [&](const std::string& name, const reel::VideoSelection& chosen, int width, int height) {
        CAPTURE(name);
        CAPTURE(chosen.width);
        const Frames clip = reel::read_video("io/golden/" + name, chosen);
        CHECK(clip.width == width);
        CHECK(clip.height == height);
        REQUIRE(at + clip.rgb.size() <= expected.size());
        std::vector<std::uint8_t> block(clip.rgb.size());
        std::copy_n(expected.begin() + static_cast<std::ptrdiff_t>(at), block.size(), block.begin());
        at += block.size();
        CHECK(largest_difference(clip.rgb, block) <= 2);
    };
    compare("video_golden.mp4", {.max_frames = 1}, 96, 64);
    compare("video_golden.mp4", {.start = 2, .max_frames = 1, .width = 96, .height = 64}, 96, 64);
    compare("video_golden.mp4", {.start = 1, .stride = 2, .max_frames = 2, .width = 32, .height = 32}, 32, 32);
    compare("video_golden.mp4", {.start = 4, .width = 128, .height = 80}, 128, 80);
    compare("video_rotated.mp4", {.max_frames = 1}, 64, 96);
    compare("video_rotated.mp4", {.start = 1, .max_frames = 1, .width = 64, .height = 48}, 64, 48);
    CHECK(at == expected.size());
    const reel::VideoInfo info = reel::probe_video("io/golden/video_rotated.mp4");
    CHECK(info.frames == 5);
    CHECK(info.width == 64);
    CHECK(info.height == 96);
    CHECK(info.codec == "mpeg4");
}

TEST_CASE("a clip marked to be shown turned is turned, by every quarter") {
    const TemporaryFolder folder;
    std::string bytes = read_text("io/golden/video_rotated.mp4");
    // The track header's matrix, 16.16 fixed point: this file's, and those of the other turns.
    using namespace std::string_view_literals;
    constexpr std::string_view zero = "\0\0\0\0"sv;
    constexpr std::string_view one = "\0\1\0\0"sv;
    constexpr std::string_view minus = "\xff\xff\0\0"sv;
    const auto matrix = [&](std::string_view a, std::string_view b, std::string_view c, std::string_view d) {
        std::string text;
        for (const auto part : {a, b, zero, c, d, zero, zero, zero, "\x40\0\0\0"sv}) {
            text += part;
        }
        return text;
    };
    const std::size_t at = bytes.find(matrix(zero, minus, one, zero));
    REQUIRE(at != std::string::npos);
    const auto turned = [&](const std::string& turn) {
        bytes.replace(at, turn.size(), turn);
        put_text(folder / "turned.mp4", bytes);
        return reel::read_video(folder / "turned.mp4", {.max_frames = 1});
    };
    const Frames upright = turned(matrix(one, zero, zero, one));
    const Frames right = turned(matrix(zero, one, minus, zero));
    const Frames down = turned(matrix(minus, zero, zero, minus));
    const Frames left = turned(matrix(zero, minus, one, zero));
    REQUIRE(upright.width == 96);
    REQUIRE(upright.height == 64);
    REQUIRE(right.width == 64);
    REQUIRE(right.height == 96);
    REQUIRE(down.width == 96);
    REQUIRE(left.width == 64);
    int largest = 0;
    for (int y = 0; y < 64; ++y) {
        for (int x = 0; x < 96; ++x) {
            for (const std::uint8_t* pixel :
                 {right.pixel(0, x, 63 - y), down.pixel(0, 63 - y, 95 - x), left.pixel(0, 95 - x, y)}) {
                for (int c = 0; c < 3; ++c) {
                    largest = std::max(largest, std::abs(int{pixel[c]} - int{upright.pixel(0, y, x)[c]}));
                }
            }
        }
    }
    CHECK(largest <= 2);
}

TEST_CASE("the study's clips decode to 24 frames of 512x512") {
    const char* variable = std::getenv("REEL_SHARED");
    const std::filesystem::path clips =
        std::filesystem::path(variable != nullptr ? variable : "../../shared") / "clips";
    if (!std::filesystem::is_directory(clips)) {
        std::cout << "skipped: \"the study's clips decode to 24 frames of 512x512\" (no " << clips.string()
                  << "; set REEL_SHARED)\n";
        return;
    }
    int seen = 0;
    for (const char* name :
         {"original/racket.mp4", "original/toolbox.mp4", "pretending/racket.mp4", "pretending/toolbox.mp4"}) {
        CAPTURE(name);
        const reel::VideoInfo info = reel::probe_video(clips / name);
        CHECK(info.frames == 24);
        CHECK(info.width == 512);
        CHECK(info.height == 512);
        CHECK(info.fps == doctest::Approx(30.0));
        CHECK(info.codec == "mpeg4");
        const Frames chosen =
            reel::read_video(clips / name, {.stride = 2, .max_frames = 12, .width = 64, .height = 64});
        CHECK(chosen.count == 12);
        CHECK(chosen.rgb.size() == 12U * 64 * 64 * 3);
        ++seen;
    }
    CHECK(seen == 4);
}
