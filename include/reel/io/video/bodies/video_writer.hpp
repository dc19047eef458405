#pragma once
// The bodies of video_writer.hpp. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/bodies/inline.hpp>
#include <reel/io/video/bodies/write_at.hpp>
#include <reel/io/video/mp4_plan.hpp>
#include <reel/io/video/video_ffmpeg.hpp>
#include <reel/io/video/video_times.hpp>

#include <filesystem>
#include <string>

namespace reel {

[[nodiscard]] REEL_VIDEO_INLINE std::string ffmpeg_version() {
    return av_version_info();
}

[[nodiscard]] REEL_VIDEO_INLINE std::string h264_encoder_name() {
    return detail::find_h264_encoder("h264_encoder_name")->name;
}

REEL_VIDEO_INLINE void check_mp4(const Mp4Options& options) {
    const std::string what = "cannot write mp4s";
    detail::require_preset(options.preset, what);
    static_cast<void>(detail::mp4_plan(make_frames(1, 2, 2), 8, options, what));
}

REEL_VIDEO_INLINE std::string write_mp4(const std::filesystem::path& path, const Frames& frames, double fps,
                                        const Mp4Options& options) {
    const std::string what = concat_text("cannot write video ", path.string());
    require_frames(frames, what);
    detail::require_rate(fps, highest_fps, what);
    require(options.crf >= 0 && options.crf <= 51, what, ": crf is ", options.crf, ", expected 0 to 51");
    detail::require_preset(options.preset, what);
    const detail::QuietFfmpeg quiet;
    const detail::EncoderPlan plan = detail::mp4_plan(frames, fps, options, what);
    AtomicFile file(path);
    detail::FrameEncoder encoder(file.temporary_path(), plan, what);
    const auto yuv = detail::owned(av_frame_alloc());
    detail::FilterGraph graph(*detail::to_avframe(frames, 0, plan.width, plan.height), plan.time_base,
                              detail::yuv_filters(plan), what);
    for (int i = 0; i < frames.count; ++i) {
        const auto rgb = detail::to_avframe(frames, i, plan.width, plan.height);
        rgb->pts = i;
        graph.push(rgb.get());
        require(graph.pull(*yuv), what, ": converting frame ", i, " gave nothing");
        if (plan.bt709) {
            detail::mark_bt709(*yuv);
        }
        yuv->pict_type = AV_PICTURE_TYPE_NONE;
        encoder.write(yuv.get());
    }
    encoder.finish(0, frames.count / fps);
    file.commit();
    return encoder.lost_sound();
}

REEL_VIDEO_INLINE std::string write_mp4(const std::filesystem::path& path, const Frames& frames, const ClipTimes& times,
                                        const Mp4Options& options) {
    if (times.each.empty()) {
        return write_mp4(path, frames, times.fps, options);
    }
    return detail::write_at(path, frames, times, {.mp4 = options, .sound = options.sound.path}, options.sound.begin);
}

} // namespace reel
