#include <reel/metrics/edit_measures.hpp>

#include "golden_metrics.hpp"
#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::Frames;
using namespace reel::metrics;

namespace {

/// A clip of grey waves that moves by (dy, dx) from frame to frame; `brighter` levels are added to the last frame.
Frames moving_clip(int frames, double dy, double dx, int brighter = 0) {
    Frames clip = reel::make_frames(frames, 48, 64);
    for (int f = 0; f < frames; ++f) {
        const Plane plane = golden_waves(clip.height, clip.width, f * dy, f * dx);
        for (int y = 0; y < clip.height; ++y) {
            for (int x = 0; x < clip.width; ++x) {
                const double level = 20 + 200 * plane.at(y, x) + (f == frames - 1 ? brighter : 0);
                std::fill_n(clip.pixel(f, y, x), 3, static_cast<std::uint8_t>(std::lround(level)));
            }
        }
    }
    return clip;
}

double largest_difference(const Flow& flow, const std::vector<double>& expected) {
    double largest = 0;
    const std::size_t pixels = flow.dy.values.size();
    REQUIRE(expected.size() == 2 * pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
        largest = std::max(largest, std::abs(flow.dy.values[i] - expected[i]));
        largest = std::max(largest, std::abs(flow.dx.values[i] - expected[pixels + i]));
    }
    return largest;
}

} // namespace

TEST_CASE("on one level and without damping, optical flow equals scikit-image's optical_flow_ilk") {
    const Plane a = golden_waves(24, 29);
    const Plane b = golden_waves(24, 29, 0.6, -0.8);
    for (const auto& [name, radius, iterations] :
         {std::tuple{"flow_radius7", 7, 5}, std::tuple{"flow_radius3", 3, 3}}) {
        const Flow flow =
            optical_flow(a, b, {.radius = radius, .iterations = iterations, .damping = 0, .smallest_side = 16});
        const double difference = largest_difference(flow, golden_metrics().at(name).get<std::vector<double>>());
        MESSAGE(std::string(name), ": largest difference in pixels ", difference);
        CHECK(difference < 1e-6);
    }
}

TEST_CASE("optical flow finds motion larger than its window's slopes allow, by its pyramid") {
    // Smooth pictures of long waves: at full size alone, nine pixels are out of reach.
    const auto picture = [](double dy, double dx) {
        Plane plane(64, 80);
        for (int y = 0; y < 64; ++y) {
            for (int x = 0; x < 80; ++x) {
                plane.at(y, x) = 0.5 + 0.25 * std::sin((x - dx) * 0.21 + 1) * std::cos((y - dy) * 0.17) +
                                 0.15 * std::sin((x - dx) * 0.45 - (y - dy) * 0.4);
            }
        }
        return plane;
    };
    const auto error = [&](const Flow& flow) {
        double largest = 0;
        for (int y = 16; y < 48; ++y) {
            for (int x = 16; x < 64; ++x) {
                largest = std::max({largest, std::abs(flow.dy.at(y, x) - 4), std::abs(flow.dx.at(y, x) + 8)});
            }
        }
        return largest;
    };
    CHECK(error(optical_flow(picture(0, 0), picture(4, -8))) < 0.1);
    CHECK(error(optical_flow(picture(0, 0), picture(4, -8), {.smallest_side = 1000})) > 1);
    // Flat pictures do not move.
    const Plane flat(40, 40);
    const Flow none = optical_flow(flat, flat);
    CHECK(std::ranges::all_of(none.dy.values, [](double d) { return d == 0; }));
    CHECK_THROWS_AS(static_cast<void>(optical_flow(flat, Plane(40, 41))), reel::Error);
}

TEST_CASE("a clip that moves as its source has no warped difference; what flickers has one") {
    const Frames source = moving_clip(3, 1.5, -2.25);
    const Motion motion = motion_of(source);
    REQUIRE(motion.forward.size() == 2);
    const WarpedDifference own = warped_difference(source, motion);
    MESSAGE("the source itself: ", own.absolute, " levels, ", own.counted, " of the pixels");
    CHECK(own.absolute < 2.5); // what linear interpolation takes off these waves
    CHECK(own.counted > 0.7);
    CHECK(own.counted < 1.0); // what leaves the picture is not counted
    // Without motion, neighbouring frames differ much.
    Motion still = motion;
    for (Flow& flow : still.forward) {
        std::ranges::fill(flow.dy.values, 0.0);
        std::ranges::fill(flow.dx.values, 0.0);
    }
    CHECK(warped_difference(source, still).absolute > 20);
    // One of two pairs flickers by 10 levels.
    const WarpedDifference flickers = warped_difference(moving_clip(3, 1.5, -2.25, 10), motion);
    CHECK(flickers.absolute == doctest::Approx(5).epsilon(0.2));
    CHECK(flickers.squared == doctest::Approx(50).epsilon(0.2));
    // Another picture that moves alike is as steady.
    Frames inverted = source;
    for (std::uint8_t& byte : inverted.rgb) {
        byte = static_cast<std::uint8_t>(255 - byte);
    }
    CHECK(warped_difference(inverted, motion).absolute == doctest::Approx(own.absolute).epsilon(1e-9));
    // One that stands still is not.
    CHECK(warped_difference(moving_clip(3, 0, 0), motion).absolute > 20);
}

