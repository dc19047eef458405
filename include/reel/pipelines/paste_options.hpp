#pragma once
// Whether an edit is made of a part of the clip, and laid back into it at its own size.

#include <reel/core/option_checks.hpp>
#include <reel/pipelines/user_mask_options.hpp>

namespace reel {

/// See paste.hpp and pasted_clip.hpp.
struct PasteOptions {
    bool paste = false;
    double context = default_context;

    bool operator==(const PasteOptions&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"paste",
                     "edit only what surrounds this mask, cut out and resized to width x height, and lay it back "
                     "into the clip at the clip's own size, with all its frames and its sound"},
              self.paste);
        visit(Option{"paste_context",
                     "surroundings that are cut out along with this mask: this share of its width on the left and on "
                     "the right, of its height above and below",
                     from_to(0, 100)},
              self.context);
    }

    /// What must fit together, beyond ranges.
    void check(const UserMaskOptions& mask, const KeyLocator& locate) const {
        require(!paste || mask.given(), locate("paste"), ": there is no mask to cut out the surroundings of; give ",
                locate("mask_file"), ", ", locate("mask_box"), " or ", locate("mask_polygon"));
        require(paste || context == default_context, locate("paste_context"), ": nothing is cut out; give ",
                locate("paste"), ", too");
    }

private:
    static constexpr double default_context = 0.5;
};

} // namespace reel
