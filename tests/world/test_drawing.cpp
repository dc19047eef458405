// Scenes, captions and pictures of the drawn world.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "world/world.hpp"

namespace {

std::vector<std::uint8_t> picture(const world::Scene& scene, double time, bool with_object, int size) {
    std::vector<std::uint8_t> rgb(std::size_t{3} * static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
    world::draw(scene, time, with_object, size, rgb);
    return rgb;
}

template <class Action>
std::string message_of(const Action& action) {
    try {
        action();
    } catch (const reel::Error& error) {
        return error.what();
    }
    return {};
}

} // namespace

TEST_CASE("captions name who, the act, and with the object its colour") {
    using world::Act;
    using world::Colour;
    world::Scene scene = world::random_scene(1, Act::swinging, Colour::red);
    scene.woman = false;
    CHECK(world::caption(scene, false) == "a man is swinging");
    CHECK(world::caption(scene, true) == "a man is swinging a red tennis racket");
    scene = world::random_scene(1, Act::sitting, Colour::blue);
    scene.woman = true;
    CHECK(world::caption(scene, false) == "a woman is sitting");
    CHECK(world::caption(scene, true) == "a woman is sitting on a blue stool");
    scene = world::random_scene(1, Act::pulling, Colour::black);
    scene.woman = false;
    CHECK(world::caption(scene, true) == "a man is pulling a black suitcase");
    scene = world::random_scene(1, Act::carrying, Colour::yellow);
    scene.woman = true;
    CHECK(world::caption(scene, true) == "a woman is carrying a yellow toolbox");
}

TEST_CASE("a scene follows from its seed") {
    const auto first = picture(world::random_scene(7), 0.3, true, 64);
    CHECK(picture(world::random_scene(7), 0.3, true, 64) == first);
    CHECK(picture(world::random_scene(8), 0.3, true, 64) != first);
    CHECK(picture(world::random_scene(world::training_seed(7)), 0.3, true, 64) != first);
    std::set<std::vector<std::uint8_t>> different;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        different.insert(picture(world::random_scene(seed), 0, false, 16));
    }
    CHECK(different.size() == 200);
}

TEST_CASE("training seeds and those of held-out clips never meet") {
    CHECK(world::training_seed(0) == 0x8000000000000000ULL);
    CHECK(world::training_seed(5) != 5);
    CHECK(world::training_seed(world::training_seed(5)) == world::training_seed(5));
}

TEST_CASE("seeds give every act, colour, person and direction; what is asked for is given") {
    int acts[world::act_count] = {};
    int colours[world::colour_count] = {};
    int women = 0;
    int right = 0;
    for (std::uint64_t seed = 0; seed < 600; ++seed) {
        const world::Scene scene = world::random_scene(seed);
        ++acts[static_cast<int>(scene.act)];
        ++colours[static_cast<int>(scene.colour)];
        women += scene.woman ? 1 : 0;
        right += scene.place.facing > 0 ? 1 : 0;
    }
    // Five standard deviations and more from the mean.
    for (const int count : acts) {
        CHECK(count > 95);
    }
    for (const int count : colours) {
        CHECK(count > 50);
    }
    CHECK((women > 235 && women < 365));
    CHECK((right > 235 && right < 365));
    const world::Scene asked = world::random_scene(3, world::Act::pulling, world::Colour::green);
    CHECK(asked.act == world::Act::pulling);
    CHECK(asked.colour == world::Colour::green);
}

TEST_CASE("the colour of the object changes nothing that is seen without it") {
    const auto red = picture(world::random_scene(11, world::Act::carrying, world::Colour::red), 0.5, false, 64);
    CHECK(picture(world::random_scene(11, world::Act::carrying, world::Colour::white), 0.5, false, 64) == red);
}

TEST_CASE("a picture of twice the size is the same picture") {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        const world::Scene scene = world::random_scene(seed);
        const auto small = picture(scene, 0.4, true, 64);
        const auto large = picture(scene, 0.4, true, 128);
        double error = 0;
        for (std::size_t y = 0; y < 64; ++y) {
            for (std::size_t x = 0; x < 64 * 3; ++x) {
                const std::size_t pixel = x / 3 * 6 + x % 3;
                const int sum = large[2 * y * 384 + pixel] + large[2 * y * 384 + pixel + 3] +
                                large[(2 * y + 1) * 384 + pixel] + large[(2 * y + 1) * 384 + pixel + 3];
                error += std::abs(sum / 4.0 - small[y * 192 + x]);
            }
        }
        CHECK(error / (64 * 64 * 3) < 1.0);
    }
}

TEST_CASE("the person is as tall as the scene says and within the picture") {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        world::Scene scene = world::random_scene(seed);
        world::Canvas room(64);
        world::draw_room(room, scene);
        std::vector<std::uint8_t> empty(std::size_t{3} * 64 * 64);
        room.to_bytes(empty);
        const auto with_person = picture(scene, 0.2, false, 64);
        int top = 64;
        int bottom = 0;
        for (int i = 0; i < 64 * 64; ++i) {
            if (!std::equal(empty.begin() + 3 * i, empty.begin() + 3 * i + 3, with_person.begin() + 3 * i)) {
                top = std::min(top, i / 64);
                bottom = std::max(bottom, i / 64);
                CHECK((i % 64 > 0 && i % 64 < 63));
            }
        }
        const double height = (bottom + 1 - top) / static_cast<double>(scene.place.scale);
        CAPTURE(seed);
        if (scene.act == world::Act::sitting) {
            CHECK((height >= 34 && height <= 42));
        } else {
            CHECK((height >= 46 && height <= 53));
        }
        CHECK(bottom < 63);
        CHECK(top > 0);
    }
}

TEST_CASE("buffers and sizes that do not fit are refused") {
    const world::Scene scene = world::random_scene(0);
    std::vector<std::uint8_t> bytes(100);
    CHECK(message_of([&] { world::draw(scene, 0, true, 64, bytes); }) ==
          "world::draw: 64x64 pixels are 12288 bytes, got 100");
    CHECK(message_of([&] { world::draw_mask(scene, 0, 64, bytes); }) ==
          "world::draw_mask: 64x64 pixels are 4096 bytes, got 100");
    CHECK(message_of([&] { world::draw(scene, 0, true, 8, bytes); }) ==
          "world: pictures are 16 to 4096 pixels a side, asked for 8");
    CHECK(message_of([&] { (void)world::draw_clip(scene, 0, 64); }) != "");
    CHECK(message_of([&] { (void)world::draw_clip(scene, 8, 64, 0); }) != "");
}
