// The measures of an inserted object, on clips made for the purpose.

#include <doctest/doctest.h>

#include <cmath>

#include <reel/core/error.hpp>

#include "evaluation/evaluation_table.hpp"
#include "io/temporary_folder.hpp"
#include "world/insertion_metrics.hpp"
#include "world/world.hpp"

using metrics::Marks;
using reel::Frames;

namespace {

constexpr int side = 16;

/// A grey clip.
Frames grey(int count, std::uint8_t level = 100) {
    Frames clip = reel::make_frames(count, side, side, 8);
    std::ranges::fill(clip.rgb, level);
    return clip;
}

void paint(Frames& clip, int frame, int top, int left, int height, int width, std::array<std::uint8_t, 3> colour) {
    for (int y = top; y < top + height; ++y) {
        for (int x = left; x < left + width; ++x) {
            std::copy_n(colour.begin(), 3, clip.pixel(frame, y, x));
        }
    }
}

/// Marks of a rectangle in every frame.
Marks rectangle(const Frames& clip, int top, int left, int height, int width) {
    Frames white = reel::make_frames(clip.count, clip.height, clip.width);
    for (int f = 0; f < clip.count; ++f) {
        paint(white, f, top, left, height, width, {255, 255, 255});
    }
    return metrics::changed_pixels(white, reel::make_frames(clip.count, clip.height, clip.width), 0.5);
}

int count(const Marks& marks) {
    return static_cast<int>(std::ranges::count_if(marks, [](std::uint8_t mark) { return mark != 0; }));
}

} // namespace

TEST_CASE("a pixel has changed when one channel differs by more than the threshold") {
    const Frames reference = grey(1);
    Frames result = reference;
    result.pixel(0, 3, 4)[1] = 145; // 45 / 255 = 0.176
    CHECK(count(metrics::changed_pixels(result, reference, 0.18)) == 0);
    result.pixel(0, 3, 4)[1] = 146; // 0.1804
    result.pixel(0, 9, 9)[2] = 54;
    const Marks marks = metrics::changed_pixels(result, reference, 0.18);
    CHECK(count(marks) == 2);
    CHECK(marks[3 * side + 4] == 1);
    CHECK(marks[9 * side + 9] == 1);
    CHECK_THROWS_AS(static_cast<void>(metrics::changed_pixels(result, grey(2), 0.18)), reel::Error);
}

TEST_CASE("intersection over union is averaged over frames; an empty frame is right when the truth is") {
    const Frames clip = grey(3);
    const std::size_t pixels = side * side;
    Marks truth = rectangle(clip, 0, 0, 4, 4);
    Marks found = rectangle(clip, 2, 0, 4, 4); // 8 of 24
    std::fill_n(truth.begin() + 2 * pixels, pixels, std::uint8_t{0});
    std::fill_n(found.begin() + 2 * pixels, pixels, std::uint8_t{0});
    CHECK(metrics::mean_iou(found, truth, clip) == doctest::Approx((1.0 / 3 + 1.0 / 3 + 1) / 3));
    std::fill_n(found.begin() + pixels, pixels, std::uint8_t{0});
    CHECK(metrics::mean_iou(found, truth, clip) == doctest::Approx((1.0 / 3 + 0 + 1) / 3));
}

TEST_CASE("the background is what is not excluded; flicker is what changes there from frame to frame") {
    const Frames reference = grey(2);
    Frames result = reference;
    for (int f = 0; f < 2; ++f) {
        paint(result, f, 4, 4, 3, 3, {255, 0, 0});
    }
    const Marks object = rectangle(reference, 4, 4, 3, 3);
    CHECK(metrics::background_psnr(result, reference, object) == 99);
    CHECK(metrics::flicker(result, reference, object) == 0);
    CHECK(metrics::psnr(result, reference) ==
          doctest::Approx(10 * std::log10(255.0 * 255 / (9 * (155.0 * 155 + 2 * 100 * 100) / (3 * side * side)))));
    // every channel of the rest 5 levels off in both frames: steady
    for (std::size_t i = 0; i < result.rgb.size(); ++i) {
        result.rgb[i] = object[i / 3] != 0 ? result.rgb[i] : 105;
    }
    CHECK(metrics::background_psnr(result, reference, object) == doctest::Approx(20 * std::log10(255.0 / 5)));
    CHECK(metrics::flicker(result, reference, object) == 0);
    // 5 up in the first frame and 1 down in the second
    for (std::size_t i = result.frame_bytes(); i < result.rgb.size(); ++i) {
        result.rgb[i] = object[i / 3] != 0 ? result.rgb[i] : 99;
    }
    CHECK(metrics::flicker(result, reference, object) == doctest::Approx(6));
    CHECK(metrics::background_psnr(result, reference, object) ==
          doctest::Approx(10 * std::log10(255.0 * 255 / ((25 + 1) / 2.0))));
    // what moves in the reference as well is no flicker
    CHECK(metrics::flicker(result, result, Marks(object.size(), 0)) == 0);
    CHECK_THROWS_AS(static_cast<void>(metrics::background_psnr(result, reference, Marks(object.size(), 1))),
                    reel::Error);
}

