#pragma once
// What is told of videos that are read. No other library.

#include <reel/io/video/video_times.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace reel {

/// What read_video took of a video.
struct VideoTaken {
    int file_width = 0;             ///< pixels as they are shown, but for their aspect
    int file_height = 0;            ///< pixels
    double first = 0;               ///< when the first frame taken is shown, in seconds from the clip's first frame
    double last = 0;                ///< and the last one
    std::int64_t decoded = 0;       ///< frames: of a long clip not all those before the last one taken
    bool timed = true;              ///< whether times are known: not of a folder of pictures
    double clock = 0;               ///< the first frame's time on the clock of the file, as SoundPart has it; seconds
    std::vector<std::string> notes; ///< sentences: what is to be known of this file's pictures
    ClipTimes times{.fps = 0};      ///< of the frames taken; each has its own where neighbours are not evenly spaced
};

/// What is in a video file.
struct VideoInfo {
    int frames = 0;        ///< frames that decode, counted
    int width = 0;         ///< pixels, as shown (after rotation)
    int height = 0;        ///< pixels, as shown (after rotation)
    double fps = 0.0;      ///< frames per second by the frames' times; 0 when they have none
    double seconds = 0.0;  ///< from the first frame's beginning to the last one's end; 0 when they have no times
    std::string codec;     ///< FFmpeg's name, such as "mpeg4"
    std::string container; ///< FFmpeg's name, such as "mov,mp4,m4a,3gp,3g2,mj2"
};

} // namespace reel
