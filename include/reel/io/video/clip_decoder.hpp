#pragma once
// Decodes a clip: a video file, or pictures that follow each other. Needs FFmpeg's libraries.

#include <reel/core/error.hpp>
#include <reel/io/video/picture_files.hpp>
#include <reel/io/video/video_decoder.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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
            check_size(frame);
        }
        const double index = static_cast<double>(decoded_++);
        if (fps_ > 0 || pictures_) {
            time_ = fps_ > 0 ? PictureTime{index / fps_, 1 / fps_} : PictureTime{index, 0};
        } else {
            time_ = decoder_->time();
        }
        return true;
    }

    /// Passes over the frames before number `index` where that is possible without decoding them all; next() then gives
    /// that one or an earlier one, as decoded() tells.
    void skip_to(std::int64_t index) {
        if (pictures_) {
            decoded_ = std::clamp(index, decoded_, static_cast<std::int64_t>(pictures_->size()));
            return;
        }
        if (index - decoded_ < worth_seeking || !decoder_->is_indexed()) {
            return;
        }
        if (!index_) {
            index_ = VideoDecoder(path_, limits_).index();
        }
        const auto key = index_->key_before(index, decoded_);
        if (!key) {
            return;
        }
        const std::int64_t number = index_->index_of(key->start);
        if (decoder_->seek(*key, number)) {
            decoded_ = number;
            return;
        }
        open(0); // not as its packets promise: from the beginning, once more, and never again by seeking
        index_->timed = false;
        const auto frame = owned(av_frame_alloc());
        for (const std::int64_t before = std::exchange(decoded_, 0); decoded_ < before;) {
            require(next(*frame), what(), ": it ends before frame ", before, " when it is read again");
        }
    }

    /// How the last frame is to be turned and mirrored: before the first, how that is to be.
    [[nodiscard]] const DisplayMatrix& turn() const { return turn_; }
    /// The same as decord does it, which reads files, but no pictures.
    [[nodiscard]] DisplayMatrix reference_turn() const { return pictures_ ? turn_ : without_mirror(turn_); }

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
        if (pictures_) {
            return {static_cast<std::int64_t>(pictures_->size()), fps_};
        }
        VideoDecoder file(path_, limits_);
        const PacketIndex index = file.index();
        RateMeter meter = file.meter();
        PictureTime last;
        if (index.timed && !index.starts.empty()) { // else only the stated rate is known
            for (const std::int64_t start : index.starts) {
                meter.add(file.seconds(start - index.starts.front()));
            }
            last = {file.seconds(index.starts.back()) - file.origin(), file.seconds(index.last_duration)};
        }
        const double fps = fps_ > 0 ? fps_ : meter.rate(file.last_duration(meter, last));
        return {static_cast<std::int64_t>(index.starts.size()), fps, file.joints()};
    }

    /// Of the file, or of the picture that was decoded last.
    [[nodiscard]] const VideoDecoder& file() const { return *decoder_; }

private:
    static constexpr std::int64_t worth_seeking = 200; ///< frames: less are decoded as soon

    void open(std::size_t index) {
        decoder_.reset();
        decoder_ = pictures_ ? std::make_unique<VideoDecoder>(pictures_->at(index), limits_, picture_containers)
                             : std::make_unique<VideoDecoder>(path_, limits_);
        turn_ = decoder_->display_matrix();
    }

    /// Pictures may be turned, each by its own mark: as they are shown, they are of one size.
    void check_size(const AVFrame& frame) {
        const int width = is_sideways(turn_) ? frame.height : frame.width;
        const int height = is_sideways(turn_) ? frame.width : frame.height;
        require(decoded_ == 0 || (width == width_ && height == height_), decoder_->what(), ": it is ", width, "x",
                height, is_sideways(turn_) ? " (turned, as its Exif orientation says)" : "",
                ", the first picture of the clip is ", width_, "x", height_,
                first_turned_ ? " (turned, as its Exif orientation says)" : "");
        first_turned_ = decoded_ == 0 ? is_sideways(turn_) : first_turned_;
        width_ = width;
        height_ = height;
    }

    std::filesystem::path path_;
    VideoLimits limits_;
    double fps_;
    std::optional<std::vector<std::filesystem::path>> pictures_;
    std::unique_ptr<VideoDecoder> decoder_;
    std::optional<PacketIndex> index_;
    std::int64_t decoded_ = 0;
    PictureTime time_;
    DisplayMatrix turn_ = upright;
    int width_ = 0; ///< of pictures, as they are shown
    int height_ = 0;
    bool first_turned_ = false; ///< of pictures: by a quarter
};

} // namespace reel::detail