TEST_CASE("what has changed outside is counted to the byte") {
    const Frames reference = grey(2);
    Frames result = reference;
    const Marks object = rectangle(reference, 4, 4, 3, 3);
    paint(result, 0, 4, 4, 3, 3, {255, 0, 0});
    CHECK(metrics::outside_changed(result, reference, object) == 0);
    result.pixel(1, 0, 0)[2] ^= 1;
    result.pixel(1, 0, 1)[0] ^= 8;
    result.pixel(1, 0, 1)[1] ^= 8;
    CHECK(metrics::outside_changed(result, reference, object) == doctest::Approx(2.0 / (2 * side * side - 2 * 9)));
    CHECK_THROWS_AS(static_cast<void>(metrics::outside_changed(result, reference, Marks(object.size(), 1))),
                    reel::Error);
}

TEST_CASE("marks grow and shrink in squares, cut off at the edges") {
    const Frames clip = grey(1);
    CHECK(count(metrics::grown(rectangle(clip, 5, 5, 1, 1), clip, 2)) == 25);
    CHECK(count(metrics::grown(rectangle(clip, 0, 0, 1, 1), clip, 2)) == 9);
    CHECK(metrics::grown(rectangle(clip, 4, 4, 5, 5), clip, 2, false) == rectangle(clip, 6, 6, 1, 1));
}

TEST_CASE("objects are regions of enough pixels; gaps of a pixel are closed") {
    Frames clip = grey(4);
    const Frames reference = clip;
    paint(clip, 0, 2, 2, 4, 4, {255, 0, 0});
    paint(clip, 1, 2, 2, 4, 4, {255, 0, 0});
    paint(clip, 1, 2, 7, 4, 4, {255, 0, 0}); // one column between
    paint(clip, 2, 2, 2, 4, 4, {255, 0, 0});
    paint(clip, 2, 10, 10, 4, 4, {255, 0, 0});
    paint(clip, 3, 2, 2, 3, 3, {255, 0, 0}); // nine pixels
    const auto counts = metrics::count_objects(metrics::changed_pixels(clip, reference, 0.18), clip, 12);
    CHECK(counts == std::vector<int>{1, 1, 2, 0});
    CHECK(metrics::has_one_object({1, 1, 2, 1}, {1, 1, 1, 1}, 0.25));
    CHECK(!metrics::has_one_object({1, 0, 2, 1}, {1, 1, 1, 1}, 0.25));
    CHECK(metrics::has_one_object({1, 0, 2, 1}, {1, 0, 2, 1}, 0));
    CHECK(metrics::has_one_object({1, 1, 1, 1}, {2, 2, 0, 1}, 0)); // one is never wrong
    CHECK(!metrics::has_one_object({2, 2, 2, 2}, {1, 1, 1, 1}, 0.25));
}

TEST_CASE("the colour is that of the pixels that changed most") {
    const std::array<std::array<double, 3>, 3> palette{{{0.9, 0.1, 0.1}, {0.1, 0.2, 0.9}, {0.05, 0.05, 0.05}}};
    const Frames reference = grey(1);
    Frames result = reference;
    const Marks marks = rectangle(reference, 4, 4, 6, 6);
    paint(result, 0, 4, 4, 6, 6, {100, 100, 130}); // a bluish edge, more than half of the pixels
    paint(result, 0, 5, 5, 4, 4, {220, 30, 30});
    CHECK(metrics::nearest_colour(result, reference, marks, palette) == 0);
    paint(result, 0, 5, 5, 4, 4, {10, 12, 14});
    CHECK(metrics::nearest_colour(result, reference, marks, palette) == 2);
    CHECK(metrics::nearest_colour(result, reference, Marks(marks.size(), 0), palette) == std::nullopt);
}

