// What reads and writes whole clips, as the headers of reel/io/video declare it under REEL_VIDEO_COMPILED.
#include <reel/io/video/bodies/gif.hpp>
#include <reel/io/video/bodies/lost_sound.hpp>
#include <reel/io/video/bodies/video_reader.hpp>
#include <reel/io/video/bodies/video_writer.hpp>
