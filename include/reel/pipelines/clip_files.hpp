#pragma once
// Clips that programs read and write. Needs FFmpeg's libraries (target reel::video).

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/format_text.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/file_name.hpp>
#include <reel/io/pictures/frame_folder.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/lost_sound.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/video/video_writer.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/pipelines/any_tensor.hpp>
#include <reel/pipelines/clip_options.hpp>
#include <reel/pipelines/paste.hpp>
#include <reel/pipelines/replay.hpp>
#include <reel/pipelines/tune_config.hpp>

namespace reel {

/// The clip that a configuration names, chosen and resized as the reference does. `taken` is told what was taken.
[[nodiscard]] inline Frames read_clip(const TuneTrainData& data, const ClipOptions& options = {},
                                      VideoTaken* taken = nullptr) {
    return read_video(data.video_path,
                      {.start = data.sample_start_idx,
                       .stride = data.sample_frame_rate,
                       .max_frames = data.n_sample_frames,
                       .width = data.width,
                       .height = data.height,
                       .fps = options.fps},
                      {}, taken);
}

/// Says what was taken of a clip, on a line of stdout, and what is to be known of its pictures, on stderr. `resized`:
/// its frames were, as a whole.
inline void tell_clip(const std::string& path, const Frames& clip, const VideoTaken& taken, bool resized = true) {
    std::cout << terminal_text(path) << ": " << clip.count << " of " << count_pictures(path) << " pictures, ";
    if (taken.timed) {
        std::cout << format_text("%.1f to %.1f s, ", taken.first, taken.last);
    }
    std::cout << taken.file_width << "x" << taken.file_height;
    if (resized) {
        std::cout << " to " << clip.width << "x" << clip.height;
    }
    std::cout << '\n';
    for (const std::string& note : taken.notes) {
        std::cerr << "note: " << terminal_text(path) << ": " << terminal_text(note) << '\n';
    }
}

/// The clip of a replay file, which then says length and size of `data`; null where it has none.
[[nodiscard]] inline std::optional<Frames> replayed_clip(TuneTrainData& data, const std::optional<Replay>& replay) {
    const HostTensor* video = replay ? replay->video() : nullptr;
    if (video == nullptr) {
        return std::nullopt;
    }
    Frames frames;
    frames.count = static_cast<int>(video->shape[0]);
    frames.height = static_cast<int>(video->shape[1]);
    frames.width = static_cast<int>(video->shape[2]);
    frames.rgb = video->to_vector<std::uint8_t>();
    frames.fps = 8;
    data.n_sample_frames = frames.count;
    data.width = frames.width;
    data.height = frames.height;
    return frames;
}

/// Frames per second to write a clip with: its own, or 8 where it does not say.
[[nodiscard]] inline double fps_of(const Frames& clip) {
    return clip.fps > 0 ? clip.fps : 8;
}

/// Pixels in 0..1 [frames, height, width, 3] as bytes.
[[nodiscard]] inline Frames frames_of(const AnyTensor& pixels, double fps) {
    return to_frames_u8(pixels.to_host(), static_cast<int>(pixels.shape(0)), static_cast<int>(pixels.shape(1)),
                        static_cast<int>(pixels.shape(2)), fps);
}

/// What edits of a part of a clip are laid back into.
struct Pasting {
    std::filesystem::path clip{};
    std::filesystem::path sound{}; ///< the same, where its sound goes along
    double fps = 0;                ///< as ClipOptions has it
    int start = 0;                 ///< the first frame that is edited
    int stride = 1;                ///< and from one to the next
    PictureSize size{};            ///< of the clip
    PixelBox crop{};               ///< the part
    PixelMask allowed{};           ///< of the part: [frames that are edited, its height, its width]
};

/// A clip to edit.
struct SourceClip {
    Frames frames;
    SoundPart sound{};
    ClipTimes times{};
    PictureSize file{};               ///< of the clip as it is; 0: the frames' own
    std::optional<Pasting> pasting{}; ///< where the frames are a part of the clip
};

/// The sound that mp4s can take along: that, or where they cannot hold it none. `tell`: then a line on stderr says so.
[[nodiscard]] inline SoundPart sound_for_mp4(const SoundPart& sound, bool tell) {
    const std::string lost = sound.path.empty() ? "" : lost_sound(sound.path, "mp4");
    if (tell && !lost.empty()) {
        std::cerr << "note: " << terminal_text(sound.path.string()) << ": " << terminal_text(lost) << '\n';
    }
    return lost.empty() ? sound : SoundPart{};
}

/// Times to write a clip with: its own, or 8 frames per second where it does not say.
[[nodiscard]] inline ClipTimes times_of(const Frames& clip, const VideoTaken& taken) {
    return {fps_of(clip), taken.times.each};
}

/// How a clip is written.
struct ClipOutput {
    ClipTimes times{};
    SoundPart sound{};
    bool frames = false;   ///< also as a folder of PNGs, which are as the clip is to the byte
    bool lossless = false; ///< so is the mp4

