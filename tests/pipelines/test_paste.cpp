// A part of a clip cut out, and laid back at the clip's own size, against plain loops and the clip itself.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <reel/core/stage_timer.hpp>
#include <reel/io/video/video_stream.hpp>
#include <reel/pipelines/pasted_clip.hpp>

#include "io/temporary_folder.hpp"

namespace {

using reel::Frames;
using reel::PixelBox;
using reel::PixelMask;
using reel_test::contains;
using reel_test::message_of;

/// Small steps of a fixed sequence.
class Numbers {
public:
    explicit Numbers(unsigned seed) : state_(seed) {}
    [[nodiscard]] int upto(int most) {
        state_ = state_ * 1664525U + 1013904223U;
        return static_cast<int>((state_ >> 8) % static_cast<unsigned>(most + 1));
    }

private:
    unsigned state_;
};

Frames noisy(int count, int height, int width, unsigned seed) {
    Frames frames = reel::make_frames(count, height, width, 8);
    Numbers numbers(seed);
    for (auto& byte : frames.rgb) {
        byte = static_cast<std::uint8_t>(numbers.upto(255));
    }
    return frames;
}

PixelBox crop(const PixelBox& mask, reel::PictureSize clip, reel::PictureSize model, double context = 0.5) {
    return reel::crop_around(mask, {clip, model, context}, "--paste");
}

constexpr reel::PictureSize hd{1920, 1080};
constexpr reel::PictureSize square{512, 512};

} // namespace

TEST_CASE("a crop is the mask's bounds and half of them on each side, of the model's aspect") {
    CHECK(crop({900, 500, 100, 80}, hd, square) == PixelBox{850, 440, 200, 200});
    CHECK(crop({900, 500, 100, 80}, hd, {768, 512}) == PixelBox{830, 460, 240, 160});
    CHECK(crop({900, 500, 100, 80}, hd, square, 0) == PixelBox{900, 490, 100, 100});
    CHECK(crop({900, 500, 100, 80}, hd, square, 2) == PixelBox{700, 290, 500, 500});
    // odd sizes, in whole pixels
    CHECK(crop({31, 21, 33, 21}, {201, 133}, {64, 48}) == PixelBox{15, 7, 66, 50});
}

TEST_CASE("at borders and corners a crop is shifted, not distorted; where the clip ends there is less context") {
    CHECK(crop({0, 0, 100, 100}, hd, square) == PixelBox{0, 0, 200, 200});
    CHECK(crop({1820, 980, 100, 100}, hd, square) == PixelBox{1720, 880, 200, 200});
    CHECK(crop({0, 980, 100, 100}, hd, square) == PixelBox{0, 880, 200, 200});
    CHECK(crop({1820, 0, 100, 100}, hd, square) == PixelBox{1720, 0, 200, 200});
    CHECK(crop({900, 1000, 100, 80}, hd, square) == PixelBox{850, 880, 200, 200});
    CHECK(crop({100, 100, 900, 900}, hd, square) == PixelBox{10, 0, 1080, 1080});
    CHECK(crop({840, 0, 1080, 1080}, hd, square) == PixelBox{840, 0, 1080, 1080});
    CHECK(crop({0, 0, 1920, 1080}, hd, {1024, 576}) == PixelBox{0, 0, 1920, 1080});
}

