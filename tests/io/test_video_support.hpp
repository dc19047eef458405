#pragma once

#include <reel/io/pictures/frames.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>

namespace reel_test {

/// A clip with a colour gradient and a bright block that moves one block width per frame.
inline reel::Frames moving_block(int count, int height, int width) {
    reel::Frames clip = reel::make_frames(count, height, width);
    const int side = std::max(1, std::min(height, width) / 4);
    for (int f = 0; f < count; ++f) {
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                std::uint8_t* pixel = clip.pixel(f, y, x);
                const bool inside = y / side == 1 && (x / side) == f % std::max(1, width / side);
                pixel[0] = static_cast<std::uint8_t>(inside ? 240 : 40 + 100 * x / width);
                pixel[1] = static_cast<std::uint8_t>(inside ? 200 : 40 + 100 * y / height);
                pixel[2] = static_cast<std::uint8_t>(inside ? 60 : 120);
            }
        }
    }
    return clip;
}

/// A clip of one colour.
inline reel::Frames flat(int count, int height, int width, std::uint8_t r, std::uint8_t g, std::uint8_t b) {
    reel::Frames clip = reel::make_frames(count, height, width);
    for (std::size_t i = 0; i < clip.rgb.size(); i += 3) {
        clip.rgb[i] = r;
        clip.rgb[i + 1] = g;
        clip.rgb[i + 2] = b;
    }
    return clip;
}

/// Largest absolute difference of two equally long byte ranges.
template <class A, class B>
int largest_difference(const A& a, const B& b) {
    REQUIRE(a.size() == b.size());
    int largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(int{a[i]} - int{b[i]}));
    }
    return largest;
}

/// Peak signal-to-noise ratio in dB.
template <class A, class B>
double psnr(const A& a, const B& b) {
    REQUIRE(a.size() == b.size());
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = int{a[i]} - int{b[i]};
        sum += difference * difference;
    }
    return 10.0 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / std::max(sum, 1e-9));
}

/// While it lives, writing a file past this many bytes fails, as on a full disk.
class FullDisk {
public:
    explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit_) == 0);
        const ::rlimit lower{bytes, limit_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &lower) == 0);
    }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;
    ~FullDisk() {
        ::setrlimit(RLIMIT_FSIZE, &limit_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    ::rlimit limit_{};
    void (*handler_)(int);
};

} // namespace reel_test
