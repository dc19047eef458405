#pragma once
// Clips and pictures as bytes, and the two ways between bytes and floats. No other library.

#include <reel/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace reel {

/// A clip: `rgb` is [count, height, width, 3], 8-bit RGB, row-major, no padding. A picture is a clip of one frame.
/// `fps` is frames per second, 0 where it is unknown or has no meaning.
struct Frames {
    int count = 0;
    int height = 0;
    int width = 0;
    std::vector<std::uint8_t> rgb;
    double fps = 0.0;

    /// Bytes of one frame.
    [[nodiscard]] std::size_t frame_bytes() const {
        return std::size_t{3} * static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    }

    /// Bytes of one row.
    [[nodiscard]] std::size_t row_bytes() const { return std::size_t{3} * static_cast<std::size_t>(width); }

    /// Frame `index` as [height, width, 3]. Throws Error when there is no such frame.
    [[nodiscard]] std::span<std::uint8_t> frame(int index) {
        check_index(index);
        return std::span(rgb).subspan(static_cast<std::size_t>(index) * frame_bytes(), frame_bytes());
    }

    /// Frame `index` as [height, width, 3]. Throws Error when there is no such frame.
    [[nodiscard]] std::span<const std::uint8_t> frame(int index) const {
        check_index(index);
        return std::span(rgb).subspan(static_cast<std::size_t>(index) * frame_bytes(), frame_bytes());
    }

    /// The three channels of one pixel. No check: meant for loops.
    [[nodiscard]] std::uint8_t* pixel(int index, int y, int x) {
        return rgb.data() + static_cast<std::size_t>(index) * frame_bytes() +
               static_cast<std::size_t>(y) * row_bytes() + std::size_t{3} * static_cast<std::size_t>(x);
    }

    /// The three channels of one pixel. No check: meant for loops.
    [[nodiscard]] const std::uint8_t* pixel(int index, int y, int x) const {
        return const_cast<Frames*>(this)->pixel(index, y, x);
    }

    friend bool operator==(const Frames&, const Frames&) = default;

private:
    void check_index(int index) const {
        require(index >= 0 && index < count, "no frame ", index, " in a clip of ", count, " frames");
        require(rgb.size() >= static_cast<std::size_t>(index + 1) * frame_bytes(), "a clip said to hold ", count,
                " frames of ", width, "x", height, " holds only ", rgb.size(), " bytes");
    }
};

/// The largest width or height reel reads or writes, in pixels.
inline constexpr int max_picture_side = 16384;

/// The most pixels a picture, or a frame of a clip, that is read may have (8192x8192; as RGB 192 MiB): a small file can
/// describe any number.
inline constexpr std::int64_t max_picture_pixels = std::int64_t{1} << 26;

/// Throws Error unless `frames` holds at least one frame and exactly the bytes its sizes say.
/// `what` begins the message, for example "write_gif(out.gif)".
inline void require_frames(const Frames& frames, std::string_view what) {
    require(frames.count > 0 && frames.width > 0 && frames.height > 0, what, ": expected at least one frame of at ",
            "least 1x1 pixel, got ", frames.count, " frames of ", frames.width, "x", frames.height);
    require(frames.width <= max_picture_side && frames.height <= max_picture_side, what, ": ", frames.width, "x",
            frames.height, " is larger than ", max_picture_side, " pixels a side");
    const std::size_t bytes = static_cast<std::size_t>(frames.count) * frames.frame_bytes();
    require(frames.rgb.size() == bytes, what, ": ", frames.count, " frames of ", frames.width, "x", frames.height,
            " are ", bytes, " bytes of RGB, got ", frames.rgb.size());
}

/// A black clip.
/// Throws Error when a size is not positive or above max_picture_side.
[[nodiscard]] inline Frames make_frames(int count, int height, int width, double fps = 0.0) {
    require(count > 0 && height > 0 && width > 0 && height <= max_picture_side && width <= max_picture_side,
            "make_frames: cannot make ", count, " frames of ", width, "x", height);
    Frames frames{count, height, width, {}, fps};
    frames.rgb.assign(static_cast<std::size_t>(count) * frames.frame_bytes(), 0);
    return frames;
}

/// Floats 0..1 to bytes as the reference does when it saves a video: clamp, then *truncate* x * 255 (0.999 is 254).
/// `values` is [count, height, width, 3]. Throws Error when the sizes disagree or a value is not a number.
[[nodiscard]] inline Frames to_frames_u8(std::span<const float> values, int count, int height, int width,
                                         double fps = 0.0) {
    Frames frames = make_frames(count, height, width, fps);
    require(values.size() == frames.rgb.size(), "to_frames_u8: ", count, " frames of ", width, "x", height, " are ",
            frames.rgb.size(), " values, got ", values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        require(!std::isnan(values[i]), "to_frames_u8: value ", i, " is not a number (frame ", i / frames.frame_bytes(),
                "): the model or the sampling has diverged");
        frames.rgb[i] = static_cast<std::uint8_t>(std::clamp(values[i], 0.0F, 1.0F) * 255.0F);
    }
    return frames;
}

/// Bytes to -1..1: x / 127.5 - 1 in float, as the reference feeds clips to the VAE.
/// `bytes` and `values` are of one size, any layout. Throws Error when the sizes disagree.
inline void normalize_u8(std::span<const std::uint8_t> bytes, std::span<float> values) {
    require(bytes.size() == values.size(), "normalize_u8: ", bytes.size(), " bytes do not fit ", values.size(),
            " values");
    std::transform(bytes.begin(), bytes.end(), values.begin(),
                   [](std::uint8_t byte) { return static_cast<float>(byte) / 127.5F - 1.0F; });
}

/// The same into new storage of as many values.
[[nodiscard]] inline std::vector<float> normalize_u8(std::span<const std::uint8_t> bytes) {
    std::vector<float> values(bytes.size());
    normalize_u8(bytes, values);
    return values;
}

} // namespace reel
