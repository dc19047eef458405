#pragma once
// sample_edit() under a control.

#include <reel/pipelines/control/source_branch.hpp>
#include <reel/pipelines/edit_clip.hpp>

namespace reel {

/// sample_edit() that looks at the clip as `clip` has it, under the text [1, tokens, channels] that it was inverted
/// under. The control must be in the editor's UNet: see with_control().
template <class Editor, Real T, Backend B, class Control, class Each>
[[nodiscard]] Tensor<T, B> sample_controlled_edit(const Editor& editor, const Trajectory<T, B>& clip,
                                                  const EditPlace<T, B>& place, const Guidance<T, B>& guidance,
                                                  const Tensor<T, B>& source, Control& control, const Each& each) {
    const SourceBranch unet(editor.unet, clip, source, control);
    const ClipEditor looking{unet,        editor.model, editor.sampler, editor.sampling,
                             editor.edit, editor.seed,  editor.watch};
    return sample_edit(looking, clip, place, guidance, [&](index_t k, const Tensor<T, B>& x) {
        if constexpr (requires { control.local_blend(k, x, x); }) {
            const auto level = static_cast<std::size_t>(clip.steps() - k);
            Tensor<T, B> blended = control.local_blend(k, x, clip.latents[level]);
            each(k, blended);
            return blended;
        } else {
            each(k, x);
        }
    });
}

} // namespace reel