    [[nodiscard]] Mp4Options mp4() const { return {.lossless = lossless, .sound = sound}; }
};

/// Writes STEM.gif and STEM.mp4, the latter with the sound, and where it is wished for the folder STEM of its pictures
/// (FrameFolder), each by `write(path, function that writes it)`.
template <class Write>
void write_clip(const std::filesystem::path& stem, const Frames& clip, const ClipOutput& output, const Write& write) {
    write(stem.string() + ".gif", [&](const std::filesystem::path& file) { write_gif(file, clip, output.times); });
    write(stem.string() + ".mp4", [&](const std::filesystem::path& file) {
        if (const std::string lost = write_mp4(file, clip, output.times, output.mp4()); !lost.empty()) {
            std::cerr << "note: " << terminal_text(file.string()) << ": " << terminal_text(lost) << '\n';
        }
    });
    if (output.frames) {
        write(stem, [&](const std::filesystem::path& path) {
            FrameFolder folder(path);
            for (int i = 0; i < clip.count; ++i) {
                folder.write(clip, i);
            }
            folder.commit();
        });
    }
}

/// Says on stderr where GIFs will not show every picture of a clip.
inline void note_fast_gifs(const ClipTimes& times) {
    const auto fast = [](const PictureTime& time) { return time.duration < 0.995 / gif_max_fps; };
    if (const int stride = gif_stride(times.fps); stride > 1) {
        std::cerr << "note: GIFs have at most " << gif_max_fps << " pictures a second, the clip has " << times.fps
                  << ": they show " << gif_stride_text(stride) << ", mp4s all\n";
    } else if (const auto few = ranges::count_if(times.each, fast); few > 0) {
        std::cerr << "note: GIFs show pictures for " << 1 / gif_max_fps << " s or longer, the clip has " << few
                  << " that are shorter: GIFs may leave them out, mp4s have all\n";
    }
}

/// Finds out before the work whether files can be made: folders are there or can be, and nothing is in the way. Throws
/// Error.
inline void check_outputs(const std::vector<std::filesystem::path>& files) {
    for (const std::filesystem::path& file : files) {
        if (file.has_parent_path()) {
            make_output_folder(file.parent_path());
        }
        const AtomicFile tried(file);
    }
}

/// Where Tune-A-Video has inverted latents: OUTPUT/inv_latents/ddim_latent-NUMBER.pt.
[[nodiscard]] inline std::filesystem::path inverted_file(const std::filesystem::path& output, index_t number) {
    return output / "inv_latents" / concat_text("ddim_latent-", number, ".pt");
}

/// Writes inverted latents [frames, h, w, c] as Tune-A-Video does. Makes the folder.
inline void write_inverted(const std::filesystem::path& file, Cpu& cpu, const AnyTensor& latents) {
    make_output_folder(file.parent_path());
    write_torch_tensor(file, to_file(to_reference_order(latents.on_cpu(cpu), latents.shape(0))));
}

/// A mask of latents' pixels [frames, h, w, 1] as a clip of white on black, like another: each covers its square.
[[nodiscard]] inline Frames mask_picture(const AnyTensor& mask, const Frames& like) {
    const std::vector<float> values = mask.to_host();
    const int step = like.height / static_cast<int>(mask.shape(1));
    Frames picture = make_frames(like.count, like.height, like.width, like.fps);
    for (int f = 0; f < like.count; ++f) {
        for (int y = 0; y < like.height; ++y) {
            for (int x = 0; x < like.width; ++x) {
                const index_t at = (f * mask.shape(1) + y / step) * mask.shape(2) + x / step;
                const bool inside = values[static_cast<std::size_t>(at)] > 0.5F;
                std::fill_n(picture.pixel(f, y, x), 3, inside ? std::uint8_t{255} : std::uint8_t{0});
            }
        }
    }
    return picture;
}

} // namespace reel
