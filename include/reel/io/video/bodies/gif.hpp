#pragma once
// The bodies of gif.hpp. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/bodies/inline.hpp>
#include <reel/io/video/bodies/write_at.hpp>
#include <reel/io/video/gif_plan.hpp>
#include <reel/io/video/gif_stride.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_times.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace reel {

REEL_VIDEO_INLINE void write_gif(const std::filesystem::path& path, const Frames& frames, double fps) {
    const std::string what = concat_text("cannot write GIF ", path.string());
    require_frames(frames, what);
    detail::require_rate(fps, highest_fps, what);
    require(fps >= detail::gif_min_fps, what, ": ", fps, " frames per second, expected at least ", detail::gif_min_fps);
    const int stride = gif_stride(fps);
    const std::int64_t end = detail::gif_time(frames.count, fps);
    std::vector<std::pair<int, std::int64_t>> shown; // which frame from when on
    for (int i = 0; i < frames.count; i += stride) {
        const std::int64_t next = i + stride < frames.count ? detail::gif_time(i + stride, fps) : end;
        std::int64_t start = detail::gif_time(i, fps);
        shown.emplace_back(i, start);
        for (; next - start > detail::gif_longest_delay; shown.emplace_back(i, start)) {
            start += detail::gif_longest_delay;
        }
    }
    const std::int64_t last_delay = detail::gif_last_delay(shown.back().second, end);
    const detail::QuietFfmpeg quiet;
    AtomicFile file(path);
    detail::FrameEncoder encoder(file.temporary_path(),
                                 detail::gif_plan(frames.width, frames.height, fps / stride, last_delay, what), what);
    detail::FilterGraph graph(*detail::to_avframe(frames, 0, frames.width, frames.height), AVRational{1, 100},
                              detail::gif_filters, what);
    for (const auto& [index, start] : shown) {
        const auto rgb = detail::to_avframe(frames, index, frames.width, frames.height);
        rgb->pts = start;
        graph.push(rgb.get());
    }
    graph.push(nullptr);
    const auto indexed = detail::owned(av_frame_alloc());
    std::size_t written = 0;
    for (; graph.pull(*indexed) && written < shown.size(); ++written) {
        indexed->pts = shown[written].second;
        encoder.write(indexed.get());
    }
    require(written == shown.size(), what, ": ", shown.size(), " frames became ", written);
    encoder.finish();
    file.commit();
}

REEL_VIDEO_INLINE void write_gif(const std::filesystem::path& path, const Frames& frames, const ClipTimes& times) {
    if (times.each.empty()) {
        return write_gif(path, frames, times.fps);
    }
    detail::write_at(path, frames, times, {});
}

} // namespace reel
