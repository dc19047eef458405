// Masks of the user's own, against plain loops.

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/pipelines/user_mask.hpp>

#include "io/temporary_folder.hpp"

namespace {

using reel::PixelMask;
using reel_test::message_of;

reel::Frames noisy(int count, int height, int width, unsigned seed) {
    reel::Frames frames = reel::make_frames(count, height, width, 8);
    for (auto& byte : frames.rgb) {
        seed = seed * 1664525U + 1013904223U;
        byte = static_cast<std::uint8_t>(seed >> 24);
    }
    return frames;
}

/// Rows of a frame: # may change, + may in part.
std::vector<std::string> rows(const PixelMask& mask, int f) {
    std::vector<std::string> result;
    for (int y = 0; y < mask.height; ++y) {
        result.emplace_back();
        for (int x = 0; x < mask.width; ++x) {
            const int value = mask.frame(f)[static_cast<std::size_t>(y * mask.width + x)];
            result.back() += value == 0 ? '.' : value == PixelMask::whole ? '#' : '+';
        }
    }
    return result;
}

using Rows = std::vector<std::string>;

PixelMask drawn(const std::vector<std::string>& boxes, int frames = 1, int width = 8, int height = 4) {
    const reel::Frames clip = noisy(frames, height, width, 1);
    return reel::user_mask({.boxes = boxes}, {clip});
}

} // namespace

TEST_CASE("boxes in pixels of the clip as it is, in shares, and cut off at its edge") {
    CHECK(rows(drawn({"2,1,3,2"}), 0) == Rows{"........", "..###...", "..###...", "........"});
    CHECK(rows(drawn({"0.25,0.25,0.5,0.5"}), 0) == Rows{"........", "..####..", "..####..", "........"});
    CHECK(rows(drawn({"0,0,1,1"}), 0) == Rows(4, "########"));
    CHECK(rows(drawn({"6,-1,9,2", " 0 , 3 , 1.4 , 1 "}), 0) == Rows{"......##", "........", "........", "#......."});
    const reel::Frames clip = noisy(1, 4, 8, 1);
    const PixelMask large = reel::user_mask({.boxes = {"32,16,64,32"}}, {clip, {128, 64}});
    CHECK(rows(large, 0) == Rows{"........", "..####..", "..####..", "........"});
}

TEST_CASE("key frames: linear between, held before the first and after the last") {
    const PixelMask mask = drawn({"5,2,2,1@3", "1,0,2,1@1"}, 5);
    CHECK(rows(mask, 0) == Rows{".##.....", "........", "........", "........"});
    CHECK(rows(mask, 1) == rows(mask, 0));
    CHECK(rows(mask, 2) == Rows{"........", "...##...", "........", "........"});
    CHECK(rows(mask, 3) == Rows{"........", "........", ".....##.", "........"});
    CHECK(rows(mask, 4) == rows(mask, 3));
}

TEST_CASE("polygons by the even-odd rule at pixels' centres") {
    const reel::Frames clip = noisy(1, 6, 6, 1);
    const auto of = [&](const std::string& polygon) {
        return rows(reel::user_mask({.polygons = {polygon}}, {clip}), 0);
    };
    CHECK(of("0,0,5.9,0,0,5.9") == Rows{"#####.", "####..", "###...", "##....", "#.....", "......"});
    CHECK(of("0,0,6,0,6,6,0,6,0,0,2,2,4,2,4,4,2,4,2,2") ==
          Rows{"######", "######", "##..##", "##..##", "######", "######"});
}