TEST_CASE("a drawn twin is a perfect edit in every act and colour, and no edit is none") {
    std::vector<std::array<double, 3>> palette;
    for (int i = 0; i < world::colour_count; ++i) {
        palette.push_back(world::rgb_of(static_cast<world::Colour>(i)));
    }
    for (int i = 0; i < world::act_count * world::colour_count; ++i) {
        const auto act = static_cast<world::Act>(i % world::act_count);
        const auto colour = static_cast<world::Colour>(i / world::act_count);
        const world::Clip clip =
            world::draw_clip(world::random_scene(static_cast<std::uint64_t>(i), act, colour), 4, 64);
        const metrics::Truth truth{clip.pretending, clip.pretending, clip.mask, palette};
        const metrics::Insertion twin = metrics::measure(clip.twin, truth);
        INFO(clip.edit, ", seed ", i, ", IoU ", twin.iou);
        CHECK(twin.iou > 0.7); // an object need not differ everywhere from what it hides
        CHECK(twin.background > 45);
        CHECK(twin.flicker < 0.1);
        CHECK(twin.colour == static_cast<int>(colour));
        CHECK(twin.one_object);
        const metrics::Insertion none = metrics::measure(clip.pretending, truth);
        CHECK(none.iou == 0);
        CHECK(none.background == 99);
        CHECK(none.colour == std::nullopt);
        CHECK(!none.one_object);
    }
}

TEST_CASE("variants of edit-friendly inversion") {
    const auto variants = evaluation::variants_of("reference-ledits,source-box-edit_friendly-untuned");
    REQUIRE(variants.size() == 2);
    CHECK((variants[0].edit.edit_friendly() && !variants[0].source_caption() &&
           variants[0].edit.control.control == reel::ControlKind::ledits));
    CHECK((variants[1].edit.edit_friendly() && variants[1].source_caption() && !variants[1].edit.control.given()));
    CHECK_THROWS_AS(static_cast<void>(evaluation::variants_of("source-delta-ledits")), reel::Error);
    CHECK_THROWS_AS(static_cast<void>(evaluation::variants_of("source-masactrl-no-inversion")), reel::Error);
}

TEST_CASE("variants by name") {
    const auto variants = evaluation::variants_of("reference,source-mask-untuned,no-inversion,neither");
    REQUIRE(variants.size() == 4);
    CHECK((!variants[0].source_caption() && !variants[0].edit.masked() && variants[0].tuned &&
           variants[0].edit.inverted()));
    CHECK((variants[1].source_caption() && variants[1].edit.masked() && !variants[1].tuned &&
           variants[1].edit.inverted()));
    CHECK((!variants[2].source_caption() && !variants[2].edit.masked() && variants[2].tuned &&
           !variants[2].edit.inverted()));
    CHECK((!variants[3].source_caption() && !variants[3].tuned && !variants[3].edit.inverted()));
    CHECK(variants[1].edit.mask == reel::MaskKind::difference);
    const auto drafted = evaluation::variants_of("source-delta-no-inversion");
    CHECK((drafted[0].source_caption() && drafted[0].edit.mask == reel::MaskKind::delta && drafted[0].tuned &&
           !drafted[0].edit.inverted() && !drafted[0].edit.overlay));
    const auto given = evaluation::variants_of("source-delta-given-untuned-overlay,reference-given");
    using evaluation::GivenPlace;
    CHECK((given[0].given == GivenPlace::object && given[0].edit.overlay && !given[0].tuned &&
           given[0].edit.mask == reel::MaskKind::delta));
    CHECK((given[1].given == GivenPlace::object && !given[1].source_caption() && !given[1].edit.masked() &&
           variants[0].given == GivenPlace::none));
    const auto controlled =
        evaluation::variants_of("source-prompt_to_prompt,source-delta-box-masactrl-untuned-overlay");
    CHECK((controlled[0].edit.control.control == reel::ControlKind::prompt_to_prompt && controlled[0].tuned));
    CHECK((controlled[1].edit.control.control == reel::ControlKind::masactrl && !controlled[1].tuned &&
           controlled[1].given == GivenPlace::box && controlled[1].edit.mask == reel::MaskKind::delta));
    const auto overlaid = evaluation::variants_of("source-delta-untuned-no-inversion-overlay,source-delta-overlay");
    CHECK((overlaid[0].edit.overlay && !overlaid[0].tuned && !overlaid[0].edit.inverted()));
    CHECK((overlaid[1].edit.overlay && overlaid[1].tuned && overlaid[1].edit.inverted() &&
           overlaid[1].edit.mask == reel::MaskKind::delta));
    for (const char* wrong : {"", "refrence", "source,source", "reference-masactrl", "source-masactrl-no-inversion"}) {
        CHECK_THROWS_AS(static_cast<void>(evaluation::variants_of(wrong)), reel::Error);
    }
}

