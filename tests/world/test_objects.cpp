// What an insertion is judged by: masks, twins and colours of the drawn world.
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <vector>

#include "world/world.hpp"

namespace {

/// One moment of a scene, all three ways.
struct Moment {
    Moment(const world::Scene& scene, double time, int side)
        : size(side), pretending(3 * count()), twin(3 * count()), mask(count()) {
        world::draw(scene, time, false, size, pretending);
        world::draw(scene, time, true, size, twin);
        world::draw_mask(scene, time, size, mask);
    }

    [[nodiscard]] std::size_t count() const { return static_cast<std::size_t>(size) * static_cast<std::size_t>(size); }
    [[nodiscard]] bool at(int x, int y) const {
        return x >= 0 && y >= 0 && x < size && y < size && mask[static_cast<std::size_t>(y * size + x)] != 0;
    }
    /// The largest difference of a channel between twin and pretending, 0 to 1.
    [[nodiscard]] double change(std::size_t pixel) const {
        int most = 0;
        for (std::size_t c = 0; c < 3; ++c) {
            most = std::max(most, std::abs(pretending[3 * pixel + c] - twin[3 * pixel + c]));
        }
        return most / 255.0;
    }

    int size;
    std::vector<std::uint8_t> pretending;
    std::vector<std::uint8_t> twin;
    std::vector<std::uint8_t> mask;
};

/// Regions of pixels that touch at sides or corners.
int regions(const Moment& moment) {
    std::vector<bool> seen(moment.count());
    int found = 0;
    for (int start = 0; start < moment.size * moment.size; ++start) {
        if (!moment.at(start % moment.size, start / moment.size) || seen[static_cast<std::size_t>(start)]) {
            continue;
        }
        ++found;
        std::vector<int> open{start};
        seen[static_cast<std::size_t>(start)] = true;
        while (!open.empty()) {
            const int pixel = open.back();
            open.pop_back();
            for (int k = 0; k < 9; ++k) {
                const int x = pixel % moment.size + k % 3 - 1;
                const int y = pixel / moment.size + k / 3 - 1;
                if (moment.at(x, y) && !seen[static_cast<std::size_t>(y * moment.size + x)]) {
                    seen[static_cast<std::size_t>(y * moment.size + x)] = true;
                    open.push_back(y * moment.size + x);
                }
            }
        }
    }
    return found;
}

/// Calls action(scene, moment) for many scenes of every act at different times.
template <class Action>
void for_each_moment(int scenes, int size, const Action& action) {
    for (int act = 0; act < world::act_count; ++act) {
        for (int i = 0; i < scenes; ++i) {
            const world::Scene scene = world::random_scene(static_cast<std::uint64_t>(i), static_cast<world::Act>(act));
            const double time = (i * 7 % scenes) / static_cast<double>(scenes);
            CAPTURE(act);
            CAPTURE(i);
            action(scene, Moment(scene, time, size));
        }
    }
}

} // namespace

TEST_CASE("the object is one region, large enough, and never cut by the picture's edge") {
    for (const int size : {64, 128}) {
        const int scale = size / 64;
        for_each_moment(size == 64 ? 300 : 60, size, [&](const world::Scene&, const Moment& moment) {
            int pixels = 0;
            bool cut = false;
            for (int i = 0; i < size * size; ++i) {
                if (moment.at(i % size, i / size)) {
                    ++pixels;
                    cut |= i % size == 0 || i % size == size - 1 || i / size == 0 || i / size == size - 1;
                }
            }
            CHECK(pixels >= 90 * scale * scale);
            CHECK(pixels <= 300 * scale * scale);
            CHECK_FALSE(cut);
            CHECK(regions(moment) == 1);
        });
    }
}

TEST_CASE("pretending and twin are equal but for the object and its soft edge") {
    for (const int size : {64, 128}) {
        for_each_moment(size == 64 ? 200 : 40, size, [&](const world::Scene&, const Moment& moment) {
            for (std::size_t i = 0; i < moment.count(); ++i) {
                const int x = static_cast<int>(i) % size;
                const int y = static_cast<int>(i) / size;
                bool near = false;
                for (int k = 0; k < 25; ++k) {
                    near |= moment.at(x + k % 5 - 2, y + k / 5 - 2);
                }
                if (!near) {
                    REQUIRE(moment.change(i) == 0);
                }
            }
        });
    }
}

TEST_CASE("the object stands out from what it covers") {
    int all_pixels = 0;
    int all_clear = 0;
    int all_changed = 0;
    for_each_moment(300, 64, [&](const world::Scene&, const Moment& moment) {
        int pixels = 0;
        int clear = 0;   // well
        int changed = 0; // as an insertion is measured
        for (std::size_t i = 0; i < moment.count(); ++i) {
            if (moment.mask[i] != 0) {
                ++pixels;
                clear += moment.change(i) > 0.25 ? 1 : 0;
                changed += moment.change(i) > 0.18 ? 1 : 0;
            }
        }
        all_pixels += pixels;
        all_clear += clear;
        all_changed += changed;
        CHECK(clear >= 0.85 * pixels);
        CHECK(changed >= 0.9 * pixels);
    });
    CHECK(all_clear >= 0.98 * all_pixels);
    CHECK(all_changed >= 0.999 * all_pixels);
}

TEST_CASE("the mean colour of the object is nearest to the one named") {
    for_each_moment(150, 64, [&](const world::Scene& scene, const Moment& moment) {
        std::array<double, 3> mean{};
        double pixels = 0;
        for (std::size_t i = 0; i < moment.count(); ++i) {
            if (moment.mask[i] != 0) {
                ++pixels;
                for (std::size_t c = 0; c < 3; ++c) {
                    mean[c] += moment.twin[3 * i + c] / 255.0;
                }
            }
        }
        int nearest = -1;
        double least = 10;
        for (int colour = 0; colour < world::colour_count; ++colour) {
            double distance = 0;
            for (std::size_t c = 0; c < 3; ++c) {
                const double d = mean[c] / pixels - world::rgb_of(static_cast<world::Colour>(colour))[c];
                distance += d * d;
            }
            if (distance < least) {
                least = distance;
                nearest = colour;
            }
        }
        CHECK(nearest == static_cast<int>(scene.colour));
        CHECK(least < 0.2 * 0.2);
    });
}

TEST_CASE("without the object no pixel is of one of its colours, but for hair, skin and shoes") {
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        const world::Scene scene = world::random_scene(seed);
        for (const world::Rgb& colour : {scene.room.wall_top, scene.room.wall_bottom, scene.room.floor,
                                         scene.room.panel, scene.looks.shirt, scene.looks.trousers}) {
            CHECK(world::difference_from_paints(colour) > 0.25F);
        }
    }
}