TEST_CASE("any crop holds its mask, lies in the clip, and has the model's aspect to a pixel") {
    Numbers numbers(7);
    int cut_off = 0;
    for (int i = 0; i < 20000; ++i) {
        const reel::PictureSize clip{40 + numbers.upto(400), 40 + numbers.upto(400)};
        const reel::PictureSize model{8 + 8 * numbers.upto(16), 8 + 8 * numbers.upto(16)};
        PixelBox mask{numbers.upto(clip.width - 1), numbers.upto(clip.height - 1), 0, 0};
        mask.width = 1 + numbers.upto(clip.width - mask.left - 1);
        mask.height = 1 + numbers.upto(clip.height - mask.top - 1);
        const double context = numbers.upto(8) / 4.0;
        PixelBox found;
        const std::string message = message_of<reel::Error>([&] { found = crop(mask, clip, model, context); });
        CAPTURE(i);
        const double scale = std::min(double(clip.width) / model.width, double(clip.height) / model.height);
        if (!message.empty()) {
            const bool large = mask.width > scale * model.width || mask.height > scale * model.height;
            const double wanted =
                (1 + 2 * context) * std::max(double(mask.width) / model.width, double(mask.height) / model.height);
            REQUIRE((contains(message, "undistorted") ? large : std::min(scale, wanted) < 1.0 / 8));
            continue;
        }
        REQUIRE((found.left >= 0 && found.top >= 0 && found.left + found.width <= clip.width &&
                 found.top + found.height <= clip.height));
        REQUIRE((found.left <= mask.left && found.top <= mask.top &&
                 found.left + found.width >= mask.left + mask.width &&
                 found.top + found.height >= mask.top + mask.height));
        REQUIRE(std::abs(found.width * model.height - found.height * model.width) <=
                std::max(model.width, model.height));
        const bool whole = found.width == clip.width || found.height == clip.height;
        cut_off += whole ? 1 : 0;
        REQUIRE((whole || (found.width >= (1 + 2 * context) * mask.width - 1e-6 &&
                           found.height >= (1 + 2 * context) * mask.height - 1e-6)));
        // In the middle, unless that would leave the clip.
        const auto centred = [](int at, int span, int length, int end) {
            return std::clamp(at - (length - span) / 2, 0, end - length);
        };
        REQUIRE(found.left == centred(mask.left, mask.width, found.width, clip.width));
        REQUIRE(found.top == centred(mask.top, mask.height, found.height, clip.height));
    }
    CHECK(cut_off > 1000);
}

TEST_CASE("masks of which nothing can be cut out") {
    const auto wrong = [](const PixelBox& mask, reel::PictureSize model = square, double context = 0.5) {
        return message_of<reel::Error>([&] { static_cast<void>(crop(mask, hd, model, context)); });
    };
    CHECK(
        contains(wrong({10, 400, 1900, 300}),
                 "--paste: the mask spans 1900x300 pixels of the clip's 1920x1080, but for an edit at 512x512 at most "
                 "1080x1080 can be cut out undistorted"));
    CHECK(wrong({10, 400, 1900, 300}, {896, 512}) != "");
    CHECK(wrong({10, 400, 1900, 300}, {1024, 576}).empty());
    CHECK(contains(wrong({10, 400, 20, 30}), "--paste: only 60x60 pixels are cut out around the mask, to be edited at "
                                             "512x512; expected at least an eighth of that"));
    CHECK(wrong({10, 400, 20, 30}, square, 1).empty());

    const auto checked = [](const reel::PasteOptions& paste, const reel::UserMaskOptions& mask) {
        return message_of<reel::Error>([&] {
            const auto locate = [](std::string_view name) { return "--" + std::string(name); };
            reel::for_each_option(paste, [&](const auto& about, const auto& value, const std::string& path) {
                reel::detail::check_option(about, value, locate(path));
            });
            paste.check(mask, locate);
        });
    };
    CHECK(checked({.paste = true}, {.boxes = {"1,1,2,2"}}).empty());
    CHECK(contains(checked({.paste = true}, {}),
                   "--paste: there is no mask to cut out the surroundings of; give --mask_"));
    CHECK(
        contains(checked({.context = 1}, {.boxes = {"1,1,2,2"}}), "--paste_context: nothing is cut out; give --paste"));
    CHECK(contains(checked({.paste = true, .context = -1}, {.boxes = {"1,1,2,2"}}),
                   "--paste_context: expected a number from 0 to 100, found -1"));
}

