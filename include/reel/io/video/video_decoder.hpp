#pragma once
// Decodes a video file frame by frame, trusting nothing in it. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/gif_blocks.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// How much a video file may make reel do. All are generous; lower them for files from strangers.
struct VideoLimits {
    int max_side = max_picture_side;                  ///< width or height in the file, pixels
    std::int64_t max_pixels = max_picture_pixels;     ///< pixels of one frame in the file
    std::int64_t max_decoded = 1'000'000;             ///< frames decoded, the passed-over ones included
    std::uint64_t max_bytes = std::uint64_t{1} << 34; ///< bytes of RGB handed back (16 GiB)
};

namespace detail {

/// A regular file behind FFmpeg's reading callbacks. FFmpeg is given this and no name, so nothing in a path or in a
/// file can make it open anything else.
class VideoInput {
public:
    VideoInput(const std::filesystem::path& path, const std::string& what) {
        // Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        const int reason = errno;
        require(descriptor_ >= 0, what,
                reason == ENOENT ? ": there is no such file (only local files are read)"
                                 : concat_text(": ", std::strerror(reason)));
        try {
            inspect(what);
            constexpr int buffer_size = 1 << 16;
            auto* buffer = static_cast<unsigned char*>(av_malloc(buffer_size));
            require(buffer != nullptr, what, ": out of memory");
            context_ = avio_alloc_context(buffer, buffer_size, 0, this, &VideoInput::read, nullptr, &VideoInput::seek);
            if (context_ == nullptr) {
                av_free(buffer);
                fail(what, ": out of memory");
            }
        } catch (...) {
            ::close(descriptor_);
            throw;
        }
    }

    VideoInput(const VideoInput&) = delete;
    VideoInput& operator=(const VideoInput&) = delete;

    ~VideoInput() {
        av_freep(&context_->buffer);
        avio_context_free(&context_);
        ::close(descriptor_);
    }

    [[nodiscard]] AVIOContext* context() const { return context_; }
    [[nodiscard]] std::int64_t size() const { return size_; }

private:
    void inspect(const std::string& what) {
        struct stat status {};
        require(::fstat(descriptor_, &status) == 0, what, ": ", std::strerror(errno));
        require(!S_ISDIR(status.st_mode), what, ": it is a folder, expected a video file");
        require(S_ISREG(status.st_mode), what, ": it is a device or a pipe, expected a video file");
        size_ = status.st_size;
        require(size_ > 0, what, ": the file is empty");
        constexpr std::string_view pointer = "version https://git-lfs.github.com/spec/";
        std::array<char, pointer.size()> head{};
        const ssize_t got = ::pread(descriptor_, head.data(), head.size(), 0);
        require(got >= 0, what, ": ", std::strerror(errno));
        require(std::string_view(head.data(), static_cast<std::size_t>(got)) != pointer, what,
                ": it is a Git LFS pointer, not the video itself; fetch it with `git lfs pull`");
        // FFmpeg takes a GIF that is cut off for a shorter one.
        require(!std::string_view(head.data(), static_cast<std::size_t>(got)).starts_with("GIF8") ||
                    gif_has_trailer([&](std::int64_t at) { return byte_at(at); }),
                what, ": damaged (the GIF ends before its last block); copy it again or encode it anew");
    }

    [[nodiscard]] std::optional<std::uint8_t> byte_at(std::int64_t at) const {
        std::uint8_t byte = 0;
        return ::pread(descriptor_, &byte, 1, at) == 1 ? std::optional(byte) : std::nullopt;
    }

    static int read(void* self, std::uint8_t* target, int bytes) {
        const ssize_t got =
            ::read(static_cast<VideoInput*>(self)->descriptor_, target, static_cast<std::size_t>(bytes));
        return got > 0 ? static_cast<int>(got) : got == 0 ? AVERROR_EOF : AVERROR(errno);
    }

    static std::int64_t seek(void* self, std::int64_t offset, int whence) {
        const auto* input = static_cast<VideoInput*>(self);
        if ((whence & AVSEEK_SIZE) != 0) {
            return input->size_;
        }
        const off_t position = ::lseek(input->descriptor_, offset, whence & ~AVSEEK_FORCE);
        return position >= 0 ? position : AVERROR(errno);
    }

