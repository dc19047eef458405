#pragma once
// Clips to animated GIFs. Needs FFmpeg's libraries. read_video reads them back.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_encoder.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// When frame `index` starts, in the hundredths of a second that GIF counts. Rounding the start and not the duration
/// keeps the clip as long as it should be: 8 frames per second last 13, 12, 13, 12, ... hundredths.
inline std::int64_t gif_time(int index, double fps) {
    return std::llround(100.0 * index / fps);
}

/// How long the last picture shown stays, in hundredths of a second: until the clip's end, and long enough for players.
inline std::int64_t gif_last_delay(std::int64_t start, std::int64_t end) {
    return std::max<std::int64_t>(end - start, 2);
}

/// The longest delay that is written, in hundredths of a second: GIF counts to 65535. A picture that is shown longer is
/// written again.
inline constexpr std::int64_t gif_longest_delay = 65'000;

/// The lowest rate of a GIF: a picture of almost three hours.
inline constexpr double gif_min_fps = 0.0001;

/// One palette for all frames, and error diffusion.
inline const std::string gif_filters = "split[all][again];[all]palettegen=stats_mode=full[palette];"
                                       "[again][palette]paletteuse=dither=floyd_steinberg:diff_mode=rectangle";

/// `last_delay`: of the last picture, in hundredths of a second.
inline EncoderPlan gif_plan(int width, int height, double fps, std::int64_t last_delay, const std::string& what) {
    EncoderPlan plan;
    plan.muxer = "gif";
    plan.codec = avcodec_find_encoder(AV_CODEC_ID_GIF);
    require(plan.codec != nullptr, what, ": this FFmpeg was built without the GIF encoder");
    plan.format = AV_PIX_FMT_PAL8;
    plan.width = width;
    plan.height = height;
    plan.time_base = AVRational{1, 100};
    plan.frame_rate = av_d2q(fps, 100'000);
    plan.muxer_options = {{"loop", "0"}, {"final_delay", std::to_string(last_delay)}};
    return plan;
}

} // namespace detail

/// The most pictures a second that players show of a GIF: they slow down delays below 2 hundredths of a second.
inline constexpr double gif_max_fps = 50.0;

/// A GIF shows every n-th picture of a clip that is faster than players show GIFs: n, else 1.
[[nodiscard]] inline int gif_stride(double fps) {
    return fps > gif_max_fps ? static_cast<int>(std::ceil(fps / gif_max_fps - 1e-9)) : 1;
}

/// "every 2nd picture", for a program to say so.
[[nodiscard]] inline std::string gif_stride_text(int stride) {
    const char* ending = stride / 10 % 10 == 1 ? "th"
                         : stride % 10 == 1    ? "st"
                         : stride % 10 == 2    ? "nd"
                         : stride % 10 == 3    ? "rd"
                                               : "th";
    return concat_text("every ", stride, ending, " picture");
}

/// Writes a clip as a GIF that repeats for ever: one palette of 255 colours chosen over the whole clip (so that still
/// parts do not flicker) and error diffusion. Each frame starts at the hundredth of a second nearest to index / fps,
/// so the duration is right to 0.01 s (8 fps: delays of 13 and 12 in turn; the reference's imageio rounds every delay
/// to 12 or to 13). Of a clip of more than 50 frames per second it shows every gif_stride(fps)-th, and lasts as long.
/// A frame that is shown for longer than GIF can count, 655 seconds, is there more than once.
/// The same frames and FFmpeg give the same bytes. The file appears complete or not at all.
/// Throws Error when the clip is empty, fps is not in 0.0001..100'000, or the file cannot be written.
inline void write_gif(const std::filesystem::path& path, const Frames& frames, double fps) {
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

} // namespace reel