TEST_CASE("excluded pixels are out of the warped difference in both frames") {
    const Frames source = moving_clip(2, 0, 3);
    const Motion motion = motion_of(source);
    Frames edited = source;
    Marks marks(2 * 48 * 64, 0);
    for (int y = 10; y < 20; ++y) {
        for (int x = 30; x < 40; ++x) {
            std::fill_n(edited.pixel(1, y, x), 3, std::uint8_t{255});
            marks[static_cast<std::size_t>((48 + y) * 64 + x)] = 1;
        }
    }
    const Marks around = grown(marks, source, 1); // the warped frame mixes neighbours
    const double own = warped_difference(source, motion).absolute;
    CHECK(warped_difference(edited, motion).absolute > own + 1);
    const WarpedDifference outside = warped_difference(edited, motion, around);
    CHECK(outside.absolute < own * 1.1 + 0.1);
    CHECK(outside.counted < warped_difference(edited, motion).counted);
}

TEST_CASE("pixels that are covered in the next frame are not counted") {
    // A white square appears on a picture that stands still.
    Frames clip = moving_clip(2, 0, 0);
    for (int y = 12; y < 36; ++y) {
        for (int x = 28; x < 52; ++x) {
            std::fill_n(clip.pixel(1, y, x), 3, std::uint8_t{255});
        }
    }
    const Motion motion = motion_of(clip);
    int covered = 0;
    int far = 0;
    for (int y = 0; y < 48; ++y) {
        for (int x = 0; x < 64; ++x) {
            const int seen = motion.visible[0][static_cast<std::size_t>(y * 64 + x)];
            covered += y >= 20 && y < 28 && x >= 36 && x < 44 ? seen : 0;
            far += x < 6 ? seen : 0;
        }
    }
    MESSAGE("seen: ", covered, " of 64 covered pixels, ", far, " of 288 far away");
    CHECK(covered < 16);
    CHECK(far > 270);
}

TEST_CASE("an edit's measures are those of their parts") {
    const Frames source = moving_clip(2, 0.5, 1);
    const Motion motion = motion_of(source);
    Frames edited = source;
    for (int f = 0; f < 2; ++f) {
        for (int y = 8; y < 24; ++y) {
            for (int x = 16; x < 48; ++x) {
                std::fill_n(edited.pixel(f, y, x), 3, std::uint8_t{255});
            }
        }
    }
    for (std::uint8_t& byte : edited.rgb) {
        byte = static_cast<std::uint8_t>(byte < 255 ? byte + 1 : byte);
    }
    const MeasureOptions options{.change = {.threshold = 0.05}};
    const EditMeasures m = measure_edit(edited, source, motion, options);
    const Marks marks = grown(changed_pixels(edited, source, options.change), source, 2);
    CHECK(m.psnr == psnr(edited, source));
    CHECK(m.psnr_outside == psnr(edited, source, marks));
    CHECK(m.psnr_outside == doctest::Approx(20 * std::log10(255.0)).epsilon(0.02));
    CHECK(m.ssim == ssim(edited, source));
    CHECK(m.ssim_outside == ssim(edited, source, {}, marks));
    CHECK(m.ssim_outside > m.ssim);
    CHECK(m.changed_share == doctest::Approx(512.0 / 3072).epsilon(0.02));
    CHECK(m.changed_frames == 1);
    CHECK(m.changed_x == doctest::Approx(0.5).epsilon(0.01));
    CHECK(m.changed_y == doctest::Approx(1.0 / 3).epsilon(0.01));
    CHECK(m.changed_left == 0.25);
    CHECK(m.changed_right == 0.75);
    CHECK(m.changed_top == doctest::Approx(8.0 / 48));
    CHECK(m.changed_bottom == 0.5);
    CHECK(m.warped == warped_difference(edited, motion).absolute);
    CHECK(m.warped_outside == warped_difference(edited, motion, marks).absolute);
    CHECK(m.warped_reference == warped_difference(source, motion).absolute);
    CHECK(named_measures(m)[2].first == "psnr_outside");
    CHECK(named_measures(m)[2].second == m.psnr_outside);

    const EditMeasures same = measure_edit(source, source, motion);
    CHECK(std::isinf(same.psnr));
    CHECK(same.changed_share == 0);
    CHECK(std::isnan(same.changed_x));
    Frames white = source;
    std::ranges::fill(white.rgb, std::uint8_t{255});
    const EditMeasures all = measure_edit(white, source, motion, {.change = {.threshold = 0.01, .despeckle = false}});
    CHECK(all.changed_share == 1);
    CHECK(std::isnan(all.psnr_outside));
    CHECK(std::isnan(all.ssim_outside));
    CHECK_THROWS_AS(static_cast<void>(measure_edit(reel::make_frames(2, 8, 8), reel::make_frames(2, 8, 8), motion)),
                    reel::Error);
    const Frames one = reel::make_frames(1, 16, 16);
    CHECK(warped_difference(one, motion_of(one)).counted == 0);
}
