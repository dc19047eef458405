#pragma once
// Clips to animated GIFs. Needs FFmpeg's libraries. read_video reads them back.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_encoder.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>

namespace reel {

namespace detail {

/// When frame `index` starts, in the hundredths of a second that GIF counts. Rounding the start and not the duration
/// keeps the clip as long as it should be: 8 frames per second last 13, 12, 13, 12, ... hundredths.
inline std::int64_t gif_time(int index, double fps) {
    return std::llround(100.0 * index / fps);
}

/// One palette for all frames, and error diffusion.
inline const std::string gif_filters = "split[all][again];[all]palettegen=stats_mode=full[palette];"
                                       "[again][palette]paletteuse=dither=floyd_steinberg:diff_mode=rectangle";

inline EncoderPlan gif_plan(const Frames& frames, double fps, const std::string& what) {
    EncoderPlan plan;
    plan.muxer = "gif";
    plan.codec = avcodec_find_encoder(AV_CODEC_ID_GIF);
    require(plan.codec != nullptr, what, ": this FFmpeg was built without the GIF encoder");
    plan.format = AV_PIX_FMT_PAL8;
    plan.width = frames.width;
    plan.height = frames.height;
    plan.time_base = AVRational{1, 100};
    plan.frame_rate = av_d2q(fps, 100'000);
    const std::int64_t last = gif_time(frames.count, fps) - gif_time(frames.count - 1, fps);
    plan.muxer_options = {{"loop", "0"}, {"final_delay", std::to_string(last)}};
    return plan;
}

} // namespace detail

/// Writes a clip as a GIF that repeats for ever: one palette of 255 colours chosen over the whole clip (so that still
/// parts do not flicker) and error diffusion. Each frame starts at the hundredth of a second nearest to index / fps,
/// so the duration is right to 0.01 s (8 fps: delays of 13 and 12 in turn; the reference's imageio rounds every delay
/// to 12 or to 13). The same frames and FFmpeg give the same bytes. The file appears complete or not at all.
/// Throws Error when the clip is empty, fps is not in 0.01..50 (players slow down delays below 2 hundredths), or the
/// file cannot be written.
inline void write_gif(const std::filesystem::path& path, const Frames& frames, double fps) {
    const std::string what = concat_text("cannot write GIF ", path.string());
    require_frames(frames, what);
    detail::require_rate(fps, 50.0, what);
    require(fps >= 0.01, what, ": ", fps, " frames per second, expected at least 0.01");
    const detail::QuietFfmpeg quiet;
    AtomicFile file(path);
    detail::FrameEncoder encoder(file.temporary_path(), detail::gif_plan(frames, fps, what), what);
    detail::FilterGraph graph(*detail::to_avframe(frames, 0, frames.width, frames.height), AVRational{1, 100},
                              detail::gif_filters, what);
    for (int i = 0; i < frames.count; ++i) {
        const auto rgb = detail::to_avframe(frames, i, frames.width, frames.height);
        rgb->pts = detail::gif_time(i, fps);
        graph.push(rgb.get());
    }
    graph.push(nullptr);
    const auto indexed = detail::owned(av_frame_alloc());
    int written = 0;
    for (; graph.pull(*indexed); ++written) {
        indexed->pts = detail::gif_time(written, fps);
        encoder.write(indexed.get());
    }
    require(written == frames.count, what, ": ", frames.count, " frames became ", written);
    encoder.finish();
    file.commit();
}

} // namespace reel
