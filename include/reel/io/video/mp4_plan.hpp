#pragma once
// What FFmpeg is asked for to write an mp4. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/mp4_options.hpp>
#include <reel/io/video/video_encoder.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace reel {

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

} // namespace reel
