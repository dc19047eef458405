#pragma once

#include <concepts>
#include <string>

#include <reel/core/shape.hpp>

namespace reel {

/// What a part of a network needs to see together. A clip that is too long for the memory goes through in pieces, and
/// what a part couples is never cut. Joined by `|`: a part that couples tokens, made of one that couples frames,
/// couples the clip.
enum class Couples : unsigned {
    nothing = 0,    ///< every row, one token of one frame, goes alone: linear layers, norms over channels
    tokens = 1,     ///< the tokens of a frame: attention within a picture, or to the text
    frames = 2,     ///< the frames of a clip, each token alone: attention or a convolution along time
    clip = 3,       ///< all tokens of all frames of a clip
    everything = 7, ///< all clips of a call too, such as the halves of guidance
};
/// What two parts couple together.
[[nodiscard]] constexpr Couples operator|(Couples a, Couples b) {
    return static_cast<Couples>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

/// True when all that `b` couples is coupled by `a` as well.
[[nodiscard]] constexpr bool includes(Couples a, Couples b) {
    return (a | b) == a;
}
/// For messages.
[[nodiscard]] inline std::string to_string(Couples couples) {
    switch (couples) {
    case Couples::nothing:
        return "nothing";
    case Couples::tokens:
        return "tokens";
    case Couples::frames:
        return "frames";
    case Couples::clip:
        return "clip";
    case Couples::everything:
        break;
    }
    return "everything";
}

/// What a part says that it couples, in a function `Couples couples() const` or a constant `static constexpr Couples
/// couples`. One that does not say couples everything: that is never wrong, and never saves memory.
template <class Part>
[[nodiscard]] constexpr Couples couples_of(const Part& part) {
    if constexpr (requires {
                      { part.couples() } -> std::same_as<Couples>;
                  }) {
        return part.couples();
    } else if constexpr (requires {
                             { Part::couples } -> std::convertible_to<Couples>;
                         }) {
        return Part::couples;
    } else {
        return Couples::everything;
    }
}

/// Which part of a call's clips something is given: whole clips, or some frames or some tokens of one.
struct ClipPiece {
    index_t clips = 1;       ///< clips, or 1 where less than a clip is given
    index_t frames = 1;      ///< of a whole clip
    index_t first_clip = 0;  ///< which of the call's clips comes first: with guidance 0 is the half without the prompt
    index_t first_frame = 0; ///< of its clip
    index_t first_token = 0; ///< of its frame
    bool all_frames = true;  ///< the clips' frames are all there
};

} // namespace reel
