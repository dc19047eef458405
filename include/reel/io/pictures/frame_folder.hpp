#pragma once
// A folder of a clip's pictures: frame-00000.png, ... Needs libpng (target reel::io) and POSIX.

#include <reel/core/error.hpp>
#include <reel/core/format_text.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/pictures/png.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace reel {

/// The name of a clip's picture in its folder: frame-00012.png.
[[nodiscard]] inline std::string frame_name(std::int64_t index) {
    return format_text("frame-%05lld.png", static_cast<long long>(index));
}

/// Whether frame_name() gives this name to any picture.
[[nodiscard]] inline bool is_frame_name(std::string_view name) {
    constexpr std::string_view before = "frame-";
    constexpr std::string_view after = ".png";
    constexpr std::size_t digits = 5;
    if (name.size() < before.size() + digits + after.size() || !name.starts_with(before) || !name.ends_with(after)) {
        return false;
    }
    const std::string_view number = name.substr(before.size(), name.size() - before.size() - after.size());
    return number.find_first_not_of("0123456789") == std::string_view::npos &&
           (number.size() == digits || number.front() != '0');
}

/// Writes the pictures of a clip as a folder that appears, or takes the place of an older one, with commit(): then it
/// has exactly these pictures. Only a folder of such pictures is replaced, never anything else.
///
///     FrameFolder folder("frames");
///     folder.write(clip, 0);
///     folder.commit();
class FrameFolder {
public:
    /// Throws Error when something else is there, or in the folder, or no folder can be made.
    explicit FrameFolder(const std::filesystem::path& path) : folder_(checked(path)) {}

    /// Appends frame `index` of a clip, by its place in it, or as picture `number`.
    void write(const Frames& clip, int index, std::int64_t number) {
        write_png(folder_.path() / frame_name(number), clip, index);
    }
    void write(const Frames& clip, int index) { write(clip, index, index); }

    /// Throws Error when that fails; then what was there before is as it was.
    void commit() { folder_.commit(); }

private:
    [[nodiscard]] static std::filesystem::path checked(const std::filesystem::path& path) {
        std::filesystem::path folder = path.has_filename() ? path : path.parent_path(); // of "frames/"
        require_folder_name(folder);
        std::error_code error;
        if (!std::filesystem::exists(std::filesystem::symlink_status(folder, error))) {
            return folder;
        }
        folder = std::filesystem::canonical(folder, error); // the folder is replaced, and not a link to it
        std::error_code ignored;
        require(!std::filesystem::equivalent(folder, ".", ignored), "cannot write pictures into ", path.string(),
                ": it is the current folder, and would be replaced; name another");
        auto entry = std::filesystem::directory_iterator(folder, error);
        for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
            const std::string name = entry->path().filename().string();
            require(name.starts_with(detail::temporary_prefix) ||
                        (is_frame_name(name) && !entry->is_directory(ignored)),
                    "cannot write pictures into ", path.string(), ": the folder is there already, and holds ", name,
                    ", which is no picture of reel's (", frame_name(0), "); name another folder, or move that away");
        }
        require(!error, "cannot write pictures into ", path.string(), ": ", error.message());
        return folder;
    }

    AtomicFolder folder_;
};

/// Finds out before the work whether a FrameFolder can be written. Throws Error.
inline void check_frame_folder(const std::filesystem::path& path) {
    const FrameFolder tried(path);
}

} // namespace reel
