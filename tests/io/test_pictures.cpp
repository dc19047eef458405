#include "io/temporary_folder.hpp"
#include "io/test_video_support.hpp"

#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/pictures/png.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

using reel::Frames;
using namespace reel_test;

namespace {

template <class Action>
std::string error_of(const Action& action) {
    return message_of<reel::Error>(action);
}

} // namespace

TEST_CASE("floats become bytes by truncation, clamped") {
    const std::vector<float> values{0.0F,          1.0F,    0.999F, 0.5F,  -0.25F, 1.75F, 254.99F / 255.0F,
                                    1.0F / 255.0F, 0.0039F, 0.25F,  0.75F, 0.1F};
    const Frames clip = reel::to_frames_u8(values, 1, 2, 2, 8.0);
    CHECK(clip.rgb == std::vector<std::uint8_t>{0, 255, 254, 127, 0, 255, 254, 1, 0, 63, 191, 25});
    CHECK(clip.fps == 8.0);
    CHECK(contains(error_of([&] { (void)reel::to_frames_u8(values, 1, 2, 3); }), "18 values, got 12"));
    std::vector<float> broken = values;
    broken[7] = std::numeric_limits<float>::quiet_NaN();
    CHECK(contains(error_of([&] { (void)reel::to_frames_u8(broken, 1, 2, 2); }), "value 7 is not a number"));
}

TEST_CASE("bytes become -1..1") {
    const std::vector<std::uint8_t> bytes{0, 255, 127, 128};
    CHECK(reel::normalize_u8(bytes) == std::vector<float>{-1.0F, 1.0F, 127.0F / 127.5F - 1.0F, 128.0F / 127.5F - 1.0F});
    std::vector<float> three(3);
    CHECK(contains(error_of([&] { reel::normalize_u8(bytes, three); }), "4 bytes do not fit 3 values"));
}

TEST_CASE("a clip that lies about its size is refused") {
    Frames clip = flat(2, 4, 4, 1, 2, 3);
    CHECK_NOTHROW(reel::require_frames(clip, "test"));
    CHECK(clip.frame(1).size() == 48);
    CHECK_THROWS_AS((void)clip.frame(2), reel::Error);
    CHECK_THROWS_AS((void)clip.frame(-1), reel::Error);
    clip.count = 3;
    CHECK_THROWS_AS((void)clip.frame(2), reel::Error);
    CHECK(contains(error_of([&] { reel::require_frames(clip, "test"); }), "test: 3 frames of 4x4 are 144 bytes"));
    CHECK_THROWS_AS(reel::require_frames(Frames{}, "test"), reel::Error);
    CHECK_THROWS_AS((void)reel::make_frames(1, reel::max_picture_side + 1, 1), reel::Error);
}

TEST_CASE("grid as the reference lays it out") {
    const Frames red = flat(2, 64, 64, 255, 0, 0);
    const Frames blue = flat(2, 64, 64, 0, 0, 255);
    CHECK(reel::make_grid({red}) == red);
    const Frames two = reel::make_grid({red, blue});
    CHECK(two.width == 134);
    CHECK(two.height == 68);
    CHECK(two.count == 2);
    CHECK(two.pixel(1, 2, 2)[0] == 255);
    CHECK(two.pixel(1, 1, 1)[0] == 0);
    CHECK(two.pixel(1, 65, 65)[0] == 255);
    CHECK(two.pixel(1, 65, 66)[0] == 0);
    CHECK(two.pixel(1, 65, 67)[2] == 0);
    CHECK(two.pixel(1, 65, 68)[2] == 255);
    // Five clips: a full row of four and one below; the cells left over are black.
    const Frames five = reel::make_grid({red, red, red, red, blue});
    CHECK(five.width == 4 * 66 + 2);
    CHECK(five.height == 2 * 66 + 2);
    CHECK(five.pixel(0, 70, 10)[2] == 255);
    CHECK(std::max({five.pixel(0, 70, 80)[0], five.pixel(0, 70, 80)[1], five.pixel(0, 70, 80)[2]}) == 0);
    const Frames row = reel::side_by_side({red, red, red, red, red, blue}, 0);
    CHECK(row.width == 6 * 64);
    CHECK(row.height == 64);
    CHECK(row.pixel(0, 0, 5 * 64)[2] == 255);
}

TEST_CASE("grids refuse clips that differ") {
    const Frames clip = flat(2, 8, 8, 1, 1, 1);
    CHECK(contains(error_of([&] { (void)reel::make_grid({clip, flat(3, 8, 8, 1, 1, 1)}); }), "must be alike"));
    CHECK(contains(error_of([&] {
                       (void)reel::contact_sheet({clip, flat(2, 8, 9, 1, 1, 1)});
                   }),
                   "clip 1 has 2 of 9x8"));
    CHECK_THROWS_AS((void)reel::make_grid({}), reel::Error);
    CHECK_THROWS_AS((void)reel::side_by_side({}), reel::Error);
    CHECK_THROWS_AS((void)reel::make_grid({clip, clip}, 0), reel::Error);
    CHECK_THROWS_AS((void)reel::make_grid({clip, clip}, 4, reel::max_picture_side), reel::Error);
    CHECK_THROWS_AS((void)reel::contact_sheet({clip}, 0), reel::Error);
}

