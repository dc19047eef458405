#pragma once
// The sound that goes along with a clip. No other library.

#include <filesystem>

namespace reel {

/// The sound that a clip takes along: that of a file, from when its first picture is shown on the file's clock
/// (VideoSource::origin, and its time). Empty path: none.
struct SoundPart {
    std::filesystem::path path;
    double begin = 0; ///< seconds
};

} // namespace reel
