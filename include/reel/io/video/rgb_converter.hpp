#pragma once
// Decoded frames to RGB of one size. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_display.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace reel::detail {

/// Whether a frame has more light than a screen shows: PQ or HLG.
[[nodiscard]] inline bool is_hdr(const AVFrame& frame) {
    return frame.color_trc == AVCOL_TRC_SMPTE2084 || frame.color_trc == AVCOL_TRC_ARIB_STD_B67;
}

/// Whether a frame's colours are more than a screen's, though its light is not: BT.2020 or P3.
[[nodiscard]] inline bool is_wide_gamut(const AVFrame& frame) {
    const AVColorPrimaries primaries = frame.color_primaries;
    return !is_hdr(frame) && (primaries == AVCOL_PRI_BT2020 || primaries == AVCOL_PRI_SMPTE432);
}

/// Whether this FFmpeg maps them. Without it they are taken as a screen's, and look paler.
[[nodiscard]] inline bool can_map_gamut() {
    return avfilter_get_by_name("zscale") != nullptr;
}

/// Decoded frames to RGB of one size. swscale's plain bilinear filter (it averages over the shrunk pixel's area),
/// resizing and converting colours in one pass, is what decord does: byte-equal results. HDR is mapped to a screen's
/// light first, and wide colours to its own.
class RgbConverter {
public:
    /// `width` and `height` 0: those of the first frame.
    RgbConverter(std::string what, int width, int height)
        : what_(std::move(what)), width_(width), height_(height), output_(owned(av_frame_alloc())) {}

    /// Appends the frame's pixels, turned.
    void append(AVFrame& frame, const DisplayMatrix& turn, Frames& frames) {
        if (width_ == 0) {
            width_ = is_sideways(turn) ? frame.height : frame.width;
            height_ = is_sideways(turn) ? frame.width : frame.height;
        }
        frames.width = width_;
        frames.height = height_;
        prepare(frame, turn);
        frame.pts = frames.count;
        graph_->push(&frame);
        require(graph_->pull(*output_), what_, ": converting frame ", frames.count, " to RGB gave nothing");
        const std::size_t row = frames.row_bytes();
        const std::size_t at = frames.rgb.size();
        frames.rgb.resize(at + frames.frame_bytes());
        for (int y = 0; y < height_; ++y) {
            std::memcpy(frames.rgb.data() + at + static_cast<std::size_t>(y) * row,
                        output_->data[0] + static_cast<std::ptrdiff_t>(y) * output_->linesize[0], row);
        }
        ++frames.count;
    }

private:
    using Colours = std::array<int, 3>;
    static Colours colours_of(const AVFrame& frame) {
        return {frame.color_primaries, frame.color_trc, frame.colorspace};
    }

    /// A stream may change its size, pixel format or light on the way, and pictures how they are turned.
    void prepare(const AVFrame& frame, const DisplayMatrix& turn) {
        if (graph_ && frame.width == input_width_ && frame.height == input_height_ && frame.format == input_format_ &&
            turn == turn_ && colours_of(frame) == input_colours_) {
            return;
        }
        graph_.emplace(frame, AVRational{1, 1},
                       concat_text(turning_filters(turn), is_hdr(frame) ? tone_mapping(frame) : gamut_mapping(frame),
                                   "scale=", width_, ":", height_, ":flags=bilinear,format=rgb24"),
                       what_);
        turn_ = turn;
        input_width_ = frame.width;
        input_height_ = frame.height;
        input_format_ = frame.format;
        input_colours_ = colours_of(frame);
    }

    /// To BT.709 with its light; without FFmpeg's filter for it there is no right picture.
    [[nodiscard]] std::string tone_mapping(const AVFrame& frame) const {
        require(avfilter_get_by_name("zscale") != nullptr && avfilter_get_by_name("tonemap") != nullptr, what_,
                ": it is HDR (PQ or HLG), and this FFmpeg, built without zscale (libzimg), cannot map its light to a "
                "screen's; convert it to SDR first");
        return concat_text("zscale=pin=bt2020:min=2020_ncl:tin=",
                           frame.color_trc == AVCOL_TRC_SMPTE2084 ? "smpte2084" : "arib-std-b67",
                           ":t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,"
                           "zscale=t=bt709:m=bt709:r=tv,format=yuv444p,");
    }

    /// To BT.709's colours with the light as it is: what is grey stays as it was.
    [[nodiscard]] static std::string gamut_mapping(const AVFrame& frame) {
        if (!is_wide_gamut(frame) || !can_map_gamut()) {
            return "";
        }
        const bool bt2020 = frame.color_primaries == AVCOL_PRI_BT2020;
        const char* light = frame.color_trc == AVCOL_TRC_IEC61966_2_1 ? "iec61966-2-1" : "bt709";
        const char* matrix = frame.colorspace == AVCOL_SPC_UNSPECIFIED ? (bt2020 ? ":min=2020_ncl" : ":min=709") : "";
        return concat_text("zscale=pin=", bt2020 ? "2020" : "smpte432", ":tin=", light, matrix, ":p=709:t=", light,
                           ":m=709:r=tv,format=yuv444p,");
    }

    std::string what_;
    int width_;
    int height_;
    DisplayMatrix turn_ = upright; ///< of the frame before, as the four that follow
    int input_width_ = 0;
    int input_height_ = 0;
    int input_format_ = -1;
    Colours input_colours_{};
    FfmpegPointer<AVFrame> output_;
    std::optional<FilterGraph> graph_;
};

} // namespace reel::detail
