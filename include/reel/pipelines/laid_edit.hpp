#pragma once
// What of an edit's decoded frames is shown: laid over the clip, and kept inside of the user's mask. Needs
// nlohmann-json (target reel::io).

#include <iostream>
#include <utility>

#include <reel/io/records/manifest.hpp>
#include <reel/pipelines/edit_options.hpp>
#include <reel/pipelines/overlay.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

/// What edits are laid on.
struct EditedClip {
    const Frames& clip;
    PixelMask allowed{}; ///< outside of it every pixel stays the clip's own, byte for byte
    Frames unedited{};   ///< the latents that are edited, decoded; see overlay(). Without pixels: nothing is laid over
};

/// A clip's edits from their decoded frames. Throws Error for frames of another size than the clip's.
class LaidEdits {
public:
    explicit LaidEdits(EditedClip of) : of_(std::move(of)) {}

    [[nodiscard]] Frames operator()(const Frames& decoded) {
        Frames result = of_.unedited.rgb.empty() ? decoded : overlay(of_.clip, decoded, of_.unedited);
        if (!of_.allowed.everywhere()) {
            result = keep_outside(of_.clip, result, of_.allowed);
            const OutsideMask found = count_outside(of_.clip, result, of_.allowed);
            outside_.changed += found.changed;
            outside_.pixels += found.pixels;
        }
        return result;
    }

    /// How many pixels outside of the user's mask differ from the clip, on a line of stdout, where there is a mask.
    void tell() const {
        if (!of_.allowed.everywhere()) {
            std::cout << "outside the mask: " << outside_.changed << " of " << outside_.pixels
                      << " pixels changed (so they are in the PNGs of --frames; mp4 and GIF change pixels slightly)\n";
        }
    }

    /// A manifest that has the same, as "outside_mask".
    [[nodiscard]] Manifest recorded(Manifest manifest) const {
        if (!of_.allowed.everywhere()) {
            manifest.set("outside_mask", {{"changed", outside_.changed}, {"pixels", outside_.pixels}});
        }
        return manifest;
    }

private:
    EditedClip of_;
    OutsideMask outside_;
};

} // namespace reel
