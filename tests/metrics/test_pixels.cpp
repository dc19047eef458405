#include <numeric>

#include <reel/io/pictures/bicubic.hpp>
#include <reel/metrics/changed_region.hpp>
#include <reel/metrics/psnr.hpp>
#include <reel/metrics/ssim.hpp>

#include "golden_metrics.hpp"
#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::Frames;
using namespace reel::metrics;

namespace {

std::vector<float> floats_of(const Frames& clip) {
    std::vector<float> values(clip.rgb.size());
    std::ranges::transform(clip.rgb, values.begin(),
                           [](std::uint8_t byte) { return static_cast<float>(byte) / 255.0F; });
    return values;
}

ClipView<float> view_in(const std::vector<float>& values, const Frames& like) {
    return {values, like.count, like.height, like.width, 3, 1};
}

void check(const char* name, double found, double bound = 1e-9) {
    CAPTURE(std::string(name));
    CHECK(std::abs(found - golden_number(name)) < bound);
}

} // namespace

TEST_CASE("PSNR equals scikit-image's") {
    const Frames a = golden_clip(0);
    const Frames b = golden_clip(1);
    check("mse", mean_squared_error(a, b));
    check("psnr", psnr(a, b));
    const Marks excluded = changed_pixels(a, b, {.threshold = 0.1, .despeckle = false});
    check("psnr_outside", psnr(a, b, excluded));
    const auto x = floats_of(a);
    const auto y = floats_of(b);
    check("psnr_float", psnr(view_in(x, a), view_in(y, b)));
    CHECK(psnr(a, a) == std::numeric_limits<double>::infinity());
    CHECK(mean_squared_error(b, b) == 0);
}

