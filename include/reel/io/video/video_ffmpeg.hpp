#pragma once
// What reading and writing share: FFmpeg's objects with owners, its messages, and its filter graphs.
// Needs libavformat, libavcodec, libavfilter, libavutil (FFmpeg 5.0 or newer).

#include <reel/core/error.hpp>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
}

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace reel::detail {

struct FfmpegFree {
    void operator()(AVFrame* frame) const { av_frame_free(&frame); }
    void operator()(AVPacket* packet) const { av_packet_free(&packet); }
    void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
    void operator()(AVFilterGraph* graph) const { avfilter_graph_free(&graph); }
    void operator()(AVBufferSrcParameters* parameters) const { av_free(parameters); }
};

template <class T>
using FfmpegPointer = std::unique_ptr<T, FfmpegFree>;

/// Takes ownership of what an FFmpeg allocation gave; no memory is an Error.
template <class T>
[[nodiscard]] FfmpegPointer<T> owned(T* object) {
    require(object != nullptr, "FFmpeg is out of memory");
    return FfmpegPointer<T>(object);
}

/// FFmpeg's own words for one of its error codes.
[[nodiscard]] inline std::string ffmpeg_error(int code) {
    std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
    av_strerror(code, text.data(), text.size());
    return text.data();
}

/// While one exists FFmpeg prints nothing: what matters reaches the caller as an Error. FFmpeg keeps its log level
/// for the whole process, so this counts its holders (any thread) and the last one puts the former level back.
class QuietFfmpeg {
public:
    QuietFfmpeg() {
        const std::lock_guard lock(mutex());
        if (state().holders++ == 0) {
            state().former_level = av_log_get_level();
            av_log_set_level(AV_LOG_QUIET);
        }
    }
    ~QuietFfmpeg() {
        const std::lock_guard lock(mutex());
        if (--state().holders == 0) {
            av_log_set_level(state().former_level);
        }
    }
    QuietFfmpeg(const QuietFfmpeg&) = delete;
    QuietFfmpeg& operator=(const QuietFfmpeg&) = delete;

private:
    struct State {
        int holders = 0;
        int former_level = 0;
    };
    static std::mutex& mutex() {
        static std::mutex instance;
        return instance;
    }
    static State& state() {
        static State instance;
        return instance;
    }
};

/// A chain of FFmpeg filters with one input and one output, single-threaded so that its output does not depend on
/// the machine.
class FilterGraph {
public:
    /// `like` gives the input's size, pixel format and colour properties. `what` begins error messages.
    FilterGraph(const AVFrame& like, AVRational time_base, const std::string& filters, std::string what)
        : what_(std::move(what)), graph_(owned(avfilter_graph_alloc())) {
        graph_->nb_threads = 1;
        source_ = avfilter_graph_alloc_filter(graph_.get(), filter("buffer"), "in");
        require(source_ != nullptr, "FFmpeg is out of memory");
        set_input(like, time_base);
        check(avfilter_graph_create_filter(&sink_, filter("buffersink"), "out", nullptr, nullptr, graph_.get()),
              "ending the filters");
        // "outputs" are the open ends that feed the description, "inputs" those that it feeds.
        AVFilterInOut* outputs = end("in", source_);
        AVFilterInOut* inputs = end("out", sink_);
        const int parsed = avfilter_graph_parse_ptr(graph_.get(), filters.c_str(), &inputs, &outputs, nullptr);
        avfilter_inout_free(&inputs);
        avfilter_inout_free(&outputs);
        check(parsed, "making the filters");
        check(avfilter_graph_config(graph_.get(), nullptr), "connecting the filters");
    }

    /// Gives the graph a frame, which stays the caller's, or with nullptr the end of the clip.
    void push(AVFrame* frame) {
        check(av_buffersrc_add_frame_flags(source_, frame, AV_BUFFERSRC_FLAG_KEEP_REF), "filtering");
    }

    /// Takes a finished frame; false when there is none (yet).
    [[nodiscard]] bool pull(AVFrame& frame) {
        av_frame_unref(&frame);
        const int code = av_buffersink_get_frame(sink_, &frame);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) {
            return false;
        }
        check(code, "filtering");
        return true;
    }

private:
    void check(int code, std::string_view doing) const {
        require(code >= 0, what_, ": ", doing, " failed: ", ffmpeg_error(code));
    }

    const AVFilter* filter(const char* name) const {
        const AVFilter* found = avfilter_get_by_name(name);
        require(found != nullptr, what_, ": this FFmpeg was built without the filter ", name);
        return found;
    }

    void set_input(const AVFrame& like, AVRational time_base) {
        const auto input = owned(av_buffersrc_parameters_alloc());
        input->format = like.format;
        input->width = like.width;
        input->height = like.height;
        input->time_base = time_base;
        input->sample_aspect_ratio = like.sample_aspect_ratio;
#if LIBAVFILTER_VERSION_MAJOR >= 10
        input->color_space = like.colorspace;
        input->color_range = like.color_range;
#endif
        check(av_buffersrc_parameters_set(source_, input.get()), "describing the input");
        check(avfilter_init_str(source_, nullptr), "opening the input");
    }

    static AVFilterInOut* end(const char* name, AVFilterContext* context) {
        AVFilterInOut* made = avfilter_inout_alloc();
        require(made != nullptr, "FFmpeg is out of memory");
        made->name = av_strdup(name);
        made->filter_ctx = context;
        made->pad_idx = 0;
        made->next = nullptr;
        return made;
    }

    std::string what_;
    FfmpegPointer<AVFilterGraph> graph_;
    AVFilterContext* source_ = nullptr;
    AVFilterContext* sink_ = nullptr;
};

} // namespace reel::detail
