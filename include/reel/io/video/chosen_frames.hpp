#pragma once
// Some frames of a clip, one at a time. Needs FFmpeg's libraries (target reel::video).

#include <cstdint>
#include <filesystem>

#include <reel/io/video/video_selection.hpp>
#include <reel/io/video/video_source.hpp>

namespace reel {

/// What read_video() reads, the same pixels, without holding more than two frames: for pictures of which not all fit
/// into memory.
///
///     ChosenFrames frames("clip.mp4", {.start = 8, .max_frames = 24});
///     for (Frames frame; frames.next(frame);) { ... }
class ChosenFrames {
public:
    /// Throws Error as read_video does.
    ChosenFrames(const std::filesystem::path& path, const VideoSelection& chosen)
        : path_(path), chosen_(checked(path, chosen)),
          source_(path, {.width = chosen.width, .height = chosen.height, .fps = chosen.fps, .mirror = false}) {}

    /// Puts the next frame into `frame`, a clip of one frame; false after the last one. Throws Error as read_video
    /// does, for a clip with fewer frames than asked where they end.
    [[nodiscard]] bool next(Frames& frame) {
        if (chosen_.max_frames > 0 && taken_ == chosen_.max_frames) {
            return false;
        }
        const std::int64_t wanted = chosen_.start + std::int64_t{taken_} * chosen_.stride;
        while (source_.position() < wanted) {
            if (!source_.skip()) {
                return end();
            }
        }
        if (!source_.next(frame)) {
            return end();
        }
        ++taken_;
        return true;
    }

    /// Frames given so far.
    [[nodiscard]] int taken() const { return taken_; }

private:
    static const VideoSelection& checked(const std::filesystem::path& path, const VideoSelection& chosen) {
        detail::check_selection(chosen, {}, concat_text("cannot read video ", path.string()));
        return chosen;
    }

    [[nodiscard]] bool end() const {
        if (taken_ == 0 || taken_ < chosen_.max_frames) {
            detail::too_few_frames(chosen_, source_.position(), taken_,
                                   concat_text("cannot read video ", path_.string()));
        }
        return false;
    }

    std::filesystem::path path_;
    VideoSelection chosen_;
    VideoSource source_;
    int taken_ = 0;
};

} // namespace reel
