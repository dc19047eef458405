#pragma once
// What of an edit's decoded frames is shown: laid over the clip, kept inside of the user's mask, and where only a part
// was edited, laid back into the whole. Needs nlohmann-json and FFmpeg's libraries (targets reel::io, reel::video).

#include <cmath>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>
#include <vector>

#include <reel/io/records/manifest.hpp>
#include <reel/pipelines/edit_options.hpp>
#include <reel/pipelines/overlay.hpp>
#include <reel/pipelines/pasted_clip.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

/// What edits are laid on.
struct EditedClip {
    const Frames& clip;
    PixelMask allowed{}; ///< outside of it every pixel stays the clip's own, byte for byte
    Frames unedited{};   ///< the latents that are edited, decoded; see overlay(). Without pixels: nothing is laid over
    std::optional<Pasting> pasting{}; ///< where `clip` is a part of a larger one, for which the same holds
};

/// An edit of a clip.
struct LaidEdit {
    Frames frames{};   ///< as the clip
    EditLayer layer{}; ///< what of it goes into a larger clip, where there is one
};

/// A clip's edits from their decoded frames. Throws Error for frames of another size than the clip's.
class LaidEdits {
public:
    explicit LaidEdits(EditedClip of) : of_(std::move(of)) {}

    [[nodiscard]] LaidEdit operator()(const Frames& decoded) {
        LaidEdit edit{decoded};
        if (of_.pasting) {
            edit.layer.edited = decoded;
        }
        if (!of_.unedited.rgb.empty()) {
            const std::vector<float> shares = overlay_shares(decoded, of_.unedited);
            edit.frames = laid_over(of_.clip, decoded, shares);
            if (of_.pasting) {
                edit.layer.shares = grey_picture(shares, decoded);
            }
        }
        if (!of_.allowed.everywhere()) {
            edit.frames = keep_outside(of_.clip, edit.frames, of_.allowed);
            if (!of_.pasting) {
                outside_ += count_outside(of_.clip, edit.frames, of_.allowed);
            }
        }
        return edit;
    }

    /// Writes an edit as write_clip() does; of one that goes into a larger clip the mp4 and the folder are that.
    template <class Write>
    void write(const std::filesystem::path& stem, const LaidEdit& edit, const ClipOutput& output, const Write& write) {
        if (!of_.pasting) {
            return write_clip(stem, edit.frames, output, write);
        }
        write(stem.string() + ".gif", [&](const auto& file) { write_gif(file, edit.frames, output.times); });
        outside_ += write_pasted(stem, *of_.pasting, edit.layer, output, write);
    }

    /// Of the edits so far; of those that go into a larger clip, once they are written.
    [[nodiscard]] const OutsideMask& outside() const { return outside_; }

    /// How many pixels outside of the user's mask differ from the clip, on a line of stdout, where there is a mask.
    void tell() const {
        if (!of_.allowed.everywhere()) {
            std::cout << "outside the mask: " << outside_.changed << " of " << outside_.pixels
                      << " pixels changed (so they are in the PNGs of --frames and the mp4s of --lossless; other mp4s "
                         "and GIFs change pixels slightly)\n";
        }
    }

    /// A manifest that has the same, as "outside_mask", and what was cut out of the clip, as "crop".
    [[nodiscard]] Manifest recorded(Manifest manifest) const {
        if (!of_.allowed.everywhere()) {
            manifest.set("outside_mask", {{"changed", outside_.changed}, {"pixels", outside_.pixels}});
        }
        if (of_.pasting) {
            manifest.set("crop", crop_json(*of_.pasting));
        }
        return manifest;
    }

private:
    [[nodiscard]] static Frames grey_picture(const std::vector<float>& shares, const Frames& like) {
        Frames grey = make_frames(like.count, like.height, like.width, like.fps);
        for (std::size_t i = 0; i < grey.rgb.size(); ++i) {
            grey.rgb[i] = static_cast<std::uint8_t>(std::lround(PixelMask::whole * shares[i / 3]));
        }
        return grey;
    }

    EditedClip of_;
    OutsideMask outside_;
};

} // namespace reel