TEST_CASE("parts of pictures and of masks, and masks at another size") {
    const Frames clip = noisy(2, 21, 37, 1);
    const PixelBox box{5, 3, 17, 11};
    const Frames part = reel::cut(clip, box);
    PixelMask mask(2, 21, 37);
    Numbers numbers(3);
    for (auto& value : mask.values) {
        value = static_cast<std::uint8_t>(numbers.upto(9) > 8 ? numbers.upto(255) : 0);
    }
    const PixelMask masked = reel::cut(mask, box);
    for (int f = 0; f < 2; ++f) {
        const PixelMask back = reel::uncut(masked, f, box, {37, 21});
        for (int y = 0; y < 21; ++y) {
            for (int x = 0; x < 37; ++x) {
                const auto at = static_cast<std::size_t>(y * 37 + x);
                const bool inside = x >= 5 && x < 22 && y >= 3 && y < 14;
                REQUIRE(back.values[at] == (inside ? mask.frame(f)[at] : 0));
                if (inside) {
                    REQUIRE(
                        std::equal(part.pixel(f, y - 3, x - 5), part.pixel(f, y - 3, x - 5) + 3, clip.pixel(f, y, x)));
                }
            }
        }
    }
    for (const auto& [height, width] : {std::pair{8, 8}, {21, 37}, {64, 40}, {5, 90}}) {
        CAPTURE(width);
        const PixelMask other = reel::resized(mask, height, width);
        for (int f = 0; f < 2; ++f) {
            for (int y = 0; y < height; ++y) {
                for (int x = 0; x < width; ++x) {
                    int most = 0;
                    for (int v = 0; v < 21; ++v) {
                        for (int u = 0; u < 37; ++u) {
                            const bool touches = v * height < (y + 1) * 21 && (v + 1) * height > y * 21 &&
                                                 u * width < (x + 1) * 37 && (u + 1) * width > x * 37;
                            most = touches ? std::max(most, int{mask.frame(f)[static_cast<std::size_t>(v * 37 + u)]})
                                           : most;
                        }
                    }
                    REQUIRE(other.frame(f)[static_cast<std::size_t>(y * width + x)] == most);
                }
            }
        }
    }
    CHECK(contains(message_of<reel::Error>([&] {
                       static_cast<void>(reel::cut(clip, {30, 3, 17, 11}));
                   }),
                   "cut: 17x11 pixels at 30,3 of 37x21"));
}

TEST_CASE("an edit is laid into a frame as far as the mask and the overlay let it, and nowhere else") {
    const PixelBox box{7, 2, 30, 20};
    PixelMask mask(3, 20, 30);
    for (int y = 4; y < 15; ++y) {
        for (int x = 3; x < 25; ++x) {
            mask.frame(1)[static_cast<std::size_t>(y * 30 + x)] = PixelMask::whole;
        }
    }
    reel::feather(mask, 3);
    const reel::EditLayer plain{noisy(3, 16, 24, 2), {}};
    const reel::EditLayer shared{plain.edited, noisy(3, 16, 24, 3)};
    for (const reel::EditLayer& edit : {plain, shared}) {
        const Frames own = noisy(1, 40, 50, 1);
        Frames result = own;
        reel::paste(result, box, mask, edit, 1);
        const Frames large = reel::resize_bicubic(edit.edited, 20, 30);
        const Frames shares = edit.shares.count > 0 ? reel::resize_bicubic(edit.shares, 20, 30) : Frames();
        for (int y = 0; y < 40; ++y) {
            for (int x = 0; x < 50; ++x) {
                const int v = y - 2;
                const int u = x - 7;
                const bool inside = v >= 0 && v < 20 && u >= 0 && u < 30;
                const double mask_share = inside ? mask.frame(1)[static_cast<std::size_t>(v * 30 + u)] / 255.0 : 0;
                const double share = mask_share * (inside && shares.count > 0 ? *shares.pixel(1, v, u) / 255.0 : 1);
                for (int c = 0; c < 3; ++c) {
                    const int was = own.pixel(0, y, x)[c];
                    const int becomes = result.pixel(0, y, x)[c];
                    if (mask_share == 0) {
                        REQUIRE(becomes == was);
                    } else {
                        REQUIRE(std::abs(was + share * (large.pixel(1, v, u)[c] - was) - becomes) <= 0.5 + 1e-9);
                    }
                }
            }
        }
    }
}

namespace {

/// A clip as people have them, with sound: a gradient with a square that moves, written frame by frame.
void write_large(const std::filesystem::path& path, int count, int width, int height) {
    reel::VideoSink sink(path, 10, {.mp4 = {.preset = "ultrafast"}, .sound = "video_tools/kinds/sound_first.mp4"});
    Frames frame = reel::make_frames(1, height, width, 10);
    for (int f = 0; f < count; ++f) {
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const bool inside = std::abs(x - width / 4 - 12 * f) < 60 && std::abs(y - height / 2) < 60;
                std::uint8_t* pixel = frame.pixel(0, y, x);
                pixel[0] = static_cast<std::uint8_t>(inside ? 230 : 200 * x / width);
                pixel[1] = static_cast<std::uint8_t>(inside ? 60 : 200 * y / height);
                pixel[2] = static_cast<std::uint8_t>((x / 16 + y / 16) % 2 == 0 ? 40 : 90);
            }
        }
        sink.write(frame);
    }
    sink.finish();
}