TEST_CASE("growth and feather, against distances pixel by pixel") {
    const reel::Frames clip = noisy(2, 23, 31, 1);
    const reel::UserMaskOptions plain{.boxes = {"4,3,5,4", "20,10,3,9@0", "25,2,3,9@1"}};
    const PixelMask mask = reel::user_mask(plain, {clip});
    for (const double radius : {1.0, 1.5, 3.0, 6.2}) {
        CAPTURE(radius);
        reel::UserMaskOptions more = plain;
        more.grow = radius;
        const PixelMask grown = reel::user_mask(more, {clip});
        more.feather = radius;
        const PixelMask faded = reel::user_mask(more, {clip});
        for (int f = 0; f < 2; ++f) {
            for (int y = 0; y < 23; ++y) {
                for (int x = 0; x < 31; ++x) {
                    double to_mask = 1e9;
                    double to_rest = 1e9;
                    for (int v = 0; v < 23; ++v) {
                        for (int u = 0; u < 31; ++u) {
                            const auto there = static_cast<std::size_t>(v * 31 + u);
                            const double distance = std::hypot(v - y, u - x);
                            to_mask = mask.frame(f)[there] > 0 ? std::min(to_mask, distance) : to_mask;
                            to_rest = grown.frame(f)[there] > 0 ? to_rest : std::min(to_rest, distance);
                        }
                    }
                    const auto here = static_cast<std::size_t>(y * 31 + x);
                    REQUIRE(grown.frame(f)[here] == (to_mask <= radius ? PixelMask::whole : 0));
                    const double share = std::min(1.0, to_rest / (radius + 1));
                    REQUIRE(std::abs(faded.frame(f)[here] - PixelMask::whole * share) <= 0.5 + 1e-9);
                }
            }
        }
    }
}

TEST_CASE("files: one picture or one for each frame, of any size, and as long as the clip's own file") {
    const reel_test::TemporaryFolder folder;
    const auto white = [](reel::Frames& frames, int f, int left, int right) {
        for (int y = 0; y < frames.height; ++y) {
            for (int x = left; x < right; ++x) {
                std::fill_n(frames.pixel(f, y, x), 3, std::uint8_t{255});
            }
        }
    };
    reel::Frames picture = reel::make_frames(1, 40, 80, 8);
    white(picture, 0, 20, 50);
    reel::write_png(folder / "one.png", picture);
    const reel::Frames clip = noisy(3, 4, 8, 1);
    const PixelMask one = reel::user_mask({.file = folder / "one.png"}, {clip});
    for (int f = 0; f < 3; ++f) {
        CHECK(rows(one, f) == Rows(4, "..###..."));
    }

    // One picture is one picture, in a folder or a GIF, too.
    std::filesystem::create_directory(folder / "one");
    reel::write_png(folder / "one" / "1.png", picture);
    reel::write_gif(folder / "one.gif", picture, 8);
    for (const char* name : {"one", "one.gif"}) {
        CAPTURE(name);
        CHECK(reel::user_mask({.file = folder / name}, {clip}).values == one.values);
    }

    reel::Frames moving = reel::make_frames(6, 16, 32, 8);
    for (int f = 0; f < 6; ++f) {
        white(moving, f, 4 * f, 4 * f + 4);
    }
    reel::write_gif(folder / "six.gif", moving, 8);
    reel::write_gif(folder / "clip.gif", noisy(6, 16, 32, 2), 8);
    reel::TuneTrainData data;
    data.video_path = folder / "clip.gif";
    data.sample_start_idx = 1;
    data.sample_frame_rate = 2;
    const PixelMask chosen = reel::user_mask({.file = folder / "six.gif"}, {clip, {32, 16}, &data});
    for (int f = 0; f < 3; ++f) {
        Rows expected(4, "........");
        for (std::string& row : expected) {
            row[static_cast<std::size_t>(1 + 2 * f)] = '#';
        }
        CHECK(rows(chosen, f) == expected);
    }
    const std::string message =
        message_of<reel::Error>([&] { static_cast<void>(reel::user_mask({.file = folder / "six.gif"}, {clip})); });
    CHECK(message.find("six.gif: a mask of 6 pictures for 3 frames; expected 1, 3") != std::string::npos);
    reel::write_file(folder / "one.jpg", "not read");
    CHECK(message_of<reel::Error>([&] {
              static_cast<void>(reel::user_mask({.file = folder / "one.jpg"}, {clip}));
          }).find("one.jpg: expected a PNG, a GIF, a video or a folder of pictures") != std::string::npos);
    reel::write_png(folder / "black.png", reel::make_frames(1, 4, 8, 8));
    CHECK(message_of<reel::Error>([&] {
              static_cast<void>(reel::user_mask({.file = folder / "black.png"}, {clip}));
          }).find("black.png: no pixel may change; expected something white") != std::string::npos);
}

