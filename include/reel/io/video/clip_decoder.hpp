#pragma once
// Decodes a clip: a video file, or pictures that follow each other. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/picture_files.hpp>
#include <reel/io/video/video_decoder.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace reel::detail {

/// One interface for both. `fps`: what the clip is taken to have, 0: what it says.
class ClipDecoder {
public:
    ClipDecoder(const std::filesystem::path& path, const VideoLimits& limits, double fps = 0)
        : path_(path), limits_(limits), fps_(fps), pictures_(picture_files(path)) {
        open(0);
    }

    /// Decodes the next frame; false at the end. Throws Error when the clip is damaged.
    [[nodiscard]] bool next(AVFrame& frame) {
        if (!pictures_) {
            if (!decoder_->next(frame)) {
                return false;
            }
        } else {
            if (static_cast<std::size_t>(decoded_) == pictures_->size()) {
                return false;
            }
            if (decoded_ > 0) {
                open(static_cast<std::size_t>(decoded_));
            }
            require(decoder_->next(frame), decoder_->what(), ": it holds no picture");
            require(decoded_ == 0 || (frame.width == width_ && frame.height == height_), decoder_->what(), ": it is ",
                    frame.width, "x", frame.height, ", the first picture of the clip is ", width_, "x", height_);
            width_ = frame.width;
            height_ = frame.height;
        }
        const double index = static_cast<double>(decoded_++);
        if (fps_ > 0 || pictures_) {
            time_ = fps_ > 0 ? PictureTime{index / fps_, 1 / fps_} : PictureTime{index, 0};
        } else {
            time_ = decoder_->time();
        }
        return true;
    }

    /// When the last frame is shown. Pictures of a folder without a rate are a second apart.
    [[nodiscard]] PictureTime time() const { return time_; }
    [[nodiscard]] std::int64_t decoded() const { return decoded_; }
    [[nodiscard]] std::string what() const {
        return pictures_ ? concat_text("cannot read video ", path_.string()) : decoder_->what();
    }
    [[nodiscard]] bool knows_time() const { return fps_ > 0 || !pictures_; }

    /// For the clip's rate, which it is told the times of.
    [[nodiscard]] RateMeter meter(int stride = 1) const {
        return fps_ > 0 ? RateMeter({fps_ / stride}, 0) : pictures_ ? RateMeter() : decoder_->meter(stride);
    }

    /// How long the last frame of the clip is shown, once it was decoded; 0: not known.
    [[nodiscard]] double last_duration(const RateMeter& meter) const {
        return fps_ > 0 ? 1 / fps_ : pictures_ ? 0 : decoder_->last_duration(meter);
    }

    /// How many pictures at which rate, without decoding. Another decoder goes through the file.
    [[nodiscard]] PacketTimes scan() const {
        PacketTimes times;
        if (pictures_) {
            times.count = static_cast<std::int64_t>(pictures_->size());
        } else {
            times = VideoDecoder(path_, limits_).scan();
        }
        times.fps = fps_ > 0 ? fps_ : times.fps;
        return times;
    }

    /// Of the file, or of the picture that was decoded last.
    [[nodiscard]] const VideoDecoder& file() const { return *decoder_; }

private:
    void open(std::size_t index) {
        decoder_.reset();
        decoder_ = pictures_ ? std::make_unique<VideoDecoder>(pictures_->at(index), limits_, picture_containers)
                             : std::make_unique<VideoDecoder>(path_, limits_);
    }

    std::filesystem::path path_;
    VideoLimits limits_;
    double fps_;
    std::optional<std::vector<std::filesystem::path>> pictures_;
    std::unique_ptr<VideoDecoder> decoder_;
    std::int64_t decoded_ = 0;
    PictureTime time_;
    int width_ = 0;
    int height_ = 0;
};

} // namespace reel::detail