/// The bytes and times of a file's sound.
std::vector<std::pair<std::vector<std::uint8_t>, double>> sound_of(const std::filesystem::path& path) {
    std::vector<std::pair<std::vector<std::uint8_t>, double>> packets;
    reel::detail::SoundCopy sound(path);
    const auto packet = reel::detail::owned(av_packet_alloc());
    while (sound.next(*packet)) {
        packets.emplace_back(std::vector<std::uint8_t>(packet->data, packet->data + packet->size),
                             sound.start_of(*packet));
    }
    return packets;
}

} // namespace

TEST_CASE("frames one at a time are those of read_video, of all kinds of files") {
    for (const char* name : {"sound_first.mp4", "mirror.mp4", "vfr_sound.mp4", "late.mkv", "cut.webm",
                             "delays_uneven.gif", "grey.mkv", "interlaced.mpg", "exif_jpg"}) {
        CAPTURE(name);
        const std::string path = std::string("video_tools/kinds/") + name;
        for (const reel::VideoSelection& chosen :
             {reel::VideoSelection{},
              reel::VideoSelection{.start = 1, .stride = 2, .max_frames = 2, .width = 24, .height = 16}}) {
            Frames all;
            std::string message;
            try {
                all = reel::read_video(path, chosen);
            } catch (const reel::Error& error) {
                message = error.what();
            }
            std::vector<std::uint8_t> bytes;
            const std::string found = message_of<reel::Error>([&] {
                reel::ChosenFrames frames(path, chosen);
                for (Frames frame; frames.next(frame);) {
                    CHECK((frame.count == 1 && (all.count == 0 || frame.width == all.width)));
                    bytes.insert(bytes.end(), frame.rgb.begin(), frame.rgb.end());
                }
            });
            CHECK(found == message);
            CHECK((bytes == all.rgb || !message.empty()));
        }
    }
}

TEST_CASE("an edit in a clip of 1920x1080: all frames, the sound, and outside of the mask every bit") {
    const reel_test::TemporaryFolder folder;
    const std::string file = folder / "clip.mp4";
    write_large(file, 9, 1920, 1080);
    reel::TuneTrainData data;
    data.video_path = file;
    data.sample_start_idx = 2;
    data.sample_frame_rate = 2;
    data.n_sample_frames = 3;
    data.width = 64;
    data.height = 48;
    const reel::UserMaskOptions mask{.boxes = {"1500,800,301,201@0", "1560,840,301,201@2"}, .feather = 9};
    reel::SourceClip source{reel::make_frames(3, 48, 64, 5), {}, {}, {1920, 1080}};
    const auto sound = reel::whole_sound(file, {}, true);
    const PixelMask allowed = reel::cut_out(source, {data, {}, mask, {.paste = true}, sound});
    REQUIRE(source.pasting);
    const reel::Pasting& pasting = *source.pasting;
    CHECK(pasting.crop == PixelBox{1198, 538, 722, 542});
    CHECK((allowed.count == 3 && allowed.width == 64 && allowed.height == 48));

    // What is edited is the crop of the frames that read_video() takes.
    const Frames whole = reel::read_video(file);
    const std::vector<int> taken{2, 4, 6};
    const Frames chosen = reel::read_video(file, {.start = 2, .stride = 2, .max_frames = 3});
    CHECK(source.frames.rgb == reel::resize_bicubic(reel::cut(chosen, pasting.crop), 48, 64).rgb);

    const reel::EditLayer edit{noisy(3, 48, 64, 5), {}};
    const auto write = [](const std::filesystem::path& path, const auto& written) { written(path); };
    const reel::OutsideMask found =
        reel::write_pasted(folder / "edit", pasting, edit, {.frames = true, .lossless = true}, write);
    const Frames result = reel::read_video(folder / "edit.mp4");
    REQUIRE((result.count == 9 && result.width == 1920 && result.height == 1080));
    CHECK(result.rgb == reel::read_video(folder / "edit").rgb);
    std::int64_t outside = 0;
    std::int64_t changed = 0;
    for (int f = 0; f < 9; ++f) {
        const auto number = std::find(taken.begin(), taken.end(), f) - taken.begin();
        const int left = 1500 + 30 * static_cast<int>(number);
        const int top = 800 + 20 * static_cast<int>(number);
        bool kept = true;
        for (int y = 0; y < 1080; ++y) {
            for (int x = 0; x < 1920; ++x) {
                const bool inside = number < 3 && x >= left && x < left + 301 && y >= top && y < top + 201;
                const bool own = std::equal(whole.pixel(f, y, x), whole.pixel(f, y, x) + 3, result.pixel(f, y, x));
                outside += inside ? 0 : 1;
                changed += inside && !own ? 1 : 0;
                kept = kept && (inside || own);
            }
        }
        CHECK(kept);
    }
    CHECK(found == reel::OutsideMask{0, outside});
    CHECK(changed > 100000);
    CHECK(sound_of(folder / "edit.mp4") == sound_of(file));
    CHECK(sound_of(file).size() > 15);
    reel::VideoSource before(file);
    reel::VideoSource after(folder / "edit.mp4");
    while (before.skip()) {
        REQUIRE(after.skip());
        CHECK(after.time().start == doctest::Approx(before.time().start));
        CHECK(after.time().duration == doctest::Approx(before.time().duration));
    }
}

