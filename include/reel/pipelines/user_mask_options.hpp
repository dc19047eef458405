#pragma once
// Where a user says that a clip may change.

#include <string>
#include <vector>

#include <reel/core/option_checks.hpp>

namespace reel {

/// A mask of the user's own; see user_mask.hpp. What several options name may change, each of it.
struct UserMaskOptions {
    std::string file{};                  ///< white may change: one picture, or as many as the clip has
    std::vector<std::string> boxes{};    ///< as read_mask_box() takes them
    std::vector<std::string> polygons{}; ///< as read_mask_polygon() does
    bool follow = false;                 ///< the first frame's mask goes along with what moves
    double grow = 0;                     ///< pixels
    double feather = 0;                  ///< pixels

    bool operator==(const UserMaskOptions&) const = default;

    /// The first option of them that is given.
    [[nodiscard]] const char* option() const {
        return !file.empty() ? "mask_file" : !boxes.empty() ? "mask_box" : "mask_polygon";
    }

    [[nodiscard]] bool given() const { return !file.empty() || !boxes.empty() || !polygons.empty(); }

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"mask_file", "PNG, GIF, video or folder of PNGs, of any size: what is white may change, all else "
                                  "stays; one picture for all frames, or one for each"},
              self.file);
        visit(Option{"mask_box", "x,y,width,height in pixels of the clip as it is, or all of them at most 1 in shares "
                                 "of it: only this may change; with @FRAME behind each several are key frames"},
              self.boxes);
        visit(Option{"mask_polygon", "x,y,x,y,x,y,... as mask_box"}, self.polygons);
        visit(Option{"mask_follow", "carry the first frame's mask through the clip, by optical flow"}, self.follow);
        visit(Option{"mask_grow", "let this mask grow by so many pixels of the result", from_to(0, 10000)}, self.grow);
        visit(Option{"mask_feather", "fade the edit in over so many pixels of the result, inside of this mask",
                     from_to(0, 10000)},
              self.feather);
    }

    /// What must fit together, beyond ranges.
    void check(const KeyLocator& locate) const {
        const auto needs_mask = [&](bool ok, const char* name) {
            require(ok || given(), locate(name), ": there is no mask to work on; give ", locate("mask_file"), ", ",
                    locate("mask_box"), " or ", locate("mask_polygon"));
        };
        needs_mask(!follow, "mask_follow");
        needs_mask(grow == 0, "mask_grow");
        needs_mask(feather == 0, "mask_feather");
        for (const std::vector<std::string>* shapes : {&boxes, &polygons}) {
            for (const std::string& shape : *shapes) {
                require(!follow || shape.find('@') == std::string::npos, locate("mask_follow"), ": \"", shape,
                        "\" is a key frame; expected shapes of the first frame, or no ", locate("mask_follow"));
            }
        }
    }
};

} // namespace reel
