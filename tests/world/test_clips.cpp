// Clips of the drawn world: motion over time, and files.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <reel/io/video/video_reader.hpp>

#include "../io/temporary_folder.hpp"
#include "world/clip_files.hpp"
#include "world/world.hpp"

namespace {

struct Middle {
    double x = 0;
    double y = 0;
};

Middle middle_of_mask(const world::Clip& clip, int frame) {
    const int size = clip.twin.width;
    Middle sum;
    double pixels = 0;
    for (int i = 0; i < size * size; ++i) {
        if (clip.mask[static_cast<std::size_t>(frame * size * size + i)] != 0) {
            sum.x += i % size;
            sum.y += i / size;
            ++pixels;
        }
    }
    return {sum.x / pixels, sum.y / pixels};
}

double distance(Middle a, Middle b) {
    return std::hypot(a.x - b.x, a.y - b.y);
}

double psnr(const reel::Frames& a, const reel::Frames& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.rgb.size(); ++i) {
        const double d = static_cast<double>(a.rgb[i]) - b.rgb[i];
        sum += d * d;
    }
    return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.rgb.size()) / sum);
}

} // namespace

TEST_CASE("a clip is its scene at successive times, three ways") {
    const world::Scene scene = world::random_scene(4, world::Act::pulling, world::Colour::blue);
    const world::Clip clip = world::draw_clip(scene, 5, 64, 10);
    CHECK(clip.pretending.count == 5);
    CHECK(clip.twin.fps == 10);
    CHECK(clip.prompt == world::caption(scene, false));
    CHECK(clip.edit == world::caption(scene, true));
    std::vector<std::uint8_t> rgb(std::size_t{3} * 64 * 64);
    std::vector<std::uint8_t> mask(std::size_t{64} * 64);
    const double time = 3 / (10 * world::act_seconds);
    world::draw(scene, time, false, 64, rgb);
    CHECK(std::ranges::equal(rgb, clip.pretending.frame(3)));
    world::draw(scene, time, true, 64, rgb);
    CHECK(std::ranges::equal(rgb, clip.twin.frame(3)));
    world::draw_mask(scene, time, 64, mask);
    CHECK(std::equal(mask.begin(), mask.end(), clip.mask.begin() + 3 * 64 * 64));
}

TEST_CASE("objects move moderately from frame to frame, and a racket moves") {
    for (int act = 0; act < world::act_count; ++act) {
        for (std::uint64_t seed = 0; seed < 60; ++seed) {
            const world::Clip clip = world::draw_clip(world::random_scene(seed, static_cast<world::Act>(act)), 8, 64);
            double farthest = 0;
            CAPTURE(act);
            CAPTURE(seed);
            for (int i = 1; i < 8; ++i) {
                CHECK(distance(middle_of_mask(clip, i), middle_of_mask(clip, i - 1)) < 6);
                farthest = std::max(farthest, distance(middle_of_mask(clip, i), middle_of_mask(clip, 0)));
            }
            if (clip.scene.act == world::Act::swinging) {
                CHECK(farthest > 1.5); // pixels, of the middle, at the turning point of a slow swing too
            }
            for (int i = 1; i < 8; ++i) { // everybody moves
                CHECK_FALSE(std::ranges::equal(clip.pretending.frame(i), clip.pretending.frame(i - 1)));
            }
        }
    }
}

TEST_CASE("clips come back from their files") {
    const reel_test::TemporaryFolder folder;
    for (int act = 0; act < world::act_count; ++act) {
        const world::Clip clip =
            world::draw_clip(world::random_scene(static_cast<std::uint64_t>(act), static_cast<world::Act>(act)), 4, 64);
        const auto path = folder / world::numbered(act, 4);
        world::write_clip(path, clip, {{"prompt", clip.prompt}});
        const reel::Frames source = reel::read_video(path / "source.mp4");
        const reel::Frames twin = reel::read_video(path / "twin.mp4");
        REQUIRE(source.count == 4);
        REQUIRE(twin.rgb.size() == clip.twin.rgb.size());
        CHECK(source.fps == doctest::Approx(8));
        CHECK(psnr(source, clip.pretending) > 40);
        CHECK(psnr(twin, clip.twin) > 40);
        const reel::Frames mask = world::mask_frames(clip);
        for (int i = 0; i < 4; ++i) {
            CHECK(std::ranges::equal(reel::read_png(path / "twin" / (world::numbered(i, 4) + ".png")).frame(0),
                                     clip.twin.frame(i)));
            CHECK(std::ranges::equal(reel::read_png(path / "mask" / (world::numbered(i, 4) + ".png")).frame(0),
                                     mask.frame(i)));
        }
        CHECK(reel::read_png(path / "sheet.png").width == 4 * 66 + 2);
        CHECK(reel::read_json(path / "clip.json").at("prompt") == clip.prompt);
    }
    CHECK(world::numbered(7, 8) == "0007");
    CHECK(world::numbered(12345, 100000) == "12345");
}
