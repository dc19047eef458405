#pragma once
// Clips from video files, chosen and resized as the reference does it. Needs FFmpeg's libraries.

#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/video_selection.hpp>
#include <reel/io/video/video_taken.hpp>

#include <cstdint>
#include <filesystem>

namespace reel {

/// Reads frames start, start + stride, ... of a video, `max_frames` of them, each resized to width x height without
/// cropping and without keeping the aspect. Frames are counted as they decode; what the container claims is not
/// believed. A file that asks to be shown rotated by a quarter turn is rotated, and not mirrored; pictures of a folder
/// are both, each as its Exif orientation says. The result's fps is that of the frames taken, by their times. Frame
/// choice and pixels agree with decord 0.6.0, which the reference uses (see docs/video.md).
///
/// `path` may also be a folder of pictures, or a pattern such as "frame-%05d.png" (see picture_files); their fps is
/// `chosen.fps`, or 0. Only local regular files are read, and nothing that a file refers to. `taken` is told what was
/// taken. Throws Error when the file is missing, no video, damaged or above the limits, or has fewer frames than asked.
[[nodiscard]] Frames read_video(const std::filesystem::path& path, const VideoSelection& chosen = {},
                                const VideoLimits& limits = {}, VideoTaken* taken = nullptr);

/// How many pictures a clip has, by its packets, without decoding. Throws Error as read_video does.
[[nodiscard]] std::int64_t count_pictures(const std::filesystem::path& path, const VideoLimits& limits = {});

/// Decodes a whole video and says what is in it. Throws Error as read_video does.
[[nodiscard]] VideoInfo probe_video(const std::filesystem::path& path, const VideoLimits& limits = {});

} // namespace reel

#ifndef REEL_VIDEO_COMPILED
#include <reel/io/video/bodies/video_reader.hpp>
#endif
