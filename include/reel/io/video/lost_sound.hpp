#pragma once
// Whether a file's sound can go along. Needs FFmpeg's libraries.

#include <filesystem>
#include <string>

namespace reel {

/// What a container, by FFmpeg's name such as "mp4", cannot take of a file's sound, in a sentence; "" where it takes it
/// or there is none. Throws Error when the file cannot be read.
[[nodiscard]] std::string lost_sound(const std::filesystem::path& path, const char* muxer);

} // namespace reel

#ifndef REEL_VIDEO_COMPILED
#include <reel/io/video/bodies/lost_sound.hpp>
#endif