TEST_CASE("boxes around what is marked are as much larger in either direction, and end with the frame") {
    const Frames clip = grey(1);
    const auto same = [&](const Marks& found, int top, int left, int height, int width) {
        CHECK(found == rectangle(clip, top, left, height, width));
    };
    same(metrics::boxes_around(rectangle(clip, 4, 6, 4, 2), clip, 1.5), 3, 5, 6, 4);
    same(metrics::boxes_around(rectangle(clip, 4, 6, 4, 4), clip, 1), 4, 6, 4, 4);
    same(metrics::boxes_around(rectangle(clip, 0, 12, 2, 4), clip, 2), 0, 10, 3, 6);
    same(metrics::boxes_around(Marks(rectangle(clip, 0, 0, 1, 1).size(), 0), clip, 1.5), 0, 0, 0, 0);
}

TEST_CASE("rows come back as they were written; the summary averages by act") {
    std::vector<evaluation::Row> rows;
    for (std::uint64_t i = 0; i < 4; ++i) {
        metrics::Insertion m{.iou = 0.125 * static_cast<double>(i),
                             .background = 30,
                             .background_source = 29.5,
                             .flicker = 1.5,
                             .colour = {},
                             .objects = 1.25,
                             .one_object = i != 0,
                             .outside_changed = 0.0625 * static_cast<double>(i)};
        if (i > 1) {
            m.colour = 2;
        }
        rows.push_back({i, i % 2 == 0 ? "swinging" : "sitting", "blue", "source-mask", m, 37, 0.5});
    }
    const reel_test::TemporaryFolder folder;
    evaluation::write_rows(folder / "clips.csv", rows);
    const auto read = evaluation::read_rows(folder / "clips.csv");
    REQUIRE(read.size() == 4);
    evaluation::write_rows(folder / "again.csv", read);
    CHECK(reel_test::read_text(folder / "again.csv") == reel_test::read_text(folder / "clips.csv"));
    CHECK(read[3].measures.colour == 2);
    CHECK(read[3].measures.outside_changed == 0.1875);
    CHECK(read[0].measures.colour == std::nullopt);
    CHECK(evaluation::read_rows(folder / "nothing.csv").empty());
    reel_test::put_text(folder / "bad.csv", "header\n1,swinging,red,twin,many\n");
    CHECK_THROWS_AS(static_cast<void>(evaluation::read_rows(folder / "bad.csv")), reel::Error);

    const auto summary = evaluation::summarise(rows);
    REQUIRE(summary.size() == 3);
    CHECK(summary[0].act == "swinging");
    CHECK(summary[0].clips == 2);
    CHECK(summary[0].iou == doctest::Approx(0.125));
    CHECK(summary[0].one_object == 0.5);
    CHECK(summary[0].outside_changed == 0.0625);
    CHECK(summary[2].act == "all");
    CHECK(summary[2].clips == 4);
    CHECK(summary[2].iou == doctest::Approx(0.1875));
    CHECK(summary[2].right_colour == 0.5);
    CHECK(evaluation::summary(rows).find(
              "| source-mask | sitting | 2 | 0.25 | 30.0 | 29.5 | 1.50 | 50 % | 100 % | 12.50 % | 0.5 |") !=
          std::string::npos);
}
