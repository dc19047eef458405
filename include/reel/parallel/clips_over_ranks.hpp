#pragma once
// A UNet whose calls are divided among ranks by their clips. Guidance's two halves are two clips of one call, so two
// ranks compute a half each.

#include <span>

#include <reel/parallel/tensors.hpp>

namespace reel {

/// Called as a UNet3DConditionModel is, by all ranks with the same; each computes its share of the clips, and all get
/// all. A call of one clip is made by all. Both must outlive it. Not for a UNet whose clips look at each other, as
/// those under attention control do.
/// A clip's numbers are those that the UNet gives for it alone. Whether a batch of clips gives the same to the bit is
/// up to the library of matrix products, which may divide longer batches otherwise.
template <class Unet>
struct ClipsOverRanks {
    const Unet* unet;
    const Communicator* ranks;

    template <class X>
    [[nodiscard]] X operator()(const X& sample, std::span<const double> timesteps, const X& text,
                               index_t frames) const {
        return divided(sample, timesteps, text, frames, *unet);
    }
    [[nodiscard]] bool takes_guidance_scale() const requires requires(const Unet& of) { of.takes_guidance_scale(); }
    { return unet->takes_guidance_scale(); }
    template <class X>
    [[nodiscard]] X at_guidance_scale(double scale, const X& sample, std::span<const double> timesteps, const X& text,
                                      index_t frames) const requires requires(const Unet& of) {
        of.at_guidance_scale(scale, sample, timesteps, text, frames);
    }
    {
        return divided(sample, timesteps, text, frames, [&](const X& x, const auto& times, const X& y, index_t n) {
            return unet->at_guidance_scale(scale, x, times, y, n);
        });
    }

private:
    template <class X, class Call>
    [[nodiscard]] X divided(const X& sample, std::span<const double> timesteps, const X& text, index_t frames,
                            const Call& call) const {
        const index_t clips = text.shape(0);
        if (ranks->alone() || clips < 2 || sample.shape(0) != clips * frames) {
            return call(sample, timesteps, text, frames); // which says what is wrong
        }
        const bool each = static_cast<index_t>(timesteps.size()) == clips;
        const X all = rows_over_ranks(
            *ranks, sample.backend(), clips,
            [&](index_t first, index_t last) {
                const auto times =
                    each ? timesteps.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first))
                         : timesteps;
                const X part =
                    call(sample.slice(first * frames, last * frames), times, text.slice(first, last), frames);
                Shape shape;
                shape.append(last - first);
                shape.append(frames);
                for (int axis = 1; axis < part.rank(); ++axis) {
                    shape.append(part.shape(axis));
                }
                return part.reshape(shape);
            },
            "the clips of a UNet's call");
        Shape shape;
        shape.append(clips * frames);
        for (int axis = 2; axis < all.rank(); ++axis) {
            shape.append(all.shape(axis));
        }
        return all.reshape(shape);
    }
};

} // namespace reel