    int descriptor_ = -1;
    std::int64_t size_ = 0;
    AVIOContext* context_ = nullptr;
};

/// The containers reel reads: each is one file that holds its own pictures. Playlists, concatenation scripts, image
/// sequences and devices are not among them.
inline constexpr const char* video_containers =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,mpeg,mpegts,mpegvideo,m4v,h264,hevc,flv,asf,ogg,ivf";

/// The best video stream of a file, decoded in presentation order.
class VideoDecoder {
public:
    VideoDecoder(const std::filesystem::path& path, const VideoLimits& limits)
        : what_(concat_text("cannot read video ", path.string())), limits_(limits), input_(path, what_) {
        open_container();
        open_codec();
    }

    VideoDecoder(const VideoDecoder&) = delete;
    VideoDecoder& operator=(const VideoDecoder&) = delete;
    ~VideoDecoder() { avformat_close_input(&format_); }

    /// Decodes the next frame; false at the end. Throws Error when the file is damaged.
    [[nodiscard]] bool next(AVFrame& frame) {
        for (;;) {
            const int code = avcodec_receive_frame(codec_.get(), &frame);
            if (code == 0) {
                accept(frame);
                return true;
            }
            if (code == AVERROR_EOF) {
                return false;
            }
            if (code != AVERROR(EAGAIN)) {
                damaged(ffmpeg_error(code));
            }
            feed();
        }
    }

    [[nodiscard]] const std::string& what() const { return what_; }
    [[nodiscard]] std::int64_t decoded() const { return decoded_; }
    [[nodiscard]] std::string codec_name() const { return avcodec_get_name(codec_->codec_id); }
    [[nodiscard]] std::string container_name() const { return format_->iformat->name; }

    /// Frames per second as the container states it, 0 when it does not.
    [[nodiscard]] double fps() const {
        for (const AVRational rate : {stream_->avg_frame_rate, stream_->r_frame_rate}) {
            if (rate.num > 0 && rate.den > 0) {
                return av_q2d(rate);
            }
        }
        return 0.0;
    }

    /// By how much a player turns the pictures clockwise: 0, 90, 180 or 270 degrees. Other angles count as 0.
    [[nodiscard]] int rotation() const {
        const std::uint8_t* matrix = nullptr;
        std::size_t size = 0;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
        const AVCodecParameters& parameters = *stream_->codecpar;
        if (const AVPacketSideData* data = av_packet_side_data_get(
                parameters.coded_side_data, parameters.nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX)) {
            matrix = data->data;
            size = data->size;
        }
#else
        matrix = av_stream_get_side_data(stream_, AV_PKT_DATA_DISPLAYMATRIX, &size);
#endif
        std::array<std::int32_t, 9> values{};
        if (matrix == nullptr || size < sizeof values) {
            return 0;
        }
        std::memcpy(values.data(), matrix, sizeof values);
        const double clockwise = -av_display_rotation_get(values.data());
        if (!std::isfinite(clockwise)) {
            return 0;
        }
        const int degrees = (static_cast<int>(std::lround(clockwise)) % 360 + 360) % 360;
        return degrees % 90 == 0 ? degrees : 0;
    }

private:
    void open_container() {
        format_ = avformat_alloc_context();
        require(format_ != nullptr, what_, ": out of memory");
        format_->pb = input_.context();
        format_->io_open = [](AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
            return AVERROR(EPERM); // a video that refers to another file is refused
        };
        AVDictionary* options = nullptr;
        av_dict_set(&options, "format_whitelist", video_containers, 0);
        av_dict_set(&options, "protocol_whitelist", "file", 0);
        // On failure FFmpeg frees the context itself and sets it to null.
        const int opened = avformat_open_input(&format_, "", nullptr, &options);
        av_dict_free(&options);
        require(opened >= 0, what_, ": not a video reel reads, or damaged (FFmpeg: ", ffmpeg_error(opened),
                "); expected an mp4, mov, mkv, webm, avi, gif or mpeg file");
        try {
            find_stream();
        } catch (...) {
            avformat_close_input(&format_); // the destructor does not run when a constructor throws
            throw;
        }
    }

