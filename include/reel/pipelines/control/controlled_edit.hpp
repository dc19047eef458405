#pragma once
// sample_edit() under a control.

#include <reel/pipelines/control/ledits.hpp>
#include <reel/pipelines/control/source_branch.hpp>
#include <reel/pipelines/edit_clip.hpp>

#include <type_traits>

namespace reel {

/// sample_edit() with a control such as an AnyControl. Where it looks at the clip, that is as `clip` has it, under the
/// text `source` [1, tokens, channels] that it was inverted under, and the control must be in the editor's UNet: see
/// with_control(). Where it has LEDITS++'s concepts they are in the place of `guidance`, away from `source`. Otherwise
/// `clip` may have the sampler's timesteps alone.
template <class Editor, Real T, Backend B, class Control, class Each>
[[nodiscard]] Tensor<T, B> sample_controlled_edit(const Editor& editor, const Trajectory<T, B>& clip,
                                                  const EditPlace<T, B>& place, const Guidance<T, B>& guidance,
                                                  const Tensor<T, B>& source, Control& control, const Each& each) {
    using X = Tensor<T, B>;
    const auto led = [&](index_t step, const X& x) { return control.lead ? control.lead(step, clip, x) : x; };
    const auto after_step = [&](index_t k, const X& x) {
        const auto level = static_cast<std::size_t>(clip.steps() - k);
        const X blended = control.looks_at_clip() ? control.local_blend(k, x, clip.latents[level]) : x;
        each(k, blended);
        return led(k, blended);
    };
    const auto with = [&](const auto& unet) {
        return ClipEditor{unet, editor.model, editor.sampler, editor.sampling, editor.edit, editor.seed, editor.watch};
    };
    if (control.concepts != nullptr) {
        const LeditsUnet<std::remove_cvref_t<decltype(editor.unet)>, T, B> unet(editor.unet, source, *control.concepts,
                                                                                *control.concept_maps);
        return sample_edit(with(unet), clip, place, Guidance<T, B>{source, source, 1}, each);
    }
    const EditPlace<T, B> from{led(place.skipped, place.start), place.mask, place.skipped};
    if (!control.looks_at_clip()) {
        return sample_edit(editor, clip, from, guidance, after_step);
    }
    const SourceBranch unet(editor.unet, clip, source, control);
    return sample_edit(with(unet), clip, from, guidance, after_step);
}

} // namespace reel