TEST_CASE("a mask that follows what moves") {
    // A textured square of 12 pixels goes 2 to the right and 1 down a frame over a flat ground.
    constexpr int side = 48;
    reel::Frames clip = reel::make_frames(5, side, side, 8);
    std::fill(clip.rgb.begin(), clip.rgb.end(), std::uint8_t{90});
    const auto corner = [](int f) { return std::pair{8 + 2 * f, 10 + f}; };
    for (int f = 0; f < clip.count; ++f) {
        const auto [left, top] = corner(f);
        for (int y = 0; y < 12; ++y) {
            for (int x = 0; x < 12; ++x) {
                const double value = 150 + 50 * std::sin(0.7 * x + 0.3) * std::cos(0.6 * y);
                std::fill_n(clip.pixel(f, top + y, left + x), 3, static_cast<std::uint8_t>(value));
            }
        }
    }
    const PixelMask mask = reel::user_mask({.boxes = {"8,10,12,12"}, .follow = true}, {clip});
    for (int f = 0; f < clip.count; ++f) {
        CAPTURE(f);
        const auto [left, top] = corner(f);
        int both = 0;
        int either = 0;
        for (int y = 0; y < side; ++y) {
            for (int x = 0; x < side; ++x) {
                const bool truth = x >= left && x < left + 12 && y >= top && y < top + 12;
                const bool found = mask.frame(f)[static_cast<std::size_t>(y * side + x)] > 0;
                both += truth && found ? 1 : 0;
                either += truth || found ? 1 : 0;
            }
        }
        CHECK(both >= 0.8 * either);
    }
    const PixelMask still = reel::user_mask({.boxes = {"8,10,12,12"}}, {clip});
    CHECK(still.pixels(4) == 144);
    // The same where the clip's frames come one by one.
    int asked = 0;
    const auto luminance = [&](int f) {
        CHECK(f == asked++);
        return reel::metrics::luminance(clip, f);
    };
    const reel::Frames shape{clip.count, side, side, {}, 0};
    const PixelMask streamed =
        reel::user_mask({.boxes = {"8,10,12,12"}, .follow = true}, {shape, {}, nullptr, {}, luminance});
    CHECK(streamed.values == mask.values);
    CHECK(rows(still, 4) == rows(still, 0));
}

TEST_CASE("outside of a mask an edit is the clip byte for byte, inside it is the edit") {
    const reel::Frames clip = noisy(2, 8, 16, 1);
    const reel::Frames edited = noisy(2, 8, 16, 2);
    const PixelMask mask = reel::user_mask({.boxes = {"3,2,6,5"}, .feather = 1}, {clip});
    const reel::Frames result = reel::keep_outside(clip, edited, mask);
    for (std::size_t i = 0; i < mask.values.size(); ++i) {
        for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
            const double change = double(mask.values[i]) / PixelMask::whole * (edited.rgb[c] - clip.rgb[c]);
            REQUIRE(std::abs(clip.rgb[c] + change - result.rgb[c]) <= 0.5 + 1e-9);
        }
    }
    CHECK(reel::count_outside(clip, result, mask) == reel::OutsideMask{0, 2 * (8 * 16 - 6 * 5)});
    reel::Frames touched = result;
    touched.pixel(1, 0, 0)[2] ^= 1;
    CHECK(reel::count_outside(clip, touched, mask).changed == 1);
    CHECK(reel::count_outside(clip, edited, mask).changed > 150);
    CHECK(message_of<reel::Error>([&] {
              static_cast<void>(reel::keep_outside(clip, noisy(2, 8, 8, 1), mask));
          }).find("expected equal sizes") != std::string::npos);
}

