#pragma once
// Clips to mp4 files. Needs FFmpeg's libraries with an H.264 encoder (libx264 or libopenh264).

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/sound_copy.hpp>
#include <reel/io/video/video_encoder.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace reel {

/// How write_mp4 encodes.
struct Mp4Options {
    int crf = 18;                  ///< x264's constant quality: 0 (lossless) to 51; 18 looks like the source
    std::string preset = "medium"; ///< x264's speed against size
    bool lossless = false;         ///< RGB as it is (H.264 in RGB, which few players show); crf then has no effect
    SoundPart sound{};             ///< copied along, for as long as the clip lasts
    bool full_colour = false;      ///< a colour for every pixel (yuv444p), which many players and browsers cannot show
};

namespace detail {

inline const AVCodec* find_h264_encoder(const std::string& what) {
    // Only software encoders: what a graphics card's encoder writes differs from one machine to the next.
    for (const char* name : {"libx264", "libopenh264"}) {
        if (const AVCodec* codec = avcodec_find_encoder_by_name(name)) {
            return codec;
        }
    }
    fail(what, ": this FFmpeg has no H.264 encoder (libx264 or libopenh264); install an FFmpeg built with one, or "
               "write a GIF");
}

/// x264 prints to stderr about a preset it does not know, so it is never given one.
inline void require_preset(const std::string& preset, const std::string& what) {
    constexpr std::array<std::string_view, 10> known{"ultrafast", "superfast", "veryfast", "faster",   "fast",
                                                     "medium",    "slow",      "slower",   "veryslow", "placebo"};
    require(std::find(known.begin(), known.end(), preset) != known.end(), what, ": no x264 preset is called \"", preset,
            "\"; expected one from ultrafast, veryfast, medium, ... to veryslow");
}

/// RGB to the plan's YUV in limited range. accurate_rnd and bitexact keep the conversion from depending on the
/// processor.
inline std::string yuv_filters(const EncoderPlan& plan) {
    if (plan.format == AV_PIX_FMT_RGB24) {
        return "null";
    }
    return concat_text("scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:out_color_matrix=",
                       plan.bt709 ? "bt709" : "bt601",
                       ":out_range=tv,format=", plan.format == AV_PIX_FMT_YUV444P ? "yuv444p" : "yuv420p");
}

inline EncoderPlan mp4_plan(const Frames& frames, double fps, const Mp4Options& options, const std::string& what) {
    EncoderPlan plan;
    plan.muxer = "mp4";
    plan.codec = find_h264_encoder(what);
    plan.format = options.full_colour ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV420P;
    require(!options.full_colour || std::string_view(plan.codec->name) == "libx264", what,
            ": full_colour needs FFmpeg with libx264, this one has ", plan.codec->name);
    const bool any_size = options.lossless; // full colour could be, but stays as it was
    plan.width = frames.width + (any_size ? 0 : frames.width % 2);
    plan.height = frames.height + (any_size ? 0 : frames.height % 2);
    plan.frame_rate = av_d2q(fps, 100'000);
    plan.time_base = av_inv_q(plan.frame_rate);
    plan.bt709 = true;
    plan.packet_ticks = 1;
    plan.sound = options.sound;
    plan.muxer_options = {{"movflags", "+faststart"}};
    if (options.lossless) {
        plan.codec = avcodec_find_encoder_by_name("libx264rgb");
        require(plan.codec != nullptr, what, ": this FFmpeg has no lossless encoder (libx264rgb)");
        plan.format = AV_PIX_FMT_RGB24;
        plan.bt709 = false;
        plan.codec_options = {{"qp", "0"}, {"preset", options.preset}, {"x264-params", "cpu-independent=1"}};
        return plan;
    }
    if (std::string_view(plan.codec->name) == "libx264") {
        // Without cpu-independent, x264 164 with AVX-512 encodes noisy frames differently from run to run (mb-tree).
        plan.codec_options = {
            {"crf", std::to_string(options.crf)}, {"preset", options.preset}, {"x264-params", "cpu-independent=1"}};
    } else {
        // It has no constant quality; 0.2 bits per pixel is generous for clips of this kind.
        plan.bit_rate = std::max<std::int64_t>(
            100'000, static_cast<std::int64_t>(0.2 * fps * static_cast<double>(plan.width) * plan.height));
    }
    return plan;
}

} // namespace detail

/// The encoder write_mp4 uses with this FFmpeg: "libx264", else "libopenh264" (which ignores Mp4Options). Throws Error
/// when there is neither.
[[nodiscard]] inline std::string h264_encoder_name() {
    return detail::find_h264_encoder("h264_encoder_name")->name;
}

/// Finds out before the work whether this FFmpeg can write such mp4s. Throws Error.
inline void check_mp4(const Mp4Options& options) {
    const std::string what = "cannot write mp4s";
    detail::require_preset(options.preset, what);
    static_cast<void>(detail::mp4_plan(make_frames(1, 2, 2), 8, options, what));
}

/// Writes a clip as H.264 in mp4, yuv420p (see full_colour), index first ("faststart"): what browsers and players open.
/// Colours are BT.709 in limited range and marked so. H.264 in yuv420p has even sides only, so the last column or row
/// of an odd-sized clip is written twice. The same frames and FFmpeg give the same bytes. The file appears complete or
/// not at all. Throws Error when the clip is empty, fps is not in 0..100'000, or the file cannot be written. Sound
/// never costs the clip: returns what of it could not be copied, and why, in a sentence; "" where all could.
inline std::string write_mp4(const std::filesystem::path& path, const Frames& frames, double fps,
                             const Mp4Options& options = {}) {
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

} // namespace reel