TEST_CASE("a folder of pictures is a clip, too: at 8 frames a second, or as it is said") {
    const reel_test::TemporaryFolder folder;
    const Frames clip = noisy(3, 40, 60, 1);
    std::filesystem::create_directory(folder / "clip");
    for (int f = 0; f < 3; ++f) {
        reel::write_png(folder / "clip" / reel::frame_name(f), clip, f);
    }
    PixelMask allowed(2, 16, 24);
    std::ranges::fill(allowed.values, PixelMask::whole);
    const reel::EditLayer edit{noisy(2, 8, 12, 5), {}};
    const auto write = [](const std::filesystem::path& path, const auto& written) { written(path); };
    for (const double fps : {0.0, 5.0}) {
        CAPTURE(fps);
        const reel::Pasting pasting{.clip = folder / "clip",
                                    .fps = fps,
                                    .start = 1,
                                    .size = {60, 40},
                                    .crop = {36, 24, 24, 16},
                                    .allowed = allowed};
        CHECK(reel::whole_sound(pasting.clip, {}, true).empty());
        CHECK(reel::write_pasted(folder / "edit", pasting, edit, {.lossless = true}, write) ==
              reel::OutsideMask{0, 3 * 40 * 60 - 2 * 16 * 24});
        const Frames result = reel::read_video(folder / "edit.mp4");
        CHECK(result.fps == doctest::Approx(fps > 0 ? fps : 8));
        REQUIRE(result.count == 3);
        CHECK(std::ranges::equal(result.frame(0), clip.frame(0)));
        const Frames large = reel::resize_bicubic(edit.edited, 16, 24);
        CHECK(std::equal(large.pixel(1, 3, 0), large.pixel(1, 3, 0) + 3 * 24, result.pixel(2, 27, 36)));
    }
    // A clip that has become shorter meanwhile.
    CHECK(contains(
        message_of<reel::Error>([&] {
            static_cast<void>(reel::paste_into(
                {.clip = folder / "clip", .start = 2, .size = {60, 40}, .crop = {0, 0, 24, 16}, .allowed = allowed},
                edit, [](const Frames&, const reel::VideoSource&) {}));
        }),
        "it has fewer frames than before"));
}

TEST_CASE("a longer clip takes no more memory: two frames are held") {
    const reel_test::TemporaryFolder folder;
    const std::string file = folder / "clip.mp4";
    write_large(file, 40, 1280, 720);
    reel::Pasting pasting{.clip = file, .size = {1280, 720}, .crop = {600, 300, 64, 48}, .allowed = {1, 48, 64}};
    std::ranges::fill(pasting.allowed.values, PixelMask::whole);
    const reel::EditLayer edit{noisy(1, 48, 64, 5), {}};
    const auto peak_after = [&](int frames) {
        int seen = 0;
        std::size_t most = 0;
        try {
            static_cast<void>(reel::paste_into(pasting, edit, [&](const Frames&, const reel::VideoSource&) {
                most = std::max(most, reel::resident_bytes());
                if (++seen == frames) {
                    throw reel::Error("enough");
                }
            }));
        } catch (const reel::Error&) {
        }
        return most;
    };
    const std::size_t few = peak_after(8);
    const std::size_t many = peak_after(40);
    CHECK(many < few + 5 * 1280 * 720 * 3); // and not 32
}
