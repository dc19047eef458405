#pragma once
// How GIFs are written. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/video_encoder.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

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

} // namespace reel