TEST_CASE("latents' pixels of which any pixel may change") {
    reel::Cpu cpu(1);
    const reel::Frames clip = noisy(2, 16, 32, 1);
    const PixelMask mask = reel::user_mask({.boxes = {"7,7,2,1"}}, {clip});
    const reel::AnyTensor latents = reel::latent_mask(cpu, mask, {2, 2, 4, 4});
    CHECK(latents.shape() == reel::Shape{2, 2, 4, 1});
    CHECK(latents.to_host() == std::vector<float>{1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0});
    CHECK(!reel::latent_mask(cpu, {}, {2, 2, 4, 4}).defined());
    CHECK(message_of<reel::Error>([&] {
              static_cast<void>(reel::latent_mask(cpu, mask, {2, 3, 4, 4}));
          }).find("expected") != std::string::npos);
}

TEST_CASE("shapes that people get wrong") {
    const auto wrong = [](const std::string& box) {
        return message_of<reel::Error>([&] { static_cast<void>(drawn({box}, 3)); });
    };
    for (const auto& [box, part] : std::vector<std::pair<std::string, std::string>>{
             {"", "found \"\" for a number"},
             {"1,2,3", "found 3 numbers"},
             {"1,2,3,4,5", "found 5 numbers"},
             {"1,2,3,x", "found \"x\" for a number"},
             {"1;2;3;4", "found \"1;2;3;4\" for a number"},
             {"10%,0,1,1", "found \"10%\" for a number"},
             {"1,2,0,4", "above 0"},
             {"1,2,3,-4", "above 0"},
             {"1,2,nan,4", "for a number"},
             {"1,2,3,4@", "behind @"},
             {"1,2,3,4@-1", "behind @"},
             {"1,2,3,4@1.5", "behind @"},
             {"1,2,3,4@3", "@3, but the clip has 3 frames, 0 to 2"},
             {"100,100,5,5", "no pixel may change; expected a shape inside of the clip's 8x4 pixels"},
             {"2.1,1.1,0.2,0.2", "no pixel may change"}}) {
        CAPTURE(box);
        CAPTURE(wrong(box));
        CHECK(wrong(box).find(part) != std::string::npos);
    }
    CHECK(message_of<reel::Error>([] {
              static_cast<void>(drawn({"1,1,2,2@1", "2,2,2,2@1"}, 3));
          }).find("two for frame 1") != std::string::npos);
    const reel::Frames clip = noisy(3, 4, 8, 1);
    const auto polygons = [&](const std::vector<std::string>& of) {
        return message_of<reel::Error>([&] { static_cast<void>(reel::user_mask({.polygons = of}, {clip})); });
    };
    CHECK(polygons({"1,1,2,2"}).find("found 4 numbers") != std::string::npos);
    CHECK(polygons({"1,1,2,2,3,3,4"}).find("found 7 numbers") != std::string::npos);
    CHECK(polygons({"0,0,8,0,0,4@0", "0,0,8,0,8,4,0,4@2"}).find("3 corners at frame 0 and 4 at frame 2") !=
          std::string::npos);
    const auto checked = [](const reel::UserMaskOptions& options) {
        return message_of<reel::Error>(
            [&] { reel::check_options(options, [](auto name) { return "--" + std::string(name); }); });
    };
    CHECK(checked({.grow = 3}).find("--mask_grow: there is no mask to work on; give --mask_file") == 0);
    CHECK(checked({.feather = 3}).find("--mask_feather: there is no mask") == 0);
    CHECK(checked({.follow = true}).find("--mask_follow: there is no mask") == 0);
    CHECK(checked({.boxes = {"1,1,2,2@1"}, .follow = true}).find("is a key frame") != std::string::npos);
    CHECK(checked({.boxes = {"1,1,2,2"}, .grow = -1}).find("--mask_grow: expected") == 0);
}
