#pragma once
// Clips to animated GIFs. Needs FFmpeg's libraries. read_video reads them back.

#include <reel/io/pictures/frames.hpp>
#include <reel/io/video/gif_stride.hpp>
#include <reel/io/video/video_times.hpp>

#include <filesystem>

namespace reel {

/// Writes a clip as a GIF that repeats for ever: one palette of 255 colours chosen over the whole clip (so that still
/// parts do not flicker) and error diffusion. Each frame starts at the hundredth of a second nearest to index / fps,
/// so the duration is right to 0.01 s (8 fps: delays of 13 and 12 in turn; the reference's imageio rounds every delay
/// to 12 or to 13). Of a clip of more than 50 frames per second it shows every gif_stride(fps)-th, and lasts as long.
/// A frame that is shown for longer than GIF can count, 655 seconds, is there more than once.
/// The same frames and FFmpeg give the same bytes. The file appears complete or not at all.
/// Throws Error when the clip is empty, fps is not in 0.0001..100'000, or the file cannot be written.
void write_gif(const std::filesystem::path& path, const Frames& frames, double fps);

/// write_gif where frames may have times of their own; what is shown for less than players show of a GIF (0.02 s) is
/// left out. Throws Error as write_gif does, and where there are times of more or fewer frames.
void write_gif(const std::filesystem::path& path, const Frames& frames, const ClipTimes& times);

} // namespace reel

#ifndef REEL_VIDEO_COMPILED
#include <reel/io/video/bodies/gif.hpp>
#endif
