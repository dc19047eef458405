#pragma once
// A UNet whose calls are divided among ranks by their clips. Guidance's two halves are two clips of one call, so two
// ranks compute a half each.

#include <span>

#include <reel/parallel/tensors.hpp>

namespace reel {

/// Called as a UNet3DConditionModel is, by all ranks with the same; each computes its share of the clips, and all get
/// all. A call of one clip is made by all. Both must outlive it. Not for a UNet whose clips look at each other, as
/// those under attention control do.
/// Every clip is a call of its own, so the bits are the same on any number of ranks above one. A single process makes
/// one call of all clips: its products have more rows, and where that gives them another kernel or other blocks they
/// are rounded otherwise.
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
        const auto clip = [&](index_t i) {
            const X part = call(sample.slice(i * frames, (i + 1) * frames),
                                each ? timesteps.subspan(static_cast<std::size_t>(i), 1) : timesteps,
                                text.slice(i, i + 1), frames);
            Shape shape;
            shape.append(1);
            for (int axis = 0; axis < part.rank(); ++axis) {
                shape.append(part.shape(axis));
            }
            return part.reshape(shape);
        };
        const X all = rows_over_ranks(
            *ranks, sample.backend(), clips,
            [&](index_t first, index_t last) {
                X part = clip(first);
                if (last - first == 1) {
                    return part;
                }
                X clips_here(part.backend(), part.shape().with(0, last - first));
                for (index_t i = first;;) {
                    clips_here.slice(i - first, i - first + 1).copy_from(part);
                    if (++i == last) {
                        return clips_here;
                    }
                    part = clip(i);
                }
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
