// What README.md's first program wrote: the clip on the left, on the right an edit of it.

#include <doctest/doctest.h>

#include <cstdlib>

#include <reel/io/video/video_reader.hpp>

namespace {

/// Mean difference of a clip and the 64x64 pixels of `both` from `left` on, in levels of 0..255.
double difference(const reel::Frames& clip, const reel::Frames& both, int top, int left) {
    double sum = 0;
    for (int f = 0; f < clip.count; ++f) {
        for (int y = 0; y < clip.height; ++y) {
            for (int x = 0; x < clip.width; ++x) {
                for (int c = 0; c < 3; ++c) {
                    sum += std::abs(clip.pixel(f, y, x)[c] - both.pixel(f, y + top, x + left)[c]);
                }
            }
        }
    }
    return sum / static_cast<double>(clip.rgb.size());
}

} // namespace

TEST_CASE("README.md's first program edits the clip that comes with reel") {
    const reel::Frames clip = reel::read_video(REEL_README_CLIP);
    const reel::Frames both = reel::read_video(REEL_README_GIF);
    REQUIRE(clip.count == 8);
    REQUIRE(both.count == 8);
    REQUIRE(both.height == clip.height + 4);
    REQUIRE(both.width == 2 * clip.width + 6);
    const double left = difference(clip, both, 2, 2);
    const double right = difference(clip, both, 2, 4 + clip.width);
    CAPTURE(left);
    CAPTURE(right);
    CHECK(left < 4);         // a GIF has 256 colours
    CHECK(right > 2 * left); // something has changed
    CHECK(right < 40);       // and it is the same clip still: noise, or black, is further off
}
