#pragma once
// Which frames of a video are read, and how much that may be. No other library.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>

#include <cstdint>
#include <string>

namespace reel {

/// Which frames of a video, and how large.
struct VideoSelection {
    int start = 0;      ///< index of the first frame taken (sample_start_idx)
    int stride = 1;     ///< distance between frames taken (sample_frame_rate)
    int max_frames = 0; ///< how many; 0 takes all there are (n_sample_frames)
    int width = 0;      ///< pixels; 0 with height 0 keeps the file's size
    int height = 0;     ///< pixels
    double fps = 0;     ///< frames per second that the file is taken to have; 0: by its own times
};

/// How much a video file may make reel do. All are generous; lower them for files from strangers.
struct VideoLimits {
    int max_side = max_picture_side;                  ///< width or height in the file, pixels
    std::int64_t max_pixels = max_picture_pixels;     ///< pixels of one frame in the file
    std::int64_t max_decoded = 1'000'000;             ///< frames decoded, the passed-over ones included
    std::uint64_t max_bytes = std::uint64_t{1} << 34; ///< bytes of RGB handed back (16 GiB)
};

namespace detail {

inline void check_selection(const VideoSelection& chosen, const VideoLimits& limits, const std::string& what) {
    require(chosen.start >= 0, what, ": start (sample_start_idx) is ", chosen.start, ", expected 0 or more");
    require(chosen.stride >= 1, what, ": stride (sample_frame_rate) is ", chosen.stride, ", expected 1 or more");
    require(chosen.max_frames >= 0, what, ": max_frames (n_sample_frames) is ", chosen.max_frames,
            ", expected 1 or more, or 0 for all");
    require(chosen.width >= 0 && chosen.height >= 0 && (chosen.width == 0) == (chosen.height == 0) &&
                chosen.width <= max_picture_side && chosen.height <= max_picture_side,
            what, ": cannot resize to ", chosen.width, "x", chosen.height, "; expected 1 to ", max_picture_side,
            " for both, or 0 for both to keep the size");
    require(static_cast<std::uint64_t>(chosen.max_frames) * static_cast<std::uint64_t>(chosen.width) *
                    static_cast<std::uint64_t>(chosen.height) * 3U <=
                limits.max_bytes,
            what, ": ", chosen.max_frames, " frames of ", chosen.width, "x", chosen.height, " are above the limit of ",
            limits.max_bytes, " bytes");
}

[[noreturn]] inline void too_few_frames(const VideoSelection& chosen, std::int64_t decoded, int taken,
                                        const std::string& what) {
    if (taken == 0) {
        require(decoded > 0, what, ": no frame of it decodes");
        fail(what, ": it has ", decoded, " frames, so none is left from start (sample_start_idx) ", chosen.start,
             "; lower it below ", decoded);
    }
    fail(what, ": it has ", decoded, " frames; from start (sample_start_idx) ", chosen.start,
         " with stride (sample_frame_rate) ", chosen.stride, " they give ", taken, ", but max_frames ",
         "(n_sample_frames) asks for ", chosen.max_frames, "; lower one of the three");
}

} // namespace detail

} // namespace reel
