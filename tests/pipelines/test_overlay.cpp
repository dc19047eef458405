// An edit laid over its clip, against plain loops.

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include <reel/pipelines/overlay.hpp>

namespace {

reel::Frames filled(int count, int height, int width, std::uint8_t value) {
    reel::Frames frames;
    frames.count = count;
    frames.height = height;
    frames.width = width;
    frames.rgb.assign(static_cast<std::size_t>(count) * frames.frame_bytes(), value);
    return frames;
}

reel::Frames noisy(int count, int height, int width, unsigned seed) {
    reel::Frames frames = filled(count, height, width, 0);
    for (auto& byte : frames.rgb) {
        seed = seed * 1664525U + 1013904223U;
        byte = static_cast<std::uint8_t>(seed >> 24);
    }
    return frames;
}

std::uint8_t& at(reel::Frames& frames, int frame, int y, int x, int channel) {
    return frames.rgb[static_cast<std::size_t>(((frame * frames.height + y) * frames.width + x) * 3 + channel)];
}

std::string message_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const reel::Error& error) {
        return error.what();
    }
    return "";
}

} // namespace

TEST_CASE("shares of an overlay are a ramp of the smoothed and grown change") {
    const reel::Frames unedited = noisy(2, 5, 7, 1);
    const reel::Frames edited = noisy(2, 5, 7, 2);
    const reel::OverlayOptions options{.from = 0.3, .to = 0.7};
    const auto shares = reel::overlay_shares(edited, unedited, options);
    const auto inside = [](int y, int x) { return y >= 0 && y < 5 && x >= 0 && x < 7; };
    const auto smooth = [&](int frame, int y, int x) {
        double sum = 0;
        int count = 0;
        for (int v = y - 1; v <= y + 1; ++v) {
            for (int u = x - 1; u <= x + 1; ++u) {
                if (inside(v, u)) {
                    double largest = 0;
                    for (int c = 0; c < 3; ++c) {
                        const auto i = static_cast<std::size_t>(((frame * 5 + v) * 7 + u) * 3 + c);
                        largest = std::max(largest, std::abs(edited.rgb[i] - unedited.rgb[i]) / 255.0);
                    }
                    sum += largest;
                    ++count;
                }
            }
        }
        return sum / count;
    };
    int between = 0;
    for (int i = 0; i < 70; ++i) {
        const int frame = i / 35;
        double change = 0;
        for (int v = i % 35 / 7 - 1; v <= i % 35 / 7 + 1; ++v) {
            for (int u = i % 7 - 1; u <= i % 7 + 1; ++u) {
                change = inside(v, u) ? std::max(change, smooth(frame, v, u)) : change;
            }
        }
        const double t = std::min(1.0, std::max(0.0, (change - 0.3) / 0.4));
        CHECK(shares[static_cast<std::size_t>(i)] == doctest::Approx(t * t * (3 - 2 * t)).epsilon(1e-5));
        between += t > 0 && t < 1 ? 1 : 0;
    }
    CHECK(between > 10);
}

TEST_CASE("an overlay keeps the clip's bytes where nothing has changed, and the edit's where much has") {
    const reel::Frames clip = noisy(2, 16, 16, 3);
    const reel::Frames unedited = noisy(2, 16, 16, 4); // the autoencoder is as bad as can be
    CHECK(reel::overlay(clip, unedited, unedited).rgb == clip.rgb);

    reel::Frames edited = unedited;
    for (int y = 4; y < 10; ++y) {
        for (int x = 5; x < 11; ++x) {
            at(edited, 1, y, x, 2) = static_cast<std::uint8_t>(at(edited, 1, y, x, 2) ^ 0x80U); // half the range
        }
    }
    reel::Frames result = reel::overlay(clip, edited, unedited);
    reel::Frames own = clip;
    for (int frame = 0; frame < 2; ++frame) {
        for (int y = 0; y < 16; ++y) {
            for (int x = 0; x < 16; ++x) {
                const bool object = frame == 1 && y >= 4 && y < 10 && x >= 5 && x < 11;
                const bool near = frame == 1 && y >= 2 && y < 12 && x >= 3 && x < 13; // smoothed, then grown
                for (int c = 0; c < 3; ++c) {
                    if (object) {
                        CHECK(at(result, frame, y, x, c) == at(edited, frame, y, x, c));
                    } else if (!near) {
                        CHECK(at(result, frame, y, x, c) == at(own, frame, y, x, c));
                    }
                }
            }
        }
    }
}

TEST_CASE("an overlay refuses clips that are not alike, and options out of range") {
    const reel::Frames clip = filled(2, 4, 4, 9);
    CHECK(message_of([&] { static_cast<void>(reel::overlay(clip, clip, filled(2, 4, 5, 9))); }).find("equal sizes") !=
          std::string::npos);
    CHECK(message_of([&] { static_cast<void>(reel::overlay(filled(1, 4, 4, 9), clip, clip)); }).find("equal sizes") !=
          std::string::npos);
    for (const reel::OverlayOptions& wrong :
         {reel::OverlayOptions{-0.1, 0.5}, reel::OverlayOptions{0.5, 0.5}, reel::OverlayOptions{0.5, 1.5}}) {
        CHECK(message_of([&] { static_cast<void>(reel::overlay(clip, clip, clip, wrong)); }).find("expected") !=
              std::string::npos);
    }
}