    void find_stream() {
        // FFmpeg decodes a little here, in decoders of its own that must keep to the limits too.
        std::vector<AVDictionary*> options(format_->nb_streams, nullptr);
        for (AVDictionary*& entry : options) {
            av_dict_set_int(&entry, "max_pixels", limits_.max_pixels, 0);
        }
        const int known = avformat_find_stream_info(format_, options.empty() ? nullptr : options.data());
        for (AVDictionary*& entry : options) {
            av_dict_free(&entry);
        }
        require(known >= 0, what_, ": damaged (FFmpeg: ", ffmpeg_error(known), ")");
        const int best = av_find_best_stream(format_, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
        require(best >= 0, what_, ": it holds no pictures that this FFmpeg can decode");
        for (unsigned i = 0; i < format_->nb_streams; ++i) {
            format_->streams[i]->discard = static_cast<int>(i) == best ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
        }
        stream_ = format_->streams[best];
        check_size(stream_->codecpar->width, stream_->codecpar->height);
        check_complete();
    }

    /// An mp4 cut short keeps its index; reading on would quietly end the clip early.
    void check_complete() const {
        for (int i = 0; i < avformat_index_get_entries_count(stream_); ++i) {
            const AVIndexEntry* entry = avformat_index_get_entry(stream_, i);
            require(entry == nullptr || entry->pos <= input_.size() - entry->size, what_,
                    ": the file is cut off: its index places frame ", i, " at byte ", entry->pos, ", the file has ",
                    input_.size(), "; copy it again");
        }
    }

    void check_size(int width, int height) const {
        require(width <= limits_.max_side && height <= limits_.max_side &&
                    std::int64_t{width} * height <= limits_.max_pixels,
                what_, ": its frames are ", width, "x", height, ", above the limit of ", limits_.max_side,
                " pixels a side and ", limits_.max_pixels, " pixels in all");
    }

    void open_codec() {
        try {
            const AVCodec* decoder = avcodec_find_decoder(stream_->codecpar->codec_id);
            require(decoder != nullptr, what_, ": this FFmpeg has no decoder for ",
                    avcodec_get_name(stream_->codecpar->codec_id));
            codec_ = owned(avcodec_alloc_context3(decoder));
            const int copied = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
            require(copied >= 0, what_, ": ", ffmpeg_error(copied));
            codec_->pkt_timebase = stream_->time_base;
            codec_->max_pixels = limits_.max_pixels;
            codec_->thread_count = 0; // as many as there are cores; the frames are the same for any number
            const int opened = avcodec_open2(codec_.get(), decoder, nullptr);
            require(opened >= 0, what_, ": the ", decoder->name, " decoder refuses it: ", ffmpeg_error(opened));
            packet_ = owned(av_packet_alloc());
        } catch (...) {
            avformat_close_input(&format_);
            throw;
        }
    }

    void feed() {
        av_packet_unref(packet_.get());
        for (;;) {
            const int code = av_read_frame(format_, packet_.get());
            if (code == AVERROR_EOF) {
                break;
            }
            if (code < 0) {
                damaged(ffmpeg_error(code));
            }
            if (packet_->stream_index == stream_->index) {
                break;
            }
            av_packet_unref(packet_.get());
        }
        if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) {
            damaged("the container marks it so, or it is cut off");
        }
        // An empty packet at the end asks the decoder for the frames it still holds.
        const int sent = avcodec_send_packet(codec_.get(), packet_->data != nullptr ? packet_.get() : nullptr);
        if (sent < 0) {
            damaged(ffmpeg_error(sent));
        }
    }

    void accept(const AVFrame& frame) {
        if (frame.decode_error_flags != 0) {
            damaged("the decoder had to guess parts of it");
        }
        check_size(frame.width, frame.height);
        ++decoded_;
        require(decoded_ <= limits_.max_decoded, what_, ": it has more than ", limits_.max_decoded,
                " frames, the limit of VideoLimits::max_decoded");
    }

    [[noreturn]] void damaged(std::string_view reason) const {
        fail(what_, ": damaged after frame ", decoded_, " (", reason, "); copy it again or encode it anew");
    }

    std::string what_;
    VideoLimits limits_;
    QuietFfmpeg quiet_;
    VideoInput input_;
    AVFormatContext* format_ = nullptr;
    AVStream* stream_ = nullptr;
    FfmpegPointer<AVCodecContext> codec_;
    FfmpegPointer<AVPacket> packet_;
    std::int64_t decoded_ = 0;
};

} // namespace detail
} // namespace reel
