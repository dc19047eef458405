#pragma once
// sample_edit() under a control.

#include <reel/pipelines/control/source_branch.hpp>
#include <reel/pipelines/edit_clip.hpp>

namespace reel {

/// sample_edit() with a control such as an AnyControl. Where it looks at the clip, that is as `clip` has it, under the
/// text `source` [1, tokens, channels] that it was inverted under, and the control must be in the editor's UNet: see
/// with_control(). Otherwise `clip` may have the sampler's timesteps alone.
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
    const EditPlace<T, B> from{led(place.skipped, place.start), place.mask, place.skipped};
    if (!control.looks_at_clip()) {
        return sample_edit(editor, clip, from, guidance, after_step);
    }
    const SourceBranch unet(editor.unet, clip, source, control);
    const ClipEditor looking{unet,        editor.model, editor.sampler, editor.sampling,
                             editor.edit, editor.seed,  editor.watch};
    return sample_edit(looking, clip, from, guidance, after_step);
}

} // namespace reel
