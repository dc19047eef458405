#pragma once
// Clips to mp4 files. Needs FFmpeg's libraries with an H.264 encoder (libx264 or libopenh264).

#include <reel/core/error.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/mp4_options.hpp>
#include <reel/io/video/video_times.hpp>

#include <filesystem>
#include <string>
#include <system_error>

namespace reel {

/// Of FFmpeg's libraries, such as "5.1.6".
[[nodiscard]] std::string ffmpeg_version();

/// The encoder write_mp4 uses with this FFmpeg: "libx264", else "libopenh264" (which ignores Mp4Options). Throws Error
/// when there is neither.
[[nodiscard]] std::string h264_encoder_name();

/// Finds out before the work whether this FFmpeg can write such mp4s. Throws Error.
void check_mp4(const Mp4Options& options);

/// Writes a clip as H.264 in mp4, yuv420p (see full_colour), index first ("faststart"): what browsers and players open.
/// Colours are BT.709 in limited range and marked so. H.264 in yuv420p has even sides only, so the last column or row
/// of an odd-sized clip is written twice. The same frames and FFmpeg give the same bytes. The file appears complete or
/// not at all. Throws Error when the clip is empty, fps is not in 0..100'000, or the file cannot be written. Sound
/// never costs the clip: returns what of it could not be copied, and why, in a sentence; "" where all could.
std::string write_mp4(const std::filesystem::path& path, const Frames& frames, double fps,
                      const Mp4Options& options = {});

/// write_mp4 where frames may have times of their own (to 0.1 ms). Throws Error as write_mp4 does, and where there are
/// times of more or fewer frames. Returns what of the sound could not be copied, as write_mp4 does.
std::string write_mp4(const std::filesystem::path& path, const Frames& frames, const ClipTimes& times,
                      const Mp4Options& options = {});

/// Throws Error where what is to be written is the clip that is read: it would be replaced.
inline void require_other_clip(const std::filesystem::path& output, const std::filesystem::path& clip) {
    std::error_code ignored;
    require(!std::filesystem::equivalent(output, clip, ignored), "cannot write ", output.string(),
            ": it is the clip that is read; name another");
}

} // namespace reel

#ifndef REEL_VIDEO_COMPILED
#include <reel/io/video/bodies/video_writer.hpp>
#endif
