#pragma once
// What is to be known of a file's pictures, in sentences. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/rgb_converter.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace reel::detail {

[[nodiscard]] inline bool is_interlaced(const AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    return (frame.flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
    return frame.interlaced_frame != 0;
#endif
}

/// Of a decoded frame. `aspect`: of its pixels.
[[nodiscard]] inline std::vector<std::string> picture_notes(const AVFrame& frame, AVRational aspect) {
    std::vector<std::string> notes;
    if (aspect.num != aspect.den) {
        notes.push_back(concat_text("the clip has ", aspect.num, ":", aspect.den,
                                    " pixels, which are taken as square; ",
                                    "`video_tools resize` makes a clip of square ones"));
    }
    if (is_interlaced(frame)) {
        notes.emplace_back("the clip is interlaced, so what moves has combs; `ffmpeg -i CLIP -vf bwdif OUTPUT` makes "
                           "whole pictures of it");
    }
    if (is_wide_gamut(frame)) {
        notes.push_back(concat_text("the clip's colours are ",
                                    frame.color_primaries == AVCOL_PRI_BT2020 ? "BT.2020" : "P3",
                                    can_map_gamut() ? "; they are mapped to those of a screen (BT.709)"
                                                    : "; this FFmpeg, built without zscale (libzimg), cannot map them "
                                                      "to a screen's, so they are paler than they should be"));
    }
    if (is_hdr(frame)) {
        notes.emplace_back("the clip is HDR; its light is mapped to that of a screen (BT.709)");
    }
    return notes;
}

/// Of a file of `joints` + 1 recordings; "" of one.
[[nodiscard]] inline std::string joint_note(std::size_t joints) {
    return joints == 0 ? std::string()
                       : concat_text("the clip is ", joints + 1,
                                     " recordings joined; time goes on where one ends and the next begins");
}

} // namespace reel::detail