TEST_CASE("a contact sheet shows every n-th frame of each clip") {
    Frames clip = reel::make_frames(7, 4, 5);
    for (int f = 0; f < 7; ++f) {
        std::ranges::fill(clip.frame(f), static_cast<std::uint8_t>(10 * (f + 1)));
    }
    const Frames sheet = reel::contact_sheet({clip, flat(7, 4, 5, 200, 200, 200)}, 3, 1);
    CHECK(sheet.count == 1);
    CHECK(sheet.width == 3 * 6 + 1);
    CHECK(sheet.height == 2 * 5 + 1);
    CHECK(sheet.pixel(0, 1, 1)[0] == 10);
    CHECK(sheet.pixel(0, 1, 7)[0] == 40);
    CHECK(sheet.pixel(0, 4, 13)[0] == 70);
    CHECK(sheet.pixel(0, 5, 13)[0] == 0);
    CHECK(sheet.pixel(0, 6, 1)[0] == 200);
}

TEST_CASE("PNG files hold exactly what was written") {
    const TemporaryFolder folder;
    for (const auto& [height, width] : {std::pair{1, 1}, std::pair{3, 7}, std::pair{64, 48}}) {
        Frames clip = moving_block(3, height, width);
        std::mt19937 random(7);
        for (auto& byte : clip.rgb) {
            byte = static_cast<std::uint8_t>(byte ^ (random() & 15U));
        }
        reel::write_png(folder / "a.png", clip, 2);
        const Frames back = reel::read_png(folder / "a.png");
        CHECK(back.count == 1);
        CHECK(back.width == width);
        CHECK(back.height == height);
        CHECK(std::ranges::equal(back.rgb, clip.frame(2)));
    }
    CHECK(reel::encode_png(flat(1, 9, 9, 4, 5, 6)) == reel::encode_png(flat(1, 9, 9, 4, 5, 6)));
    CHECK(folder.count() == 1);
}

TEST_CASE("broken PNG files are refused") {
    const TemporaryFolder folder;
    const Frames picture = moving_block(1, 20, 30);
    const auto bytes = reel::encode_png(picture);
    for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 8) {
        CAPTURE(length);
        CHECK_THROWS_AS((void)reel::decode_png(std::span(bytes).first(length), "cut.png"), reel::Error);
    }
    // One changed byte: an error, or a picture of the promised size.
    std::mt19937 random(3);
    for (int i = 0; i < 300; ++i) {
        auto changed = bytes;
        changed[random() % changed.size()] ^= static_cast<std::byte>(1U << (random() % 8U));
        try {
            const Frames read = reel::decode_png(changed, "changed.png");
            CHECK(read.rgb.size() == read.frame_bytes());
        } catch (const reel::Error&) {
        }
    }
    CHECK(contains(error_of([&] { (void)reel::read_png(folder / "none.png"); }), "no such file"));
    CHECK(contains(error_of([&] { (void)reel::read_png(folder.path()); }), "not a file"));
    put_text(folder / "text.png", "this is a text");
    CHECK(contains(error_of([&] { (void)reel::read_png(folder / "text.png"); }), "not a PNG picture"));
    CHECK_THROWS_AS(reel::write_png(folder / "none" / "a.png", picture), reel::Error);
    CHECK_THROWS_AS(reel::write_png(folder / "a.png", picture, 1), reel::Error);
}

TEST_CASE("a PNG header that promises too much takes no memory") {
    // 8192 x 8192 in a file of a hundred bytes; IHDR with its checksum, then an empty IDAT.
    const std::string header("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x20\0\0\0\x20\0\x08\x02\0\0\0", 29);
    std::uint32_t sum = 0xFFFFFFFFU;
    for (std::size_t i = 12; i < 29; ++i) {
        sum ^= static_cast<unsigned char>(header[i]);
        for (int bit = 0; bit < 8; ++bit) {
            sum = (sum >> 1U) ^ ((sum & 1U) != 0U ? 0xEDB88320U : 0U);
        }
    }
    sum = ~sum;
    std::string file = header;
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
        file += static_cast<char>((sum >> shift) & 255U);
    }
    file += std::string("\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82", 24);
    const std::string message =
        error_of([&] { (void)reel::decode_png(std::as_bytes(std::span(file.data(), file.size())), "bomb.png"); });
    CHECK(contains(message, "cannot hold"));
}

TEST_CASE("a full disk leaves no picture behind") {
    const TemporaryFolder folder;
    Frames picture = reel::make_frames(1, 200, 200);
    std::mt19937 random(1);
    std::ranges::generate(picture.rgb, [&] { return static_cast<std::uint8_t>(random()); });
    {
        const FullDisk full(4096);
        CHECK_THROWS_AS(reel::write_png(folder / "a.png", picture), reel::Error);
    }
    CHECK(folder.count() == 0);
}