TEST_CASE("SSIM equals scikit-image's, with Gaussian and with uniform windows, whole and outside a region") {
    const Frames a = golden_clip(0);
    const Frames b = golden_clip(1);
    const SsimOptions uniform{.gaussian = false, .sample_covariance = true};
    const Marks excluded = changed_pixels(a, b, {.threshold = 0.1, .despeckle = false});
    check("ssim_gaussian", ssim(a, b));
    check("ssim_uniform", ssim(a, b, uniform));
    check("ssim_gaussian_outside", ssim(a, b, {}, excluded));
    check("ssim_uniform_outside", ssim(a, b, uniform, excluded));
    for (int f = 0; f < a.count; ++f) {
        const auto one = [&](const Frames& clip) {
            const auto frame = clip.frame(f);
            return Frames{1, clip.height, clip.width, {frame.begin(), frame.end()}};
        };
        const auto at = static_cast<std::size_t>(f);
        CHECK(ssim(one(a), one(b)) == doctest::Approx(golden_metrics()["ssim_gaussian_frames"][at].get<double>()));
        CHECK(ssim(one(a), one(b), uniform) ==
              doctest::Approx(golden_metrics()["ssim_uniform_frames"][at].get<double>()));
    }
    const auto x = floats_of(a);
    const auto y = floats_of(b);
    check("ssim_float", ssim(view_in(x, a), view_in(y, b)));
    CHECK(ssim(a, a) == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("the changed region: marks, size, centroid and box equal SciPy's and scikit-image's") {
    const Frames a = golden_clip(0);
    const Frames b = golden_clip(1);
    const auto per_frame = [&](const Marks& marks) {
        std::vector<int> counts;
        for (int f = 0; f < a.count; ++f) {
            const auto first = marks.begin() + f * 24 * 31;
            counts.push_back(std::accumulate(first, first + 24 * 31, 0));
        }
        return counts;
    };
    const Marks raw = changed_pixels(a, b, {.threshold = 0.1, .despeckle = false});
    CHECK(per_frame(raw) == golden_metrics()["changed"].get<std::vector<int>>());
    CHECK(per_frame(grown(raw, a, 2)) == golden_metrics()["grown"].get<std::vector<int>>());
    CHECK(grown(raw, a, 0) == raw);
    const Marks marks = changed_pixels(a, b, {.threshold = 0.1});
    CHECK(marks == majority(raw, a));
    const auto regions = regions_of(marks, a);
    REQUIRE(regions.size() == 3);
    for (std::size_t f = 0; f < 3; ++f) {
        const auto expected = golden_metrics()["regions"][f].get<std::vector<double>>();
        REQUIRE(regions[f].has_value() == !expected.empty());
        if (regions[f]) {
            const Region& r = *regions[f];
            CHECK(std::vector<double>{double(r.pixels), r.y, r.x, double(r.top), double(r.left), double(r.bottom),
                                      double(r.right)} == expected);
        }
    }
}

TEST_CASE("the threshold is a share of the range, and what is equal to it has not changed") {
    Frames a = reel::make_frames(1, 1, 3);
    Frames b = a;
    b.rgb = {51, 0, 0, 0, 52, 0, 0, 0, 0};
    CHECK(changed_pixels(a, b, {.threshold = 0.2, .despeckle = false}) == Marks{0, 1, 0});
    CHECK(regions_of(Marks{0, 1, 1}, a)[0]->x == 1.5);
}

TEST_CASE("clips that do not fit, and nothing left to measure, are errors") {
    const Frames a = golden_clip(0);
    const Frames small = reel::make_frames(3, 24, 30);
    const Frames tiny = reel::make_frames(1, 10, 40);
    const auto message = [](const auto& action) {
        return message_of<reel::Error>([&] { static_cast<void>(action()); });
    };
    CHECK(contains(message([&] { return psnr(a, small); }), "3 frames of 31x24"));
    CHECK(contains(message([&] { return ssim(a, small); }), "must be alike"));
    CHECK(contains(message([&] { return changed_pixels(a, small); }), "must be alike"));
    CHECK(contains(message([&] { return ssim(tiny, tiny); }), "smaller than the window of 11x11"));
    const Marks all(a.rgb.size() / 3, 1);
    CHECK(contains(message([&] { return psnr(a, a, all); }), "leave nothing to measure"));
    CHECK(contains(message([&] { return ssim(a, a, {}, all); }), "leave nothing to measure"));
    CHECK(contains(message([&] { return psnr(a, a, Marks(7)); }), "7 marks for 3 frames"));
    const auto floats = floats_of(a);
    CHECK(contains(message([&] { return psnr(a, view_in(floats, a)); }), "range 255"));
    CHECK(contains(message([&] { return psnr(view_in({}, a), view_in({}, a)); }), "got 0"));
    CHECK(contains(message([&] { return psnr(Frames{}, Frames{}); }), "at least one frame"));
}

TEST_CASE("bicubic resizing equals Pillow's, byte for byte") {
    const Frames clip = golden_clip(1);
    const auto first = clip.frame(0);
    const Frames picture{1, clip.height, clip.width, {first.begin(), first.end()}};
    struct Case {
        const char* name;
        int width;
        int height;
    };
    for (const Case& c :
         {Case{"smaller", 11, 10}, Case{"larger", 45, 40}, Case{"mixed", 12, 20}, Case{"same_width", 31, 10}}) {
        CAPTURE(std::string(c.name));
        const Frames resized = reel::resize_bicubic(picture, c.height, c.width);
        CHECK(resized.height == c.height);
        CHECK(resized.width == c.width);
        CHECK(resized.rgb == golden_metrics()[reel::concat_text("bicubic_", c.name)].get<std::vector<std::uint8_t>>());
        // A clip is resized frame by frame.
        const Frames all = reel::resize_bicubic(clip, c.height, c.width);
        CHECK(std::ranges::equal(all.frame(0), resized.frame(0)));
    }
    CHECK(reel::resize_bicubic(picture, 24, 31) == picture);
    CHECK_THROWS_AS(static_cast<void>(reel::resize_bicubic(picture, 0, 5)), reel::Error);
}
