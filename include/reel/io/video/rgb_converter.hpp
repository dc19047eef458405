#pragma once
// Decoded frames to RGB of one size. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_display.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

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

/// Decoded frames to RGB of one size. swscale's plain bilinear filter (it averages over the shrunk pixel's area),
/// resizing and converting colours in one pass, is what decord does: byte-equal results. HDR is mapped to a screen's
/// light first.
class RgbConverter {
public:
    /// `width` and `height` 0: those of the first frame.
    RgbConverter(std::string what, const DisplayMatrix& turn, int width, int height)
        : what_(std::move(what)), turn_(turn), width_(width), height_(height), output_(owned(av_frame_alloc())) {}

    /// Appends the frame's pixels.
    void append(AVFrame& frame, Frames& frames) {
        if (width_ == 0) {
            width_ = is_sideways(turn_) ? frame.height : frame.width;
            height_ = is_sideways(turn_) ? frame.width : frame.height;
        }
        frames.width = width_;
        frames.height = height_;
        prepare(frame);
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
    /// A stream may change its size, pixel format or light on the way.
    void prepare(const AVFrame& frame) {
        if (graph_ && frame.width == input_width_ && frame.height == input_height_ && frame.format == input_format_ &&
            is_hdr(frame) == input_hdr_) {
            return;
        }
        graph_.emplace(frame, AVRational{1, 1},
                       concat_text(turning_filters(turn_), is_hdr(frame) ? tone_mapping(frame) : "", "scale=", width_,
                                   ":", height_, ":flags=bilinear,format=rgb24"),
                       what_);
        input_width_ = frame.width;
        input_height_ = frame.height;
        input_format_ = frame.format;
        input_hdr_ = is_hdr(frame);
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

    std::string what_;
    DisplayMatrix turn_;
    int width_;
    int height_;
    int input_width_ = 0;
    int input_height_ = 0;
    int input_format_ = -1;
    bool input_hdr_ = false;
    FfmpegPointer<AVFrame> output_;
    std::optional<FilterGraph> graph_;
};

} // namespace reel::detail
