#pragma once
// Clips of any length, one frame at a time: VideoSource reads, VideoSink writes. Needs FFmpeg's libraries (target
// reel::video).

#include <reel/io/video/video_sink.hpp>
#include <reel/io/video/video_source.hpp>
