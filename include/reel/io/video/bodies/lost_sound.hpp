#pragma once
// The bodies of lost_sound.hpp. Needs FFmpeg's libraries.

#include <reel/io/video/bodies/inline.hpp>
#include <reel/io/video/sound_copy.hpp>

#include <filesystem>
#include <string>

namespace reel {

[[nodiscard]] REEL_VIDEO_INLINE std::string lost_sound(const std::filesystem::path& path, const char* muxer) {
    const detail::SoundCopy sound(path);
    return sound.stream() == nullptr || detail::holds_sound(muxer, *sound.stream())
               ? ""
               : detail::lost_sound_text(muxer, *sound.stream());
}

} // namespace reel
