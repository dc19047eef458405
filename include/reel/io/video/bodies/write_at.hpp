#pragma once
// Clips whose pictures have times of their own, to files. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_sink.hpp>
#include <reel/io/video/video_times.hpp>

#include <cstddef>
#include <filesystem>
#include <string>

namespace reel::detail {

/// `begin`: of the clip, on the clock of the file that sound is taken from. Returns what of that was lost.
inline std::string write_at(const std::filesystem::path& path, const Frames& frames, const ClipTimes& times,
                            const SinkOptions& options, double begin = 0) {
    require(times.each.size() == static_cast<std::size_t>(frames.count), "cannot write video ", path.string(), ": ",
            frames.count, " frames, but times of ", times.each.size());
    VideoSink sink(path, times.fps, options);
    for (int i = 0; i < frames.count; ++i) {
        const PictureTime& time = times.each[static_cast<std::size_t>(i)];
        sink.write(frames, i, {begin + time.start, time.duration});
    }
    sink.finish();
    return sink.lost_sound();
}

} // namespace reel::detail
