#pragma once
// A local file for FFmpeg to read from, and nothing else. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/gif_blocks.hpp>
#include <reel/io/video/video_ffmpeg.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace reel::detail {

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

    [[nodiscard]] std::optional<std::uint8_t> byte_at(std::int64_t at) const {
        std::uint8_t byte = 0;
        return ::pread(descriptor_, &byte, 1, at) == 1 ? std::optional(byte) : std::nullopt;
    }

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
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,webp_anim,mpeg,mpegts,mpegvideo,m4v,h264,hevc,flv,asf,ogg,ivf,"
    "dv,mxf,nut,mpjpeg,yuv4mpegpipe";

/// Single pictures, of which a folder may be a clip.
inline constexpr const char* picture_containers =
    "png_pipe,jpeg_pipe,jpegls_pipe,bmp_pipe,webp_pipe,tiff_pipe,apng,image2pipe";

/// What a file is that is no clip but looks like a picture, in a sentence; "" for anything else.
[[nodiscard]] inline std::string picture_hint(const VideoInput& input) {
    const auto has = [&](std::int64_t at, std::string_view text) {
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (input.byte_at(at + static_cast<std::int64_t>(i)) != static_cast<std::uint8_t>(text[i])) {
                return false;
            }
        }
        return true;
    };
    if (has(8, "WEBP") && has(12, "VP8X") && (input.byte_at(20).value_or(0) & 2U) != 0) {
        return "an animated WebP, which this FFmpeg does not read; make a GIF, APNG or mp4 of it";
    }
    if (has(0, "ID3") || has(0, "fLaC") || (has(0, "RIFF") && has(8, "WAVE"))) {
        return "a sound file, with or without a cover picture; expected a clip";
    }
    const bool picture =
        has(8, "WEBP") || has(0, "\x89PNG") || has(0, "\xff\xd8\xff") || has(0, "BM") || has(0, "II*") || has(0, "MM");
    return picture ? "a single picture; expected a clip, or a folder of pictures, or a pattern (frame-%05d.png)" : "";
}

/// The stream of a container that is the clip: the one that players choose, and never a cover picture. Throws Error
/// where there is none.
[[nodiscard]] inline int clip_stream(AVFormatContext* format, const std::string& what) {
    const auto is_cover = [&](int index) {
        return (format->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;
    };
    int best = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
    require(best >= 0, what, ": it holds no pictures that this FFmpeg can decode");
    for (int i = 0; is_cover(best) && i < static_cast<int>(format->nb_streams); ++i) {
        const bool video = format->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO;
        best = video && !is_cover(i) ? i : best;
    }
    require(!is_cover(best), what, ": it is a sound file with a cover picture, and no clip");
    return best;
}

/// Opens a container of one of these kinds, which can open nothing else.
[[nodiscard]] inline AVFormatContext* open_local(const VideoInput& input, const char* containers,
                                                 const std::string& what) {
    AVFormatContext* format = avformat_alloc_context();
    require(format != nullptr, what, ": out of memory");
    format->pb = input.context();
    format->io_open = [](AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
        return AVERROR(EPERM); // a video that refers to another file is refused
    };
    AVDictionary* options = nullptr;
    av_dict_set(&options, "format_whitelist", containers, 0);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    // Of GIFs, what players make of delays that are too short, whatever this FFmpeg's defaults are.
    av_dict_set(&options, "min_delay", "2", 0);
    av_dict_set(&options, "default_delay", "10", 0);
    // On failure FFmpeg frees the context itself and sets it to null.
    const int opened = avformat_open_input(&format, "", nullptr, &options);
    av_dict_free(&options);
    require(opened >= 0 || picture_hint(input).empty(), what, ": not a video: it is ", picture_hint(input));
    require(opened >= 0, what, ": not a video reel reads, or damaged (FFmpeg: ", ffmpeg_error(opened),
            "); expected an mp4, mov, mkv, webm, avi, gif or mpeg file");
    return format;
}

} // namespace reel::detail
