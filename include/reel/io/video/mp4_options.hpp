#pragma once
// How mp4s are written. No other library.

#include <reel/io/video/sound_part.hpp>

#include <string>

namespace reel {

/// How write_mp4 encodes.
struct Mp4Options {
    int crf = 18;                  ///< x264's constant quality: 0 (lossless) to 51; 18 looks like the source
    std::string preset = "medium"; ///< x264's speed against size
    bool lossless = false;         ///< RGB as it is (H.264 in RGB, which few players show); crf then has no effect
    SoundPart sound{};             ///< copied along, for as long as the clip lasts
    bool full_colour = false;      ///< a colour for every pixel (yuv444p), which many players and browsers cannot show
};

} // namespace reel
